"""What the ledger knows besides the states of partitions, for the kinds that need it; read at most once a minute."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from feedmill.alerts.scene import Landed
from feedmill.alerts.volumes import LOOKS_BACK
from feedmill.ledger.models import File, SealedHour
from feedmill.spec import KINDS

EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class LedgerFacts:
    """As they were at one moment."""

    at: datetime
    landed: Mapping[str, Landed] = field(default_factory=dict)

    def is_fresh(self, now: datetime) -> bool:
        """Whether they need not be read again."""
        return self.at <= now < self.at + EVERY


def read(session: Session, sources: Iterable[str], now: datetime) -> LedgerFacts:
    """Read them all. ``sources`` are those that are expected to land something in every hour."""
    return LedgerFacts(now, _landed(session, sources, now))


def _landed(session: Session, sources: Iterable[str], now: datetime) -> dict[str, Landed]:
    # A sealed hour was looked through after its end. What is not sealed may be there, and nobody has looked yet.
    sealed = select(SealedHour.kind, func.max(SealedHour.until)).group_by(SealedHour.kind)
    complete = dict(session.execute(sealed).tuples().all())
    sizes = (
        select(File.source, File.kind, File.arrival_hour, func.sum(File.size))
        .where(File.kind.in_(KINDS), File.arrival_hour >= now - LOOKS_BACK, File.source.in_(list(sources)))
        .group_by(File.source, File.kind, File.arrival_hour)
    )
    by_source: defaultdict[str, dict[datetime, int]] = defaultdict(dict)
    kinds: dict[str, str] = {}
    for source, kind, hour, size in session.execute(sizes).tuples():
        by_source[source][hour] = int(size)
        kinds[source] = kind
    return {
        source: Landed(by_hour, complete[kinds[source]])
        for source, by_hour in by_source.items()
        if kinds[source] in complete
    }
