"""Deleting what nothing asks for any more. Housekeeping says when; whoever keeps facts in memory reads them anew."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, and_, delete, exists, extract, func, or_, select
from sqlalchemy.orm import Session

from feedmill.ledger.models import (
    AlertDelivery,
    AlertIncident,
    AlertSilence,
    Build,
    Claim,
    Code,
    File,
    FileDecision,
    Intent,
    Outage,
    Partition,
    Publish,
    SealedHour,
    Touch,
)
from feedmill.ledger.store import lock_counter
from feedmill.spec import FileKind, Table

AT_ONCE = 10_000
"""Builds of one transaction: it holds the counter's lock, so that everybody else waits."""


def builds(session: Session, table: Table, ended_before: datetime, kept: datetime, snapshots: Collection[int]) -> int:
    """Delete builds that say nothing about the table any more, with all that hangs on them: what they wrote, verdicts,
    accepts, publishes. Returns how many; :data:`AT_ONCE` means that there may be more.

    A build stays that is a partition's current one; that is the newest try of a partition that started at ``kept`` or
    later; that runs or publishes; whose commit is one of ``snapshots``, those that Iceberg still has; or whose publish
    was the table's last that changed something, which pins name.
    """
    counter = lock_counter(session)
    superseded = (
        select(func.count())
        .where(
            Partition.table_name == Build.table_name,
            Partition.partition >= func.greatest(Build.range_start, kept),
            Partition.partition < Build.range_end,
            Partition.begin > Build.begin,
        )
        .scalar_subquery()
    )
    seconds = extract("epoch", Build.range_end - func.least(func.greatest(Build.range_start, kept), Build.range_end))
    last = (
        select(Publish.build_id)
        .where(Publish.table_name == table.name, Publish.changed)
        .order_by(Publish.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    in_iceberg = exists().where(Publish.build_id == Build.id, Publish.snapshot_id.in_(list(snapshots)))
    wanted = (
        select(Build.id)
        .where(
            Build.table_name == table.name,
            Build.state != "running",
            func.coalesce(Build.finished_at, Build.started_at) < ended_before,
            superseded >= seconds / table.every.length.total_seconds(),
            ~exists().where(Partition.build_id == Build.id),
            ~exists().where(Claim.build_id == Build.id),
            ~exists().where(Intent.build_id == Build.id, Intent.finished_at.is_(None)),
            ~in_iceberg,
            or_(last.is_(None), Build.id != last),
        )
        .limit(AT_ONCE)
    )
    counted = _count(session.execute(delete(Build).where(Build.id.in_(wanted.scalar_subquery()))))
    counter.forgotten += bool(counted)
    return counted


def intents(session: Session, table: Table, finished_before: datetime) -> int:
    """Delete the intents of publishes that ended."""
    done = and_(Intent.table_name == table.name, Intent.finished_at < finished_before)
    return _count(session.execute(delete(Intent).where(done)))


def codes(session: Session, table: Table) -> None:
    """Delete what code identities were made of that no build of the table has any more."""
    used = exists().where(Build.table_name == Code.table_name, Build.identity == Code.identity)
    session.execute(delete(Code).where(Code.table_name == table.name, ~used))


def expired(session: Session, table: Table, before: datetime) -> int:
    """Delete what is known of expired partitions that started before then, and what they touch.

    The newest of them stays: it is what a dimension's readers chose until the next one came.
    """
    counter = lock_counter(session)
    gone = and_(Partition.table_name == table.name, Partition.expired_at.is_not(None), Partition.partition < before)
    newest = session.scalar(select(func.max(Partition.partition)).where(gone))
    if newest is None:
        return 0
    found = session.scalars(select(Partition.partition).where(gone, Partition.partition < newest)).all()
    session.execute(delete(Touch).where(Touch.table_name == table.name, Touch.partition.in_(found)))
    counted = _count(session.execute(delete(Partition).where(gone, Partition.partition < newest)))
    counter.forgotten += bool(counted)
    return counted


def arrived_before(session: Session, kind: FileKind, before: datetime) -> list[str]:
    """The paths of the registered files of a kind whose arrival hour is older."""
    return list(session.scalars(select(File.path).where(File.kind == kind, File.arrival_hour < before)))


def gone_files(session: Session, paths: Collection[str]) -> int:
    """Delete the registrations of these files: they are gone, and what was built from them has expired."""
    if not paths:
        return 0
    lock_counter(session).forgotten += 1
    session.execute(delete(FileDecision).where(FileDecision.path.in_(list(paths))))
    return _count(session.execute(delete(File).where(File.path.in_(list(paths)))))


def merge_sealed(session: Session, kind: FileKind, before: datetime) -> int:
    """Write neighbouring sealed hours that ended before then as one. Returns how many rows that saved."""
    lock_counter(session)
    query = select(SealedHour).where(SealedHour.kind == kind, SealedHour.until < before).order_by(SealedHour.hour)
    merged: SealedHour | None = None
    saved = 0
    for row in session.scalars(query).all():
        if merged is not None and row.hour <= merged.until:
            merged.until = max(merged.until, row.until)
            session.delete(row)
            saved += 1
        else:
            merged = row
    return saved


def alerts(session: Session, before: datetime) -> int:
    """Delete incidents that were closed before then, with their messages, and silences and outages that ended before
    then. Returns how many incidents.
    """
    old = select(AlertIncident.id).where(AlertIncident.closed_at < before)
    session.execute(delete(AlertDelivery).where(AlertDelivery.incident_id.in_(old)))
    session.execute(delete(AlertSilence).where(AlertSilence.ends_at < before))
    session.execute(delete(Outage).where(Outage.ended_at < before))
    return _count(session.execute(delete(AlertIncident).where(AlertIncident.closed_at < before)))


def _count(result: Any) -> int:
    assert isinstance(result, CursorResult)
    return result.rowcount
