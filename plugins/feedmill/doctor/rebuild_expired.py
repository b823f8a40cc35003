"""What upkeep has expired, for a ledger that has lost it (rule 10); see :mod:`feedmill.doctor.rebuild`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pyiceberg.table import Table as IcebergTable
from sqlalchemy import select
from sqlalchemy.orm import Session

from feedmill.lake.catalog import Lake, moment_of
from feedmill.ledger import publishes
from feedmill.ledger.models import Build, Partition, Touch
from feedmill.spec import Input, Table
from feedmill.timeline import HOUR, Range, runs

OWNER = "ledger rebuild"
"""The owner of the builds that stand in for lost ones."""


@dataclass(frozen=True)
class OnMain:
    """The rows of one partition on main, as the manifests count them."""

    rows: int
    touches: Mapping[datetime, int] | None
    """Rows by touched hour; None unless the table is partitioned by that, too."""


def on_main(table: Table, iceberg: IcebergTable | None, lake: Lake) -> dict[datetime, OnMain]:
    """What main holds now, by partition; a partition without files is absent."""
    head = iceberg.metadata.snapshot_by_name("main") if iceberg else None
    if iceberg is None or head is None:
        return {}
    rows: Counter[datetime] = Counter()
    touches: defaultdict[datetime, Counter[datetime]] = defaultdict(Counter)
    for task in iceberg.scan(snapshot_id=head.snapshot_id).plan_files():
        partition = lake.partition_of(table, task.file)
        rows[partition] += task.file.record_count
        if len(iceberg.spec().fields) > 1:
            touches[partition][moment_of(task.file.partition[1], HOUR)] += task.file.record_count
    return {p: OnMain(count, touches.get(p)) for p, count in rows.items()}


def mark_expired(session: Session, table: Table, held: Mapping[datetime, OnMain], now: datetime) -> None:
    """Record as expired the partitions whose retention has passed and whose rows are gone from main."""
    for row in session.scalars(select(Partition).where(Partition.table_name == table.name)):
        is_gone = row.rows and not (row.partition in held and held[row.partition].rows)
        if is_gone and table.kept_until(row.partition) < now:
            row.expired_at = row.expired_at or now


def record_without_commit(
    session: Session, table: Table, held: Mapping[datetime, OnMain], number: int, epoch: int
) -> list[datetime]:
    """Record what main holds although its commit was expired: as outdated, since nobody knows what built it."""
    known = set(session.scalars(select(Partition.partition).where(Partition.table_name == table.name)))
    lost = sorted(held.keys() - known)
    for span in runs(lost, table.every):
        build = _stand_in(table, span, epoch, "expired")
        session.add(build)
        session.flush()
        moved = [publishes.Moved(p, held[p].rows, "", held[p].touches) for p in span.partitions()]
        publishes.record(session, build, moved, 0, number=number)
    return lost


def record_expired_inputs(session: Session, table: Table, epoch: int, now: datetime) -> None:
    """Record as expired what the table's partitions read, if it is past its retention and left no trace.

    So its readers are frozen and keep their rows.
    """
    mine = _recorded(session, table)
    for entry in table.inputs:
        if isinstance(entry, Input):
            there = set(_recorded(session, entry.table))
            read = {p for partition in mine for p in _read(entry, table, partition, min(there, default=now))}
            gone = [p for p in read - there if entry.table.kept_until(p) <= now]
            _record_gone(session, entry, gone, epoch, now)


def _recorded(session: Session, table: Table) -> list[datetime]:
    return list(session.scalars(select(Partition.partition).where(Partition.table_name == table.name)))


def _read(entry: Input, table: Table, partition: datetime, first: datetime) -> Iterable[datetime]:
    """The input's partitions that this partition reads, as far as they can be told; ``first`` is the oldest known."""
    if entry.as_of:
        every = entry.table.every
        newest = every.floor(partition + table.every.length - entry.lag - every.length)
        return [newest] if first > newest else []
    if entry.by == "touches":
        # What arrived in its own hour. One expired arrival partition is enough to freeze it.
        return [partition]
    start, end = entry.window(table.one(partition))
    return Range.cover(start, end, entry.table.every).partitions()


def _record_gone(session: Session, entry: Input, gone: list[datetime], epoch: int, now: datetime) -> None:
    for span in runs(gone, entry.table.every):
        build = _stand_in(entry.table, span, epoch, "gone")
        session.merge(build)
        session.flush()
        for p in span.partitions():
            row = Partition(table_name=entry.table.name, partition=p, build_id=build.id, begin=0, number=0)
            row.identity, row.rows, row.digest, row.expired_at = "", 0, "", now
            session.add(row)
            if entry.by == "touches":
                session.merge(Touch(table_name=entry.table.name, partition=p, touched=p, rows=1, number=0))
    session.flush()


def _stand_in(table: Table, span: Range, epoch: int, why: str) -> Build:
    """A build for partitions whose own build nobody knows any more."""
    return Build(
        id=f"{why}-{table.name}-{table.every.name_of(span.start)}-{epoch}",
        table_name=table.name,
        range_start=span.start,
        range_end=span.end,
        begin=0,
        epoch=0,
        identity="",
        owner=OWNER,
        state="built",
        session_id="",
        pins={},
    )
