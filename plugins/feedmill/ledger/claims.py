"""Whether a claim lives (rule 9): one answer, by one clock."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, func

from feedmill.ledger.models import Claim

HEARTBEAT = timedelta(seconds=5)
"""How often a running build renews its claim."""

CLAIM_EXPIRES = timedelta(seconds=45)
"""A claim with an older heartbeat has expired. It is long enough for several missed beats on a busy machine."""


CLAIM_DEAD = timedelta(minutes=5)
"""A build whose heartbeat is older will not come back: whoever writes next, of whatever table, records that.

It is longer than ``CLAIM_EXPIRES``. After an outage of the ledger, every living build has an old heartbeat until it
beats again.
"""


def alive() -> ColumnElement[bool]:
    """The condition that a claim's build lives: its heartbeat is young enough.

    By the clock of the statement. ``now()`` is the time when the transaction began, and it may have waited for a lock
    since: a claim that has expired meanwhile would look alive.
    """
    return Claim.heartbeat_at > func.clock_timestamp() - CLAIM_EXPIRES


def dead() -> ColumnElement[bool]:
    """The condition that a claim's build has died, and nobody needs to ask for its partitions to say so."""
    return Claim.heartbeat_at < func.clock_timestamp() - CLAIM_DEAD
