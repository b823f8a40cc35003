"""What the ledger knows besides the states of partitions, for the kinds that need it; read at most once a minute."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session, aliased

from feedmill.alerts.scene import Differing, Landed, Newest, Warned, Work
from feedmill.alerts.tables import STUCK_AFTER
from feedmill.alerts.volumes import LOOKS_BACK
from feedmill.freshness.series import Series, moment_of
from feedmill.freshness.states import Picture
from feedmill.ledger.claims import alive
from feedmill.ledger.models import Build, BuiltPartition, Claim, File, Partition, SealedHour, Verdict
from feedmill.spec import KINDS
from feedmill.timeline import days

EVERY = timedelta(minutes=1)

LATELY = 20
"""Builds of a table whose length is the measure for the one that is at work."""

COMPARED = days(3)
"""How long ago a range may have begun for its builds to be compared."""

CHECKED = days(2)
"""How long ago the newest partition of a table may have ended for its warnings to be told."""


@dataclass(frozen=True)
class LedgerFacts:
    """As they were at one moment."""

    at: datetime
    landed: Mapping[str, Landed] = field(default_factory=dict)
    work: Mapping[str, Work] = field(default_factory=dict)
    newest: Mapping[str, Newest] = field(default_factory=dict)
    differing: Mapping[str, Differing] = field(default_factory=dict)

    def is_fresh(self, now: datetime) -> bool:
        """Whether they need not be read again."""
        return self.at <= now < self.at + EVERY


def read(session: Session, sources: Iterable[str], picture: Picture) -> LedgerFacts:
    """Read them all. ``sources`` are those that are expected to land something in every hour."""
    now = picture.now
    return LedgerFacts(
        now,
        _landed(session, sources, now),
        _work(session, now),
        _newest(session, picture),
        _differing(session, picture),
    )


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


def _work(session: Session, now: datetime) -> dict[str, Work]:
    at_work = (
        select(Build)
        .join(Claim, Claim.build_id == Build.id)
        .where(Build.state == "running", alive(), Build.started_at <= now - STUCK_AFTER)
    )
    return {
        build.id: Work(build.owner, build.started_at, _lately(session, build.table_name))
        for build in session.scalars(at_work)
    }


def _lately(session: Session, table: str) -> list[tuple[timedelta, int]]:
    built = (
        select(Build.started_at, Build.finished_at, func.count())
        .join(BuiltPartition, BuiltPartition.build_id == Build.id)
        .where(Build.table_name == table, Build.state == "built")
        .group_by(Build.id)
        .order_by(Build.begin.desc())
        .limit(LATELY)
    )
    rows = session.execute(built).tuples()
    return [(finished - started, count) for started, finished, count in rows if finished is not None]


def _newest(session: Session, picture: Picture) -> dict[str, Newest]:
    """What the check found of each table's newest published partition, of those that ended within ``CHECKED``."""
    wanted = []
    for table in picture.tables.values():
        places = picture.columns.published.get(table.name, Series()).published_places()
        moment = moment_of(int(places[-1]), table.every) if len(places) else None
        if moment is not None and moment + table.every.length > picture.now - CHECKED:
            wanted.append((table.name, moment))
    query = (
        select(Partition.table_name, Partition.partition, Build.id, Build.owner, Verdict.judged_at, Verdict.findings)
        .join(Build, Build.id == Partition.build_id)
        .join(Verdict, (Verdict.build_id == Partition.build_id) & (Verdict.partition == Partition.partition))
        .where(tuple_(Partition.table_name, Partition.partition).in_(wanted))
    )
    return {
        name: Newest(name, partition, build_id, owner, judged_at, _warnings(findings))
        for name, partition, build_id, owner, judged_at, findings in session.execute(query).tuples()
    }


def _differing(session: Session, picture: Picture) -> dict[str, Differing]:
    """The builds of ranges of the last days that gave other rows than an earlier one of the same inputs and code."""
    later, earlier = aliased(Build), aliased(Build)
    wrote, had_written = aliased(BuiltPartition), aliased(BuiltPartition)
    same = (
        (earlier.table_name == later.table_name)
        & (earlier.range_start == later.range_start)
        & (earlier.range_end == later.range_end)
        & (earlier.identity == later.identity)
        & (earlier.pins == later.pins)
        & (earlier.begin < later.begin)
    )
    query = (
        select(later.table_name, wrote.partition, later.identity, earlier.id, later.id, later.owner, later.finished_at)
        .join(earlier, same)
        .join(wrote, wrote.build_id == later.id)
        .join(had_written, (had_written.build_id == earlier.id) & (had_written.partition == wrote.partition))
        .where(
            later.table_name.in_(list(picture.tables)),
            later.range_start >= picture.now - COMPARED,
            wrote.digest != had_written.digest,
        )
        .order_by(later.begin)
    )
    return {
        name: Differing(name, partition, identity, (before, after), owner, at)
        for name, partition, identity, before, after, owner, at in session.execute(query).tuples()
        if at is not None
    }


def _warnings(findings: Iterable[Mapping[str, Any]]) -> tuple[Warned, ...]:
    return tuple(
        Warned(str(one.get("expectation", "")), str(one.get("message", "")))
        for one in findings
        if one.get("severity") == "warning"
    )
