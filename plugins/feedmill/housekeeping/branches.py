"""Dropping old leftovers of builds: branches and check pages."""

from __future__ import annotations

from datetime import UTC, datetime

import fsspec
from sqlalchemy import select

from feedmill.checks import pages
from feedmill.lake.attempts import drop_branch
from feedmill.lake.catalog import Lake, branch_name
from feedmill.ledger.claims import alive
from feedmill.ledger.models import Build, Claim
from feedmill.ledger.store import Ledger
from feedmill.spec import Table
from feedmill.timeline import days

BRANCH_KEEP = days(7)
"""How long a build's branch stays after the build has ended. For so long, a person can accept its held partitions."""

PAGE_KEEP = days(90)
"""How long a check's page stays."""

_PREFIX = branch_name("")


def drop(table: Table, ledger: Ledger, lake: Lake, now: datetime) -> str:
    """Drop the branches of builds that ended long ago, under the table's lock. Returns what was done.

    It does not matter how the build ended: published, held, failed, interrupted, killed, or unknown to a restored
    ledger. What was not published by then must be built again.
    """
    iceberg = lake.load_if_exists(table)
    if iceberg is None or not any(name.startswith(_PREFIX) for name in iceberg.metadata.refs):
        return "no branches"
    with ledger.table_lock(table.name):
        metadata = lake.load(table).metadata
        ended: dict[str, datetime] = {}
        for name, reference in metadata.refs.items():
            snapshot = metadata.snapshot_by_id(reference.snapshot_id)
            if name.startswith(_PREFIX) and snapshot is not None:
                ended[name.removeprefix(_PREFIX)] = datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)
        with ledger.transaction() as session:
            for build in session.scalars(select(Build).where(Build.id.in_(ended))):
                ended[build.id] = build.finished_at or build.started_at
            living = set(session.scalars(select(Claim.build_id).where(alive())))
        old = [build_id for build_id, at in ended.items() if at + BRANCH_KEEP <= now and build_id not in living]
        for build_id in sorted(old):
            drop_branch(table, build_id, lake)
    return f"{len(old)} of {len(ended)} branches dropped, of builds that ended more than {BRANCH_KEEP.days} days ago"


def delete_pages(table: Table, lake: Lake, now: datetime) -> str:
    """Delete the table's old check pages. Returns what was done."""
    fs, root = fsspec.core.url_to_fs(pages.folder(lake.pages, table.name))
    old = [path for path in fs.glob(pages.pattern(root)) if fs.modified(path).astimezone(UTC) + PAGE_KEEP <= now]
    for page in old:
        fs.rm_file(page)
    return f"{len(old)} check pages deleted that were older than {PAGE_KEEP.days} days"
