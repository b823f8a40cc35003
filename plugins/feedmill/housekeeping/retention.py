"""Retention (rule 8): a partition is expired in the ledger first, then its rows are removed from ``main``.

A crash between the two leaves rows that the ledger calls expired; the next run removes them, because it removes
whatever is expired, and not only what it has just expired itself.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Iterable
from datetime import datetime

from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException
from sqlalchemy import delete, func, select, update

from feedmill.deployment import Deployment
from feedmill.flow.publish import ATTEMPTS, reconcile
from feedmill.freshness.load import load
from feedmill.freshness.staleness import Facts, reads
from feedmill.lake.catalog import Lake
from feedmill.lake.overwrite import Overwrite
from feedmill.ledger.builds import CLAIM_EXPIRES
from feedmill.ledger.models import Claim, Partition, Touch
from feedmill.ledger.store import Ledger, lock_counter
from feedmill.spec import Input, Map, Table
from feedmill.timeline import Range, runs

log = logging.getLogger(__name__)


def expire(table: Table, deployment: Deployment, now: datetime) -> str:
    """Expire what has passed its retention, and remove the rows of everything expired; what was done."""
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
        said.append(f"{len(spared)} spared, because a build is at work on them or reads them")
    return "; ".join(said)


def _record(table: Table, tables: Map, ledger: Ledger, now: datetime) -> tuple[list[datetime], set[datetime]]:
    """Write ``expired_at``, in a transaction of its own; what was expired, and what a build that lives kept from it.

    Under the counter's lock, as a begin is: of an expiry and a build that begins at once, the build either finds its
    input expired or its claim is seen here.
    """
    readers = tables.readers(table)
    with ledger.transaction() as session:
        known = load(session, [table, *readers])
    old = {p for p in known.published.get(table.name, {}) if p + table.every.length + table.keep <= now}
    if not old:
        return [], set()
    with ledger.transaction() as session:
        lock_counter(session)
        claims = session.scalars(
            select(Claim).where(
                Claim.table_name.in_([table.name, *(reader.name for reader in readers)]),
                Claim.heartbeat_at > func.now() - CLAIM_EXPIRES,
            )
        ).all()
        spared = old & in_use(table, [table, *readers], claims, known)
        expired = sorted(old - spared)
        session.execute(
            update(Partition)
            .where(Partition.table_name == table.name, Partition.partition.in_(expired))
            .values(expired_at=func.now())
        )
        # A touch without rows says that the reader lost some: nothing of the expired is to be read any more. The
        # others stay, and say who is frozen.
        session.execute(
            delete(Touch).where(Touch.table_name == table.name, Touch.partition.in_(expired), Touch.rows == 0)
        )
    return expired, spared


def in_use(table: Table, readers: Iterable[Table], claims: Iterable[Claim], known: Facts) -> set[datetime]:
    """The table's partitions that builds which live have claimed, or read."""
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
    """One commit on ``main`` without the files of what is expired: the partitions that had some, and how many.

    The caller holds the table's lock. Each attempt asks the ledger anew, as a publish asks ``main``.
    """
    for attempt in range(ATTEMPTS):
        iceberg = lake.load_if_exists(table)
        head = iceberg.metadata.snapshot_by_name("main") if iceberg else None
        expired = _expired(table, ledger)
        if iceberg is None or head is None or not expired:
            return [], 0
        # One range, not thousands: the filter only has to prune, what is expired is compared below.
        span = Range(min(expired), max(expired) + table.every.length, table.every)
        scan = iceberg.scan(row_filter=lake.within(table, [span]), snapshot_id=head.snapshot_id)
        planned = {task.file.file_path: task.file for task in scan.plan_files()}
        files = [file for _, file in sorted(planned.items()) if lake.partition_of(table, file) in expired]
        partitions = sorted({lake.partition_of(table, file) for file in files})
        if not files:
            return [], 0
        # As in a publish: PyIceberg's own retries would commit what was planned on an older main.
        iceberg.metadata = iceberg.metadata.model_copy(
            update={"properties": {**iceberg.metadata.properties, "commit.retry.num-retries": "0"}}
        )
        properties = {"feedmill.expired": json.dumps([p.isoformat() for p in partitions])}
        try:
            with (
                iceberg.transaction() as transaction,
                Overwrite(transaction, properties) as overwrite,
            ):
                for file in files:
                    overwrite.delete_data_file(file)
        except (CommitFailedException, CommitStateUnknownException, ValueError) as error:
            if isinstance(error, ValueError) and "sequence number" not in str(error):
                raise
            log.info("%s: another commit came first, attempt %d: %s", table.name, attempt + 1, error)
            time.sleep(random.uniform(0.02, 0.1) * min(attempt + 1, 10))  # noqa: S311 - not for secrets
        else:
            return partitions, len(files)
    raise CommitFailedException(f"{table.name}: {ATTEMPTS} attempts to remove expired rows all met another commit")


def _expired(table: Table, ledger: Ledger) -> set[datetime]:
    with ledger.transaction() as session:
        query = select(Partition.partition).where(Partition.table_name == table.name, Partition.expired_at.is_not(None))
        return set(session.scalars(query))


def _listed(partitions: list[datetime], table: Table) -> str:
    spans = [str(span) for span in runs(partitions, table.every)]
    shown = ", ".join(spans[:3]) + (f" and {len(spans) - 3} more ranges" if len(spans) > 3 else "")
    return f" ({shown})" if spans else ""
