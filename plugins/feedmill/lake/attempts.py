"""Commits that others may come before: one loop for publishes, retention, and the making and removal of branches."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import TypeVar

from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException
from pyiceberg.table import Table as IcebergTable
from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception, stop_after_attempt

from feedmill.lake.catalog import Lake, branch_name
from feedmill.spec import Table

log = logging.getLogger(__name__)

ATTEMPTS = 20
"""Commits to branches of the same table may come between; each costs an attempt of some 50 ms."""

T = TypeVar("T")


def until_committed(table: Table, lake: Lake, attempt: Callable[[IcebergTable], T], what: str) -> T:
    """Call ``attempt`` with the newest metadata until no other commit comes before its own; its result.

    Each attempt starts anew from the metadata that it is given, and repeats every comparison with ``main``. ``what``
    says in the log what is tried.

    Raises:
        CommitFailedException: another commit came first each time. The last attempt may have got through all the same:
            its state can be unknown.
        NoSuchTableError: the table was never created.
    """
    return until_first(table, lambda: attempt(_without_own_retries(lake.load(table))), what, _is_conflict)


def until_first(table: Table, attempt: Callable[[], T], what: str, is_conflict: Callable[[Exception], bool]) -> T:
    """Call ``attempt`` until no other commit comes before its own; its result.

    ``is_conflict`` knows how the attempt's engine says that another commit came first, or may have. Every other error
    passes through. ``attempt`` must be harmless if an earlier try has got through.

    Raises:
        CommitFailedException: another commit came first each time; its cause is the engine's last error.
    """

    def log_conflict(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.info("%s: another commit came before %s, attempt %d: %s", table.name, what, state.attempt_number, error)

    retrying = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, Exception) and is_conflict(error)),
        stop=stop_after_attempt(ATTEMPTS),
        wait=_jittered,
        before_sleep=log_conflict,
    )
    try:
        return retrying(attempt)
    except RetryError as error:
        raise CommitFailedException(
            f"{table.name}: {ATTEMPTS} attempts of {what} all met another commit"
        ) from error.last_attempt.exception()


def drop_branch(table: Table, build_id: str, lake: Lake) -> None:
    """Drop the build's branch, in a commit of its own. If other commits come first each time, housekeeping drops it."""
    branch = branch_name(build_id)

    def drop(iceberg: IcebergTable) -> None:
        if branch in iceberg.metadata.refs:
            iceberg.manage_snapshots().remove_branch(branch).commit()

    try:
        until_committed(table, lake, drop, f"dropping branch {branch}")
    except CommitFailedException:
        log.warning("%s: branch %s stays until housekeeping drops it", table.name, branch)


def _without_own_retries(iceberg: IcebergTable) -> IcebergTable:
    """The table without PyIceberg's own retries, in memory only.

    They commit what was planned on an older ``main``: rows were duplicated when one build was published twice at once.
    """
    properties = {**iceberg.metadata.properties, "commit.retry.num-retries": "0"}
    iceberg.metadata = iceberg.metadata.model_copy(update={"properties": properties})
    return iceberg


def _is_conflict(error: Exception) -> bool:
    """Whether PyIceberg says that another commit came first, or may have."""
    # A ValueError about the sequence number is a commit of Spark's that came between.
    return isinstance(error, CommitFailedException | CommitStateUnknownException) or (
        isinstance(error, ValueError) and "sequence number" in str(error)
    )


def _jittered(state: RetryCallState) -> float:
    return random.uniform(0.02, 0.1) * min(state.attempt_number, 10)  # noqa: S311 - not for secrets
