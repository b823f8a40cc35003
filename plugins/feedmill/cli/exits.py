"""How a command ends with an error: the exit code, and what the user is told."""

from __future__ import annotations

import traceback

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.project import NOT_FOUND


class CommandError(FeedmillError, code=Exit.USAGE, retry=False, turn=Turn.CALLER):
    """A command ends here: one sentence for stderr, and the exit code."""

    def __init__(self, sentence: str, code: Exit = Exit.USAGE):
        super().__init__(sentence)
        self.code = code


# By name, because importing the classes would import half of the libraries for a command that fails early.
FOREIGN: dict[str, Exit] = {
    "pyiceberg.exceptions.CommitFailedException": Exit.BUSY,
    "sqlalchemy.exc.OperationalError": Exit.UNREACHABLE,
    "pyspark.errors.exceptions.base.PySparkException": Exit.PROBLEM,
    "builtins.LookupError": Exit.USAGE,
    "builtins.ValueError": Exit.USAGE,
}
"""Expected errors that are not ours, by their full names. Built-in ones count only if our own code raised them."""

# Subclasses of the two built-in ones that tell a user nothing: they are mistakes in code.
_MISTAKES = (KeyError, IndexError, UnicodeError)

# PostgreSQL's codes for a table and for a column that is not there.
_UNDEFINED = ("42P01", "42703")


def code_of(error: BaseException) -> Exit:
    """The exit code of an error; UNEXPECTED where it is not one that we expect."""
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
        # Spark's message, without the query plan that follows it and the code of the SQL standard.
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
    """Whether the project's own package cannot be imported: Feedmill is installed, and nobody said where it is."""
    return isinstance(error, ModuleNotFoundError) and error.name == "include"


def _lacks_tables(error: BaseException) -> bool:
    """Whether the ledger lacks a table or a column: it was never migrated to this version."""
    return getattr(getattr(error, "orig", None), "pgcode", None) in _UNDEFINED


def _is_own(error: BaseException) -> bool:
    """Whether the project's own code raised it. A library's ValueError may come after much has changed."""
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(modules) and modules[-1].partition(".")[0] in ("feedmill", "include")


def _cause(error: BaseException) -> str:
    """The driver's own words, without SQLAlchemy's around them."""
    return _first_line(getattr(error, "orig", None) or error).rstrip(".")


def _first_line(error: BaseException) -> str:
    """The first line of an error's message; its class where it has no message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
