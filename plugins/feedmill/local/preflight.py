"""What must hold before the stack is started: each failure is one sentence that says what to do."""

from __future__ import annotations

import shutil
import socket
from contextlib import suppress
from pathlib import Path

import psutil

from feedmill.local.home import StackError, port_variable
from feedmill.spark.java import JavaError, find

MEMORY = 4.0
DISK = 3.0
"""What must be free, in GB. A stack at work holds 3 to 3.5 GB of memory, its Spark server 1.7 GB of them."""


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
    """A Java that runs Spark."""
    try:
        return find()
    except JavaError as error:
        raise StackError(str(error)) from error
