"""What goes wrong with Spark itself, rather than with what it was asked."""

from __future__ import annotations


class SparkUnavailableError(ConnectionError):
    """Spark cannot be reached or started, or went away at work; the message says where, why and what to do."""
