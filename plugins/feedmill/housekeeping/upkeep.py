"""Iceberg's upkeep, by Spark's procedures: snapshots, small files, manifests, orphan files.

It works on ``main`` at the same time as publishes, without the table's lock, because it takes minutes and a publish
takes a moment. If two commits meet, the catalog decides who is first. A publish that lost replays on the new ``main``.
An upkeep step that lost gives up, and the next day's run does it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Snapshot
from sqlalchemy import func, select

from feedmill.connections import CATALOG
from feedmill.lake.catalog import Lake
from feedmill.ledger.claims import alive
from feedmill.ledger.models import Build, Claim
from feedmill.ledger.store import Ledger
from feedmill.spark.failures import is_conflict
from feedmill.spec import Table
from feedmill.timeline import days

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession

log = logging.getLogger(__name__)

SNAPSHOT_KEEP = days(3)
"""Snapshots that were current in this time can still be read, by a long query or to look back."""

ORPHAN_KEEP = days(3)
"""A file that no snapshot names may belong to a build that will commit it soon. An older one does not."""

SMALL_FILES = 5
"""If one partition has this many small files or more, they are rewritten as one."""

SMALL_FILE_BYTES = 384 * 1024 * 1024
"""A smaller file counts as small. It is three quarters of Iceberg's 512 MB, as in Iceberg's own bin-packing."""

MANIFEST_BYTES = 256 * 1024
"""Manifests are rewritten to this size, about 700 files each. A publish that replaces a partition reads and rewrites
the manifest that lists its files; with 10,000 files in one manifest that took 2 s. Iceberg's default is 8 MB."""

SMALL_MANIFESTS = 20
"""If this many manifests or more are smaller than half that size, they are rewritten."""

_TARGET = "commit.manifest.target-size-bytes"


def expire_snapshots(table: Table, ledger: Ledger, lake: Lake, spark: SparkSession, now: datetime) -> str:
    """Expire snapshots that were not current for a while, and files that only they use. Returns what was done."""
    iceberg = lake.load(table)
    began = oldest_living_build(ledger)
    moment = min(now - SNAPSHOT_KEEP, began) if began else now - SNAPSHOT_KEEP
    cutoff = oldest_readable(iceberg, moment)
    replaced, left = _to_expire(iceberg, moment, cutoff)
    if not replaced and not left:
        return "no snapshots to expire"
    named = {"snapshot_ids": [s.snapshot_id for s in left]} if left else {}
    done = _call(spark, "expire_snapshots", table, older_than=cutoff, retain_last=1, stream_results=True, **named)
    if done is None:
        return "snapshots were left for the next run, because another commit came first"
    files = sum(value for name, value in done.items() if name.startswith("deleted_") and value)
    return (
        f"{len(replaced) + len(left)} snapshots expired that were replaced or dropped before {moment:%Y-%m-%d %H:%M}, "
        f"{files} files deleted"
    )


def _to_expire(iceberg: IcebergTable, moment: datetime, cutoff: datetime) -> tuple[list[Snapshot], list[Snapshot]]:
    """Snapshots replaced before the cutoff, and snapshots of dropped branches between the cutoff and the moment.

    If a table is seldom published, the cutoff is long ago, and branches were made and dropped since then.
    """
    heads = {reference.snapshot_id for reference in iceberg.metadata.refs.values()}
    replaced = [s for s in iceberg.metadata.snapshots if _at(s) < cutoff and s.snapshot_id not in heads]
    held = {s.snapshot_id for head in heads for s in _ancestors(iceberg, head)}
    left = [s for s in iceberg.metadata.snapshots if cutoff <= _at(s) <= moment and s.snapshot_id not in held]
    return replaced, left


def oldest_living_build(ledger: Ledger) -> datetime | None:
    """When the oldest running build began. The snapshots that it has pinned were current then or later."""
    with ledger.transaction() as session:
        query = select(func.min(Build.started_at)).join(Claim, Claim.build_id == Build.id).where(alive())
        return session.execute(query).scalar_one()


def oldest_readable(iceberg: IcebergTable, moment: datetime) -> datetime:
    """The time of the commit that was current at the moment.

    Not the moment itself: a reader that began then may have pinned a head that was months old already.
    """
    main = iceberg.metadata.snapshot_by_name("main")
    for snapshot in _ancestors(iceberg, main.snapshot_id if main else None):
        if _at(snapshot) <= moment:
            return _at(snapshot)
    return moment


def compact(table: Table, lake: Lake, spark: SparkSession) -> str:
    """Rewrite the small files of partitions that have several. Returns what was done."""
    iceberg = lake.load(table)
    fields = range(len(iceberg.spec().fields))
    small: Counter[tuple[Any, ...]] = Counter()
    for task in iceberg.scan().plan_files():
        if task.file.file_size_in_bytes < SMALL_FILE_BYTES:
            small[tuple(task.file.partition[i] for i in fields)] += 1
    crowded = [count for count in small.values() if count >= SMALL_FILES]
    if not crowded:
        return "no partition has several small files"
    # Partial progress: if a publish replaces some of the files meanwhile, only the commit of their group fails.
    options = {
        "min-input-files": str(SMALL_FILES),
        "partial-progress.enabled": "true",
        "partial-progress.max-commits": str(min(10, len(crowded))),
    }
    done = _call(spark, "rewrite_data_files", table, options=options)
    if done is None:
        return "small files were left for the next run, because another commit came first"
    left = done.get("failed_data_files_count") or 0
    said = (
        f"{done['rewritten_data_files_count']} small files of {len(crowded)} partitions rewritten "
        f"as {done['added_data_files_count']}"
    )
    return f"{said}; {left} were left for the next run: another commit came first" if left else said


def rewrite_manifests(table: Table, lake: Lake, spark: SparkSession) -> str:
    """Rewrite the manifests of many publishes as a few, sorted by partition. Returns what was done."""
    iceberg = lake.load(table)
    head = iceberg.metadata.snapshot_by_name("main")
    manifests = head.manifests(iceberg.io) if head else []
    small = [manifest for manifest in manifests if manifest.manifest_length < MANIFEST_BYTES // 2]
    if len(small) < SMALL_MANIFESTS:
        return f"{len(manifests)} manifests; no rewrite is needed"
    try:
        if iceberg.properties.get(_TARGET) != str(MANIFEST_BYTES):
            with iceberg.transaction() as transaction:
                transaction.set_properties({_TARGET: str(MANIFEST_BYTES)})
    except CommitFailedException:
        return "manifests were left for the next run, because another commit came first"
    done = _call(spark, "rewrite_manifests", table, use_caching=False)
    if done is None:
        return "manifests were left for the next run, because another commit came first"
    return f"{done['rewritten_manifests_count']} manifests rewritten as {done['added_manifests_count']}"


def remove_orphans(table: Table, ledger: Ledger, spark: SparkSession, now: datetime) -> str:
    """Delete files in the table's folder that no snapshot uses: leftovers of builds. Returns what was done."""
    began = oldest_living_build(ledger)
    before = min(now - ORPHAN_KEEP, began) if began else now - ORPHAN_KEEP
    # A path that differs from a known one only in scheme or authority is not deleted: PyIceberg writes file:///, Spark
    # file:/, and a bucket may be s3 in one and s3a in the other. The procedure's default folder is the table's own.
    rows = _rows(
        spark,
        "remove_orphan_files",
        table,
        older_than=before,
        equal_schemes={"s3a,s3n,s3": "s3"},
        prefix_mismatch_mode="IGNORE",
    )
    return f"{len(rows)} orphan files deleted, which were older than {before:%Y-%m-%d %H:%M}"


def _call(spark: SparkSession, procedure: str, table: Table, **arguments: object) -> dict[str, Any] | None:
    """The procedure's one row of counts; None if another commit came first and the procedure gave up."""
    try:
        rows = _rows(spark, procedure, table, **arguments)
    except Exception as error:
        if not is_conflict(error):
            raise
        log.warning("%s: %s gave up, another commit came first: %s", table.name, procedure, str(error).splitlines()[0])
        return None
    return rows[0] if rows else {}


def _rows(spark: SparkSession, procedure: str, table: Table, **arguments: object) -> list[dict[str, Any]]:
    given = ", ".join(f"{name} => {_literal(value)}" for name, value in {"table": table.name, **arguments}.items())
    return [row.asDict() for row in spark.sql(f"CALL {CATALOG}.system.{procedure}({given})").collect()]


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}'"
    if isinstance(value, dict):
        return f"map({', '.join(_literal(part) for pair in value.items() for part in pair)})"
    if isinstance(value, list):
        return f"array({', '.join(_literal(part) for part in value)})"
    return str(value) if isinstance(value, int) else f"'{value}'"


def _at(snapshot: Snapshot) -> datetime:
    return datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)


def _ancestors(iceberg: IcebergTable, head: int | None) -> Iterator[Snapshot]:
    by_id = {s.snapshot_id: s for s in iceberg.metadata.snapshots}
    while head is not None and head in by_id:
        yield by_id[head]
        head = by_id[head].parent_snapshot_id
