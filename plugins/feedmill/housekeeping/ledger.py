"""The ledger's own retention: what no rebuild, no rule and no status asks for any more is deleted from it.

:data:`BOUNDED` and :data:`AGED` name every table of the ledger, and why it does not grow without an end.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from feedmill.deployment import Deployment
from feedmill.landing.discover import landed
from feedmill.ledger import forget
from feedmill.spec import FileKind, Files, Input, Map, Table
from feedmill.timeline import HOUR, days

KEEP = days(90)
"""How long the ledger remembers what is only history: a build that was replaced, an hour whose rows are gone."""

KEEP_ALERTS = days(365)
"""How long the ledger remembers an incident that is closed, and who was told of it."""

SEALED_AFTER = days(7)
"""Sealed hours are merged to ranges when they are this old."""

AGED = {
    "builds": "deleted after KEEP, but for those that are current, newest, running, or named by Iceberg",
    "built_partitions": "go with their build",
    "verdicts": "go with their build",
    "acceptances": "go with their build",
    "claims": "end with their build, and go with it",
    "intents": "deleted KEEP after they were finished; go with their build",
    "publishes": "go with their build",
    "partitions": "expire with the table's `keep`; deleted KEEP after the last of their readers has expired",
    "touches": "go with their partition",
    "files": "deleted once what was built from them has expired for KEEP, and the landing zone has them no more",
    "file_decisions": "go with their file",
    "codes": "go with the last build that has them",
    "sealed_hours": "merged to ranges after SEALED_AFTER",
    "alert_incidents": "deleted KEEP_ALERTS after they were closed",
    "alert_deliveries": "go with their incident",
    "alert_silences": "deleted KEEP_ALERTS after they ended",
    "outages": "deleted KEEP_ALERTS after they ended",
}
"""By table of the ledger: when a row of it goes."""

BOUNDED = {
    "counter": "one row",
    "alert_kinds": "one row for each kind of incident",
    "alert_tables": "one row for each table",
    "leases": "one row for each job of which there must be one",
    "folders": "one row for each folder of the landing zone; those of removed folders go when everything is listed",
}
"""Tables in which nothing is ever too old."""


def tidy(table: Table, deployment: Deployment, now: datetime) -> str:
    """Delete what the ledger need not know of this table any more. Returns what was done.

    It can be killed at any time; the next run does the rest.
    """
    ledger = deployment.ledger
    old = now - KEEP
    with ledger.transaction() as session:
        gone = forget.expired(session, table, _needed(table, deployment.tables, now) - KEEP)
    iceberg = deployment.lake.load_if_exists(table)
    snapshots = [] if iceberg is None else [snapshot.snapshot_id for snapshot in iceberg.metadata.snapshots]
    builds = 0
    while True:
        with ledger.transaction() as session:
            some = forget.builds(session, table, old, table.every.floor(now - table.keep), snapshots)
        builds += some
        if some < forget.AT_ONCE:
            break
    with ledger.transaction() as session:
        intents = forget.intents(session, table, old)
        forget.codes(session, table)
        if table is next(iter(deployment.tables)):  # once a day is enough
            forget.alerts(session, now - KEEP_ALERTS)
    removed = sum(_files(kind, deployment, now) for kind in _kinds(table, deployment.tables))
    if not gone and not builds and not intents and not removed:
        return "the ledger has nothing of it that is too old"
    return (
        f"the ledger forgot {builds} replaced builds, {intents} finished intents, {gone} partitions and {removed} "
        f"files, all of them older than {KEEP.days} days"
    )


def _needed(table: Table, tables: Map, now: datetime) -> datetime:
    """Earlier partitions of the table are read by no partition that can be rebuilt."""
    found = [now - table.keep]
    for reader in tables.readers(table):
        for entry in reader.inputs:
            if isinstance(entry, Input) and entry.table is table:
                found.append(now - reader.keep - entry.lookback - entry.lag - reader.every.length)
    return min(found) - table.every.length


def _files(kind: FileKind, deployment: Deployment, now: datetime) -> int:
    """Forget old files that are gone from the landing zone, and merge sealed hours."""
    oldest = now - KEEP
    for reader in deployment.tables:
        for entry in reader.inputs:
            if isinstance(entry, Files) and entry.kind == kind:
                oldest = min(oldest, now - reader.keep - entry.lookback - reader.every.length - KEEP)
    with deployment.ledger.transaction() as session:
        forget.merge_sealed(session, kind, HOUR.floor(now - SEALED_AFTER))
        old = forget.arrived_before(session, kind, oldest)
    lost = _lost(kind, old, deployment) if old else []
    with deployment.ledger.transaction() as session:
        return forget.gone_files(session, lost)


def _lost(kind: FileKind, paths: Iterable[str], deployment: Deployment) -> list[str]:
    """Those of the paths that the landing zone has no more. A source without any file tells nothing: its disk may be
    away, and its files would land a second time when it comes back.
    """
    landing = deployment.lake.landing
    sources = [source for source in deployment.sources.values() if source.kind == kind]
    there = {file.url for file in landed(landing, sources)}
    folders = [f"{landing.rstrip('/')}/{source.name}/" for source in sources]
    tell = tuple(folder for folder in folders if any(url.startswith(folder) for url in there))
    return [path for path in paths if path.startswith(tell) and path not in there]


def _kinds(table: Table, tables: Map) -> set[FileKind]:
    """The kinds of files of which the table is the map's first reader: once a day is enough for each."""
    first: dict[FileKind, Table] = {}
    for reader in tables:
        for entry in reader.inputs:
            if isinstance(entry, Files):
                first.setdefault(entry.kind, reader)
    return {kind for kind, reader in first.items() if reader is table}
