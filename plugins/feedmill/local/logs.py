"""The stack's logs stay small: a large one is moved aside, and old logs of tasks are deleted.

The Spark supervisor does it once a minute, because it always runs; so does ``make up``.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from feedmill.local.home import Home

LARGEST = 10_000_000
"""Bytes of a log; as many more stand in ``<name>.log.1``."""

KEPT = 14
"""Days for which Airflow's logs of tasks and of parsing are kept."""

EVERY = 60.0
"""Seconds between two looks."""


def bound(home: Home) -> None:
    """Move aside what is too large, and delete what is too old."""
    for log in home.logs.glob("*.log"):
        with suppress(FileNotFoundError):
            if log.stat().st_size > LARGEST:
                _move_aside(log)
    oldest = time.time() - KEPT * 86_400
    for folder, _, names in os.walk(home.logs / "airflow", topdown=False):
        for name in names:
            path = Path(folder, name)
            # A broken link, such as the one to the newest log of parsing, has no time of its own.
            with suppress(FileNotFoundError):
                if path.lstat().st_mtime < oldest:
                    path.unlink()
        with suppress(OSError):  # not empty
            if Path(folder).stat().st_mtime < oldest:
                Path(folder).rmdir()


def _move_aside(log: Path) -> None:
    """Copy and truncate: the process keeps its file open, and appends to it."""
    draft = log.with_suffix(".log.draft")
    draft.touch(mode=0o600)
    shutil.copyfile(log, draft)
    os.truncate(log, 0)
    draft.replace(log.with_suffix(".log.1"))
