"""Checks before the stack starts. If one fails, it says in one sentence what to do."""

from __future__ import annotations

import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path

import psutil

from feedmill.local.home import StackError, port_variable
from feedmill.spark.java import JavaError, find

MEMORY = 4.0
DISK = 3.0
"""What must be free, in GB. A busy stack uses 3 to 3.5 GB of memory, of which Spark uses 1.7 GB."""


def memory() -> None:
    """Check that the machine, and the container around us, have enough free memory."""
    free = psutil.virtual_memory().available
    with suppress(FileNotFoundError, ValueError, PermissionError):
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        free = min(free, limit - used)
    if free < MEMORY * 1e9:
        raise StackError(
            f"The stack needs {MEMORY:.0f} GB of memory, but only {free / 1e9:.1f} GB are available: "
            "close something, or give the container more."
        )


def disk(folder: Path) -> None:
    """Check that the disk of the home has enough free space."""
    free = shutil.disk_usage(folder).free
    if free < DISK * 1e9:
        raise StackError(
            f"The stack needs {DISK:.0f} GB of disk, but only {free / 1e9:.1f} GB are free in {folder}: "
            "delete something, or set FEEDMILL_HOME to a folder on another disk."
        )


def port(component: str, number: int, patience: float = 0.0) -> None:
    """Check that nothing listens on the component's port, or stops to within ``patience`` seconds."""
    end = time.monotonic() + patience
    while not _is_free(number):
        if time.monotonic() >= end:
            raise StackError(
                f"{component} needs port {number}, but another program uses it: "
                f"set {port_variable(component)} to a free port."
            )
        time.sleep(0.1)


def _is_free(number: int) -> bool:
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with probe, suppress(OSError):
        probe.bind(("127.0.0.1", number))
        return True
    return False


def listens(number: int) -> bool:
    """Whether something accepts connections on a port of this machine."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", number), timeout=1):
        return True
    return False


def java() -> Path:
    """Check that there is a Java that runs Spark."""
    try:
        return find()
    except JavaError as error:
        raise StackError(str(error)) from error
