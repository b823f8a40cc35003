"""How a command ends with an error: the exit code, and what the user is told."""

from __future__ import annotations

import traceback

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.project import NOT_FOUND


class CommandError(FeedmillError, code=Exit.USAGE, retry=False, turn=Turn.CALLER):
    """Ends the command with one sentence on stderr and an exit code."""

    def __init__(self, sentence: str, code: Exit = Exit.USAGE):
        super().__init__(sentence)
        self.code = code


# By name: importing the classes would import half of the libraries, also for a command that fails early.
FOREIGN: dict[str, Exit] = {
    "pyiceberg.exceptions.CommitFailedException": Exit.BUSY,
    "sqlalchemy.exc.OperationalError": Exit.UNREACHABLE,
    "pyspark.errors.exceptions.base.PySparkException": Exit.PROBLEM,
    "builtins.LookupError": Exit.USAGE,
    "builtins.ValueError": Exit.USAGE,
}
"""Errors of others that we expect, by their full names. Built-in ones count only if our own code raised them."""

# These subclasses of the built-in ones are mistakes in code. Their messages tell a user nothing.
_MISTAKES = (KeyError, IndexError, UnicodeError)

# PostgreSQL's codes for a missing table and a missing column.
_UNDEFINED = ("42P01", "42703")


def code_of(error: BaseException) -> Exit:
    """The exit code of an error; UNEXPECTED if we do not expect this error."""
    if isinstance(error, FeedmillError):
        return error.code
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    if _lacks_tables(error):
        return Exit.UNREACHABLE
    if _lacks_project(error):
        return Exit.USAGE
    for kind in type(error).__mro__:
        if kind in _MISTAKES:
            break
        code = FOREIGN.get(f"{kind.__module__}.{kind.__qualname__}")
        if code is not None and (kind.__module__ != "builtins" or _is_own(error)):
            return code
    return Exit.UNEXPECTED


def sentence_of(error: BaseException) -> str:
    """What to tell the user about an error, in one sentence."""
    code = code_of(error)
    if code is Exit.INTERRUPTED:
        return "Stopped."
    if _lacks_project(error):
        return NOT_FOUND
    text = " ".join(str(error).split("\n\n")[0].split())
    if any(kind.__module__.startswith("pyspark.") for kind in type(error).__mro__):
        # Spark's message, without the code of the SQL standard and the query plan after it.
        return _first_line(error).partition(" SQLSTATE: ")[0]
    if _lacks_tables(error):
        return (
            f"The ledger's schema is not up to date ({_cause(error)}); run `feedmill ledger migrate`, "
            "or `make up` for the local stack."
        )
    if type(error).__module__.startswith("sqlalchemy") and code is Exit.UNREACHABLE:
        return (
            f"PostgreSQL does not answer: {_cause(error)}. "
            "`feedmill stack status` shows what runs; `feedmill stack up` starts it."
        )
    if code is Exit.UNEXPECTED:
        named = f"{type(error).__name__}: {text}" if text else type(error).__name__
        return f"{named} (unexpected error; --debug shows where it happened)"
    return text or type(error).__name__


def _lacks_project(error: BaseException) -> bool:
    """Whether ``include`` cannot be imported: Feedmill is installed, and does not know the project's folder."""
    return isinstance(error, ModuleNotFoundError) and error.name == "include"


def _lacks_tables(error: BaseException) -> bool:
    """Whether the ledger lacks a table or a column, because it was never migrated to this version."""
    return getattr(getattr(error, "orig", None), "pgcode", None) in _UNDEFINED


def _is_own(error: BaseException) -> bool:
    """Whether our own code raised it. A library's ValueError may come after much has been changed."""
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(modules) and modules[-1].partition(".")[0] in ("feedmill", "include")


def _cause(error: BaseException) -> str:
    """The database driver's message, without what SQLAlchemy adds."""
    return _first_line(getattr(error, "orig", None) or error).rstrip(".")


def _first_line(error: BaseException) -> str:
    """The first line of an error's message, or its class if it has no message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
