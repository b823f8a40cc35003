"""What goes wrong with Spark itself, or because others are at work, rather than with what it was asked."""

from __future__ import annotations

from feedmill.errors import Exit, FeedmillError, Turn


class SparkUnavailableError(FeedmillError, code=Exit.UNREACHABLE, retry=True, turn=Turn.OPERATOR):
    """Spark cannot be reached or started, or went away at work; the message says where, why and what to do."""


_CONFLICTS = ("CommitFailedException", "ValidationException", "CommitStateUnknownException")


def is_conflict(error: Exception) -> bool:
    """Whether Spark's error names what Iceberg raises when another commit to the table came first."""
    return any(name in str(error) for name in _CONFLICTS)
