"""Errors of Spark itself, or of two writers at once; not errors in the query."""

from __future__ import annotations

from feedmill.errors import Exit, FeedmillError, Turn


class SparkUnavailableError(FeedmillError, code=Exit.UNREACHABLE, retry=True, turn=Turn.OPERATOR):
    """Spark cannot be reached or started, or died during the work; the message says where, why and what to do."""


_CONFLICTS = ("CommitFailedException", "ValidationException", "CommitStateUnknownException")


def is_conflict(error: Exception) -> bool:
    """Whether the error is Iceberg's, because another commit to the table came first."""
    return any(name in str(error) for name in _CONFLICTS)
