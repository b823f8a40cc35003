"""Where things are on this disk: the project's folder and the local stack's home."""

from __future__ import annotations

import os
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.timeline import parse

NOT_FOUND = (
    "Feedmill does not find the project: Python cannot import the package `include`. Add the folder that holds dags/, "
    "include/ and expectations/ to PYTHONPATH."
)


class ProjectNotFoundError(FeedmillError, code=Exit.USAGE, retry=False, turn=Turn.OPERATOR):
    """No project was found; the message says what to set."""


def project_path() -> Path:
    """The project's folder: ``FEEDMILL_PROJECT``, or the folder that holds the package ``include``.

    It follows ``include``, so that DDL and suites always belong to the transforms that run: a versioned bundle of
    Airflow has one folder for each version.

    Raises:
        ProjectNotFoundError: the variable is not set, and ``include`` cannot be imported.
    """
    named = os.environ.get("FEEDMILL_PROJECT")
    if named:
        return Path(named)
    spec = find_spec("include")
    if spec is None or spec.origin is None:
        raise ProjectNotFoundError(NOT_FOUND)
    return Path(spec.origin).resolve().parents[1]


def home_path() -> Path:
    """The local stack's folder: ``FEEDMILL_HOME``, or ``.feedmill`` in the project.

    Raises:
        ProjectNotFoundError: ``FEEDMILL_HOME`` is not set, and there is no project.
    """
    named = os.environ.get("FEEDMILL_HOME")
    return Path(named).expanduser().resolve() if named else project_path() / ".feedmill"


def default_since() -> datetime | None:
    """Where the tables' history begins: FEEDMILL_SINCE, in the environment or as the local stack decided it.

    Raises:
        ValueError: it is not a time.
    """
    named = os.environ.get("FEEDMILL_SINCE")
    if not named:
        try:
            named = stack_env(home_path()).get("FEEDMILL_SINCE")
        except ProjectNotFoundError:
            # A triggerer that has the wheel: it needs no project, and has no local stack.
            return None
    return parse(named) if named else None


def stack_env(home: Path) -> dict[str, str]:
    """The local stack's ports, secrets and paths, from its ``stack.env``; empty if the stack was never started."""
    path = home / "stack.env"
    if not path.exists():
        return {}
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
