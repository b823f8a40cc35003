"""Processes of the local stack: start them, stop them, find those that died, and leave none behind.

A pid file holds the pid and the start time of the process, because another process may soon have the same pid. Every
process carries the stack's id in its environment, and its children inherit it. So ``leftovers`` finds the children of
killed parents.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from feedmill.local.home import Home, write_private

_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Component:
    """A process of the stack by name; its pid file is ``run/<name>.json``, its log ``logs/<name>.log``."""

    home: Home
    name: str

    @property
    def pid_file(self) -> Path:
        """The file that records its pid, from its start until it is stopped on purpose."""
        return self.home.run / f"{self.name}.json"

    def record(self) -> dict[str, Any]:
        """The content of the pid file; empty if there is no file or it is half written."""
        try:
            return dict(json.loads(self.pid_file.read_text()))
        except (FileNotFoundError, ValueError):
            return {}

    def expected(self) -> bool:
        """Whether it was started and not stopped on purpose."""
        return self.pid_file.exists()

    def pid(self) -> int | None:
        """Its pid, if the process that was started still runs and is not a zombie."""
        record = self.record()
        pid = record.get("pid")
        if pid is None:
            return None
        child = _children.get(pid)
        if child is not None:
            child.poll()
        return pid if started_at(pid) == record.get("started") else None

    def started(self) -> float | None:
        """Its recorded start, in seconds since the epoch."""
        return self.record().get("at")

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        user: tuple[int, int] | None = None,
        **facts: Any,
    ) -> int:
        """Start it in its own session, as the (uid, gid) ``user`` if one is given. ``facts`` go to the pid file."""
        with self.home.open_log(self.name) as log:
            child = subprocess.Popen(
                list(argv),
                env={**env, "FEEDMILL_STACK_ID": self.home.stack_id, "FEEDMILL_COMPONENT": self.name},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **as_user(user),
            )
        _children[child.pid] = child
        record = {"pid": child.pid, "started": started_at(child.pid), "at": time.time(), **facts}
        write_private(self.pid_file, json.dumps(record))
        return child.pid

    def forget(self) -> None:
        """Remove the pid file, because the process was stopped on purpose."""
        self.pid_file.unlink(missing_ok=True)


def as_user(user: tuple[int, int] | None) -> dict[str, Any]:
    """The arguments that make subprocess run a program as (uid, gid)."""
    return {"user": user[0], "group": user[1], "extra_groups": []} if user else {}


def started_at(pid: int) -> str | None:
    """A text that identifies this start of the process; None if there is no such process, or it is a zombie."""
    try:
        # From /proc, because psutil's create_time changes when the clock is set.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self").exists():
            return None
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    return None


def stop(components: Iterable[Component], *, grace: float = 10, how: int = signal.SIGTERM) -> None:
    """Ask them all to end, and wait. After ``grace`` seconds, kill those that still run, with their children."""
    family: dict[int, str] = {}
    asked: list[Component] = []
    for component in components:
        pid = component.pid()
        if pid is not None:
            family |= _family(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, how)
            asked.append(component)
        else:
            component.forget()
    wait_until(lambda: not any(component.pid() for component in asked), grace)
    kill(family)
    for component in asked:
        component.forget()


def kill(processes: Mapping[int, str]) -> None:
    """Send SIGKILL to each pid that still belongs to the same process, and wait until they are gone."""

    def alive() -> list[int]:
        for child in list(_children.values()):
            child.poll()
        return [pid for pid, start in processes.items() if started_at(pid) == start]

    for pid in alive():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(), 10)


def leftovers(home: Home) -> dict[int, str]:
    """Processes that carry this stack's id but belong to no pid file: {pid: start}."""
    if not home.exists():
        return {}
    mine = home.stack_id
    known: dict[int, str] = {}
    for file in home.run.glob("*.json"):
        pid = Component(home, file.stem).pid()
        if pid is not None:
            known |= _family(pid)
    ourselves = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[int, str] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid in known or process.pid in ourselves:
                continue
            environment = process.environ()
            if environment.get("FEEDMILL_STACK_ID") == mine and "FEEDMILL_COMPONENT" in environment:
                start = started_at(process.pid)
                if start is not None:
                    found[process.pid] = start
    return found


def wait_until(true: Callable[[], bool], seconds: float, every: float = 0.1) -> bool:
    """Whether ``true()`` became true within ``seconds``."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(every)
    return True


def _family(pid: int) -> dict[int, str]:
    """The process and everything below it: {pid: start}."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        members = [process, *process.children(recursive=True)]
        return {member.pid: start for member in members if (start := started_at(member.pid)) is not None}
    return {}
