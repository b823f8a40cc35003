"""Retention (rule 8): first the ledger marks a partition as expired, then its rows are removed from ``main``.

After a crash between the two, ``main`` still has rows that the ledger calls expired. The next run removes them, because
it removes all expired rows, not only those that it has just expired itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from pyiceberg.table import Table as IcebergTable
from sqlalchemy import delete, func, select, update

from feedmill.deployment import Deployment
from feedmill.flow.publish import reconcile
from feedmill.freshness.facts import Facts
from feedmill.freshness.load import load
from feedmill.freshness.staleness import reads
from feedmill.lake.attempts import until_committed
from feedmill.lake.catalog import Lake
from feedmill.lake.overwrite import Overwrite
from feedmill.ledger.claims import alive
from feedmill.ledger.models import Claim, Partition, Touch
from feedmill.ledger.store import Ledger, lock_counter
from feedmill.spec import Input, Map, Table
from feedmill.timeline import Range, runs


def expire(table: Table, deployment: Deployment, now: datetime) -> str:
    """Expire what has passed its retention, and remove the rows of all expired partitions. Returns what was done."""
    ledger, lake = deployment.ledger, deployment.lake
    with ledger.table_lock(table.name):
        reconcile(table, ledger, lake)
        expired, spared = _record(table, deployment.tables, ledger, now)
        removed, files = _remove(table, ledger, lake)
    if not expired and not spared and not removed:
        return "nothing has passed its retention"
    said = [f"{len(expired)} partitions expired{_listed(expired, table)}"]
    said.append(f"the {files} files of {len(removed)} removed from main")
    if spared:
        said.append(f"{len(spared)} kept for now, because a running build writes or reads them")
    return "; ".join(said)


def _record(table: Table, tables: Map, ledger: Ledger, now: datetime) -> tuple[list[datetime], set[datetime]]:
    """Write ``expired_at``, in a transaction of its own. Returns what was expired, and what running builds still need.

    It holds the counter's lock, as a begin does. If a build begins at the same time, either the build sees that its
    input is expired, or its claim is seen here.
    """
    readers = tables.readers(table)
    with ledger.transaction() as session:
        known = load(session, [table, *readers])
    old = {p for p in known.published.get(table.name, {}) if table.kept_until(p) <= now}
    if not old:
        return [], set()
    with ledger.transaction() as session:
        lock_counter(session)
        claims = session.scalars(
            select(Claim).where(
                Claim.table_name.in_([table.name, *(reader.name for reader in readers)]),
                alive(),
            )
        ).all()
        spared = old & in_use(table, [table, *readers], claims, known)
        expired = sorted(old - spared)
        session.execute(
            update(Partition)
            .where(Partition.table_name == table.name, Partition.partition.in_(expired))
            .values(expired_at=func.now())
        )
        # A touch without rows tells a reader that it lost rows; nobody reads expired partitions any more, so these go.
        # Touches with rows stay: they say which readers are frozen.
        session.execute(
            delete(Touch).where(Touch.table_name == table.name, Touch.partition.in_(expired), Touch.rows == 0)
        )
    return expired, spared


def in_use(table: Table, readers: Iterable[Table], claims: Iterable[Claim], known: Facts) -> set[datetime]:
    """The table's partitions that running builds have claimed, or read."""
    by_name = {reader.name: reader for reader in readers}
    found: set[datetime] = set()
    for claim in claims:
        reader = by_name[claim.table_name]
        claimed = Range(claim.range_start, claim.range_end, reader.every)
        if reader is table:
            found.update(claimed.partitions())
        entries = [entry for entry in reader.inputs if isinstance(entry, Input) and entry.table is table]
        found.update(p for entry in entries for mine in claimed.partitions() for p in reads(entry, reader, mine, known))
    return found


def _remove(table: Table, ledger: Ledger, lake: Lake) -> tuple[list[datetime], int]:
    """Remove the files of expired partitions in one commit on ``main``. Returns their partitions, and how many files.

    The caller holds the table's lock. Each attempt reads the ledger again, as each attempt of a publish reads ``main``.
    """

    def attempt(iceberg: IcebergTable) -> tuple[list[datetime], int]:
        head = iceberg.metadata.snapshot_by_name("main")
        expired = _expired(table, ledger)
        if head is None or not expired:
            return [], 0
        # One range instead of thousands: the filter only prunes; the exact comparison follows.
        span = Range(min(expired), max(expired) + table.every.length, table.every)
        scan = iceberg.scan(row_filter=lake.within(table, [span]), snapshot_id=head.snapshot_id)
        planned = {task.file.file_path: task.file for task in scan.plan_files()}
        files = [file for _, file in sorted(planned.items()) if lake.partition_of(table, file) in expired]
        partitions = sorted({lake.partition_of(table, file) for file in files})
        if not files:
            return [], 0
        properties = {"feedmill.expired": json.dumps([p.isoformat() for p in partitions])}
        with (
            iceberg.transaction() as transaction,
            Overwrite(transaction, properties) as overwrite,
        ):
            for file in files:
                overwrite.delete_data_file(file)
        return partitions, len(files)

    if lake.load_if_exists(table) is None:
        return [], 0
    return until_committed(table, lake, attempt, "the removal of expired rows")


def _expired(table: Table, ledger: Ledger) -> set[datetime]:
    with ledger.transaction() as session:
        query = select(Partition.partition).where(Partition.table_name == table.name, Partition.expired_at.is_not(None))
        return set(session.scalars(query))


def _listed(partitions: list[datetime], table: Table) -> str:
    spans = [str(span) for span in runs(partitions, table.every)]
    shown = ", ".join(spans[:3]) + (f" and {len(spans) - 3} more ranges" if len(spans) > 3 else "")
    return f" ({shown})" if spans else ""
