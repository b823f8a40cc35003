"""Noticing that the map has changed: a process that runs for weeks must not judge by the map of its first day."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CHECK = "import feedmill.alerts.owners as o, include.tables, include.models, include.services; o.of_project()"
"""What ``watch`` imports of the project."""

log = logging.getLogger(__name__)


@dataclass
class MapChanges:
    """The files of ``include/`` as they were when this process imported them."""

    project: Path
    _seen: dict[str, tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        self._seen = dict(self._files())

    def look(self) -> str | None:
        """None: nothing has changed. Empty: there is a new map, and it can be imported. Else why it cannot be."""
        now = dict(self._files())
        if now == self._seen:
            return None
        done = subprocess.run([sys.executable, "-c", CHECK], cwd=self.project, capture_output=True, text=True)
        if done.returncode:
            log.error("the map cannot be imported, the last good one is in use:\n%s", done.stderr)
            return (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
        return ""

    def _files(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for path in sorted((self.project / "include").rglob("*.py")):
            stat = path.stat()
            yield str(path), (stat.st_mtime_ns, stat.st_size)


def start_again() -> None:
    """Become a new process of the same command, with the new map. What is known is in the outbox."""
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the same command again
