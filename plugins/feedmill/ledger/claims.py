"""Whether a claim lives (rule 9): one answer, by one clock."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, func

from feedmill.ledger.models import Claim

HEARTBEAT = timedelta(seconds=5)
"""How often a running build renews its claim."""

CLAIM_EXPIRES = timedelta(seconds=45)
"""A claim with an older heartbeat has expired. It is long enough for several missed beats on a busy machine."""


def alive() -> ColumnElement[bool]:
    """The condition that a claim's build lives: its heartbeat is young enough.

    By the clock of the statement. ``now()`` is the time when the transaction began, and it may have waited for a lock
    since: a claim that has expired meanwhile would look alive.
    """
    return Claim.heartbeat_at > func.clock_timestamp() - CLAIM_EXPIRES
