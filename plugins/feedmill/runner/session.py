"""Spark sessions over Spark Connect: one for each try, with an id of its own, interrupted before a retry."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

from feedmill import connections

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession
    from pyspark.sql.connect.shell.progress import ProgressHandler, StageInfo

log = logging.getLogger(__name__)

_USER = "feedmill"

_GONE = (
    "StatusCode.UNAVAILABLE",
    "INVALID_HANDLE.SESSION_NOT_FOUND",
    "INVALID_HANDLE.SESSION_CHANGED",
    "INVALID_HANDLE.OPERATION_NOT_FOUND",
)
"""What PySpark's errors say when the server has died, and when the one that was started instead answers."""


class SparkUnavailableError(ConnectionError):
    """The Spark Connect server cannot be reached; the message says where it was looked for."""


def connect(url: str, session_id: str) -> SparkSession:
    """A session of that id on the server; a dead server is known after some seconds, not after ten minutes.

    Raises:
        SparkUnavailableError: nothing answers there.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql.connect.client.retries import DefaultPolicy
    from pyspark.sql.connect.session import SparkSession

    # Otherwise each server-side error is printed as one line of JSON beside the Python exception.
    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # What pyspark.sql.functions looks at; without it, they ask for a JVM in this process.
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    separator = "" if url.endswith(";") else (";" if "/;" in url or url.endswith("/") else "/;")
    session: SparkSession | None = None
    try:
        session = SparkSession.builder.remote(f"{url}{separator}session_id={session_id};user_id={_USER}").create()
        session.client.set_retry_policies([DefaultPolicy(max_retries=4, initial_backoff=200, max_backoff=1000)])
        session.conf.set("spark.sql.session.timeZone", "UTC")
    except Exception as error:
        if session is not None:
            # It is the thread's active session by now, which pyspark.sql.functions would ask: a session that the
            # server has closed (an earlier try's, to be interrupted) would fail the next session's work.
            session.release_session_on_close = False
            session.stop()
        if isinstance(error, PySparkException | OSError) or _is_of_grpc(error):
            raise _unavailable(url, error) from error
        raise
    return session


@contextmanager
def session_of(session_id: str) -> Iterator[SparkSession]:
    """The session of a try on the ``spark_default`` connection, released at the end.

    Raises:
        SparkUnavailableError: the server does not answer, or went away meanwhile.
    """
    url = connections.spark_url()
    session = connect(url, session_id)
    _log_progress(session)
    try:
        yield session
    except Exception as error:
        if _went_away(error):
            raise SparkUnavailableError(
                f"Spark Connect at {_where(url)} went away in the middle of the work; the local stack starts it again "
                "by itself (its log says why it ended), and a retry then goes on"
            ) from error
        raise
    finally:
        with suppress(Exception):  # the server may be gone; the session ends with it
            session.stop()


def interrupt(session_id: str) -> None:
    """Stop whatever a session still runs: a client that was killed leaves its query at work for minutes."""
    try:
        session = connect(connections.spark_url(), session_id)
        session.interruptAll()
        session.stop()
    except Exception as error:
        log.info("nothing to interrupt in Spark session %s: %s", session_id, error)


def _where(url: str) -> str:
    """The server, without the token."""
    return url.partition("/;")[0]


def _is_of_grpc(error: BaseException | None) -> bool:
    # grpc's errors have no common public base besides grpc.RpcError, which is imported with the client only.
    import grpc

    return isinstance(error, grpc.RpcError)


def _went_away(error: Exception) -> bool:
    """Whether the server died, or is another one that does not know the session."""
    text = f"{error} {error.__cause__} {error.__context__}"
    return any(sign in text for sign in _GONE)


def _unavailable(url: str, error: Exception) -> SparkUnavailableError:
    # PySpark wraps grpc's error, whose text is a page that begins with its class; its details are the sentence.
    text, cause = str(error), error.__cause__ or error.__context__
    for one in (error, cause):
        details = getattr(one, "details", None)
        if callable(details):
            text = str(details())
    reason = text.splitlines()[0] if text else type(error).__name__
    return SparkUnavailableError(
        f"Spark Connect does not answer at {_where(url)} ({reason}); `feedmill stack status` says which part is down"
    )


def _log_progress(session: SparkSession) -> None:
    """Write what Spark has done to the task's log, at most every few seconds and only when it changes."""
    seen: dict[str, int] = {}

    def report(stages: Iterable[StageInfo] | None, inflight_tasks: int, operation_id: str | None, done: bool) -> None:
        stages = list(stages or [])
        total = sum(stage.num_tasks for stage in stages)
        complete = sum(stage.num_completed_tasks for stage in stages)
        share = 100 * complete // total if total else 0
        if operation_id and share >= seen.get(operation_id, 0) + 20 and not done:
            seen[operation_id] = share
            log.info("Spark: %d of %d tasks done, %d at work", complete, total, inflight_tasks)

    session.registerProgressHandler(cast("ProgressHandler", report))
