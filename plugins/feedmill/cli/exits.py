"""Exit codes, the same for every command, and which error ends with which."""

from __future__ import annotations

import traceback
from enum import IntEnum


class Exit(IntEnum):
    """How a command ended, for scripts."""

    OK = 0
    PROBLEM = 1
    """It ran and found something that a person must see to: a held partition, a page that differs, a broken file."""
    USAGE = 2
    """It was asked for something that is not there or not possible; nothing was changed."""
    UNREACHABLE = 3
    """A part of the stack does not answer, or is not set up: PostgreSQL, Spark, Airflow, the storage."""
    BUSY = 4
    """Others are at work on these partitions, or on this table; try again when they have ended."""
    UNEXPECTED = 5
    """An error that nobody foresaw; ``--debug`` shows where."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C."""


class CommandError(Exception):
    """A command ends here: one sentence for stderr, and the exit code."""

    def __init__(self, sentence: str, code: Exit = Exit.USAGE):
        super().__init__(sentence)
        self.code = code


# By name, because importing the classes would import half of the machinery for a command that fails early.
ERRORS: dict[str, Exit] = {
    "feedmill.spec.MapError": Exit.USAGE,
    "feedmill.landing.land.ArrivalError": Exit.USAGE,
    "feedmill.demo.week.DemoError": Exit.PROBLEM,
    "feedmill.explore.sql.QueryError": Exit.USAGE,
    "feedmill.simulate.feed.SimulationError": Exit.USAGE,
    "feedmill.authoring.new_table.ScaffoldError": Exit.USAGE,
    "feedmill.connections.ConnectionNotDefinedError": Exit.UNREACHABLE,
    "feedmill.spark.failures.SparkUnavailableError": Exit.UNREACHABLE,
    "feedmill.spark.java.JavaError": Exit.UNREACHABLE,
    "feedmill.local.home.StackError": Exit.UNREACHABLE,
    "feedmill.airflow_settings.SettingsError": Exit.UNREACHABLE,
    "feedmill.airflow_api.AirflowApiError": Exit.UNREACHABLE,
    "feedmill.ledger.builds.ClaimedError": Exit.BUSY,
    "pyiceberg.exceptions.CommitFailedException": Exit.BUSY,
    "feedmill.flow.wait.FrozenError": Exit.PROBLEM,
    "feedmill.lake.schema.DdlError": Exit.PROBLEM,
    "feedmill.lake.ddl.IncompatibleError": Exit.PROBLEM,
    "feedmill.landing.discover.LandingError": Exit.PROBLEM,
    "feedmill.landing.discover.LandingUnavailableError": Exit.UNREACHABLE,
    "feedmill.flow.build.TransformError": Exit.PROBLEM,
    "feedmill.checks.suite.SuiteError": Exit.PROBLEM,
    "feedmill.flow.check.NothingToCheckError": Exit.PROBLEM,
    "feedmill.flow.publish.NothingToPublishError": Exit.PROBLEM,
    "feedmill.flow.publish.LedgerBehindError": Exit.PROBLEM,
    "sqlalchemy.exc.OperationalError": Exit.UNREACHABLE,
    "pyspark.errors.exceptions.base.PySparkException": Exit.PROBLEM,
    "builtins.LookupError": Exit.USAGE,
    "builtins.ValueError": Exit.USAGE,
}
"""The classes of foreseen errors by their full names; the built-in ones where the project's own code raised them."""

# Subclasses of the two built-in ones that say nothing to a user: they are mistakes in code.
_MISTAKES = (KeyError, IndexError, UnicodeError)

# PostgreSQL's codes for a table and for a column that is not there.
_UNDEFINED = ("42P01", "42703")


def code_of(error: BaseException) -> Exit:
    """The exit code of an error; UNEXPECTED where nobody foresaw it."""
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    if _lacks_tables(error):
        return Exit.UNREACHABLE
    for kind in type(error).__mro__:
        if kind in _MISTAKES:
            break
        code = ERRORS.get(f"{kind.__module__}.{kind.__qualname__}")
        if code is not None and (kind.__module__ != "builtins" or _is_own(error)):
            return code
    return Exit.UNEXPECTED


def sentence_of(error: BaseException) -> str:
    """What to tell the user about an error, in one sentence."""
    code = code_of(error)
    if code is Exit.INTERRUPTED:
        return "Stopped."
    text = " ".join(str(error).split("\n\n")[0].split())
    if any(kind.__module__.startswith("pyspark.") for kind in type(error).__mro__):
        # Spark's message, without the query plan that follows it and the code of the SQL standard.
        return str(error).splitlines()[0].partition(" SQLSTATE: ")[0]
    if _lacks_tables(error):
        return (
            f"The ledger has not this version's tables: {_cause(error)}. "
            "Run `feedmill ledger migrate`, or `make up` for the local stack."
        )
    if type(error).__module__.startswith("sqlalchemy") and code is Exit.UNREACHABLE:
        return (
            f"PostgreSQL does not answer: {_cause(error)}. "
            "`feedmill stack status` says what runs, `feedmill stack up` starts it."
        )
    if code is Exit.UNEXPECTED:
        return f"{type(error).__name__}: {text} (nobody foresaw this; --debug shows where it happened)"
    return text


def _lacks_tables(error: BaseException) -> bool:
    """Whether it is a database that was never brought to this version's tables."""
    return getattr(getattr(error, "orig", None), "pgcode", None) in _UNDEFINED


def _is_own(error: BaseException) -> bool:
    """Whether the project's own code raised it. A library's ValueError may come when much was changed already."""
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(modules) and modules[-1].partition(".")[0] in ("feedmill", "include")


def _cause(error: BaseException) -> str:
    """The driver's own words, first line, without SQLAlchemy's around them."""
    return str(getattr(error, "orig", error)).strip().splitlines()[0].rstrip(".")
