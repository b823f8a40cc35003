"""Where things are on this disk: the project's folder and the local stack's home."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from feedmill.timeline import parse

PROJECT = Path(__file__).resolve().parents[2]


def project_path() -> Path:
    """The project's folder: ``FEEDMILL_PROJECT``, or the one that holds ``plugins/feedmill``."""
    return Path(os.environ.get("FEEDMILL_PROJECT") or PROJECT)


def home_path() -> Path:
    """The local stack's folder: ``FEEDMILL_HOME``, or ``.feedmill`` in the project."""
    named = os.environ.get("FEEDMILL_HOME")
    return Path(named).expanduser().resolve() if named else PROJECT / ".feedmill"


def default_since() -> datetime | None:
    """Where the tables' history begins: FEEDMILL_SINCE, in the environment or as the local stack decided it.

    Raises:
        ValueError: it is not a time.
    """
    named = os.environ.get("FEEDMILL_SINCE") or stack_env(home_path()).get("FEEDMILL_SINCE")
    return parse(named) if named else None


def stack_env(home: Path) -> dict[str, str]:
    """The local stack's ports, secrets and paths, from its ``stack.env``; empty if the stack was never started."""
    path = home / "stack.env"
    if not path.exists():
        return {}
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
