"""Exit codes, the same for every command, and which error ends with which."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """How a command ended, for scripts."""

    OK = 0
    PROBLEM = 1
    """It ran and found something that a person must see to: a held partition, a page that differs, a broken file."""
    USAGE = 2
    """It was asked for something that is not there or not possible; nothing was changed."""
    UNREACHABLE = 3
    """A part of the stack does not answer: PostgreSQL, Spark, the storage."""
    BUSY = 4
    """Another build is at work on these partitions; try again when it has ended."""
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
    "feedmill.arrivals.ArrivalError": Exit.USAGE,
    "feedmill.demo.DemoError": Exit.PROBLEM,
    "feedmill.query.QueryError": Exit.USAGE,
    "feedmill.simulate.landing.SimulationError": Exit.USAGE,
    "feedmill.scaffold.ScaffoldError": Exit.USAGE,
    "feedmill.connections.ConnectionNotDefinedError": Exit.UNREACHABLE,
    "feedmill.runner.errors.SparkUnavailableError": Exit.UNREACHABLE,
    "feedmill.runner.java.JavaError": Exit.UNREACHABLE,
    "feedmill.local.home.StackError": Exit.UNREACHABLE,
    "feedmill.ledger.builds.ClaimedError": Exit.BUSY,
    "feedmill.ledger.readiness.FrozenError": Exit.PROBLEM,
    "feedmill.lake.ddl.DdlError": Exit.PROBLEM,
    "feedmill.lake.ddl.IncompatibleError": Exit.PROBLEM,
    "feedmill.landing.LandingError": Exit.PROBLEM,
    "feedmill.runner.build.TransformError": Exit.PROBLEM,
    "feedmill.checks.suite.SuiteError": Exit.PROBLEM,
    "feedmill.checks.check.NothingToCheckError": Exit.PROBLEM,
    "feedmill.lake.publish.NothingToPublishError": Exit.PROBLEM,
    "feedmill.lake.publish.LedgerBehindError": Exit.PROBLEM,
    "sqlalchemy.exc.OperationalError": Exit.UNREACHABLE,
    "pyspark.errors.exceptions.base.PySparkException": Exit.PROBLEM,
    "builtins.LookupError": Exit.USAGE,
    "builtins.ValueError": Exit.USAGE,
}
"""The classes of foreseen errors by their full names."""

# Subclasses of the two built-in ones that say nothing to a user: they are mistakes in code.
_MISTAKES = (KeyError, IndexError, UnicodeError)


def code_of(error: BaseException) -> Exit:
    """The exit code of an error; UNEXPECTED where nobody foresaw it."""
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    for kind in type(error).__mro__:
        if kind in _MISTAKES:
            break
        code = ERRORS.get(f"{kind.__module__}.{kind.__qualname__}")
        if code is not None:
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
    if type(error).__module__.startswith("sqlalchemy") and code is Exit.UNREACHABLE:
        return (
            f"PostgreSQL does not answer: {_cause(error)}. "
            "`feedmill stack status` says what runs, `feedmill stack up` starts it."
        )
    if code is Exit.UNEXPECTED:
        return f"{type(error).__name__}: {text} (nobody foresaw this; --debug shows where it happened)"
    return text


def _cause(error: BaseException) -> str:
    """The driver's own words, first line, without SQLAlchemy's around them."""
    return str(getattr(error, "orig", error)).strip().splitlines()[0].rstrip(".")
