"""What every exception of Feedmill says: the exit code, whether a retry may help, and whose turn it is."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any


class Exit(IntEnum):
    """How a command ended, for scripts."""

    OK = 0
    PROBLEM = 1
    """It ran and found something that a person must fix: a held partition, a page that differs, a broken file."""
    USAGE = 2
    """The request was wrong or is not possible; nothing was changed."""
    UNREACHABLE = 3
    """A part of the stack does not answer, or is not set up: PostgreSQL, Spark, Airflow, the storage."""
    BUSY = 4
    """Others are at work on these partitions, or on this table; try again when they have ended."""
    UNEXPECTED = 5
    """An error that the code does not expect; ``--debug`` shows where it happened."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C."""


class Turn(StrEnum):
    """Whose turn it is after an error."""

    MAINTAINER = "the table's maintainer"
    OPERATOR = "whoever runs the stack"
    CALLER = "whoever asked for it"
    NOBODY = "nobody: wait"


class FeedmillError(Exception):
    """The base of all our exceptions. Each class states three facts when it is defined; none has a default."""

    code: Exit
    """The exit code of a command that ends with this error."""
    retry: bool
    """Whether a retry may help. False: the same input and the same code would fail in the same way."""
    turn: Turn
    """Who can fix the cause."""

    def __init_subclass__(cls, *, code: Exit, retry: bool, turn: Turn, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.code, cls.retry, cls.turn = code, retry, turn
