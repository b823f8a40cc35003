"""Builds without Spark: branches written by PyIceberg, recorded in the ledger as the runner and the check would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from sqlalchemy import select

from feedmill.flow.publish import Outcome, publish
from feedmill.lake.catalog import Lake, branch_name
from feedmill.ledger import builds, verdicts
from feedmill.ledger.builds import Written
from feedmill.ledger.models import Build, Intent, Partition
from feedmill.ledger.store import Ledger
from feedmill.spec import Files, Maintainer, Table
from feedmill.timeline import HOUR, Range, days

TEAM = Maintainer("team", description="tests", link="mailto:team@example.com")

DDL = """CREATE TABLE {name} (
    hour TIMESTAMP NOT NULL COMMENT 'Partition.',
    item STRING COMMENT 'What it is.',
    version BIGINT COMMENT 'Which build wrote it.'
)
USING iceberg
PARTITIONED BY (hour)
COMMENT 'One row per item and hour.'
"""

SCHEMA = pa.schema(
    [
        pa.field("hour", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("item", pa.string()),
        pa.field("version", pa.int64()),
    ]
)


class Workshop:
    """One hourly table in a project of its own, and what happens to it."""

    def __init__(self, lake: Lake, ledger: Ledger, project: Path, name: str = "demo.hourly"):
        self.lake = replace(lake, project=project)
        self.lake.__dict__["catalog"] = lake.catalog  # one pool of connections, which the fixture knows of
        self.ledger = ledger
        self.table = Table(name, HOUR, [Files("events")], TEAM, 2, days(90))
        path = project / self.table.ddl_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(DDL.format(name=name))
        iceberg = self.lake.ensure(self.table)
        # PyIceberg writes a first snapshot to main only, where Spark's is the branch's: leave main as Spark does.
        with iceberg.transaction() as transaction, transaction.update_snapshot().overwrite():
            pass
        head = iceberg.metadata.snapshot_by_name("main")
        assert head is not None
        iceberg.manage_snapshots().create_branch(head.snapshot_id, "origin").commit()
        iceberg.manage_snapshots().remove_branch("main").commit()

    def begin(self, span: Range) -> Build:
        """Take the begin and the claim."""
        with self.ledger.transaction() as session:
            return builds.begin(session, self.table, span, "test/run", "code")

    def build(
        self, span: Range, rows: Mapping[datetime, int], version: int, passed: bool | set[datetime] = True
    ) -> str:
        """Begin, write the branch, finish, and judge: ``rows`` rows of this version in each partition."""
        build = self.begin(span)
        self.finish(build, span, self.write(build.id, span, rows, version), rows, version)
        self.judge(build.id, passed)
        return build.id

    def write(self, build_id: str, span: Range, rows: Mapping[datetime, int], version: int, files: int = 2) -> int:
        """Replace the range on the build's branch in one commit, each partition in so many files; the branch's head."""
        iceberg = self.lake.load(self.table)
        head = iceberg.metadata.snapshot_by_name("main")
        branch = branch_name(build_id)
        if head is not None:
            iceberg.manage_snapshots().create_branch(head.snapshot_id, branch).commit()
        old = self.lake.files(self.table, iceberg, head and head.snapshot_id, list(span.partitions()))
        parts: list[list[dict[str, object]]] = [[] for _ in range(files)]
        for partition, count in rows.items():
            for n in range(count):
                parts[n % files].append({"hour": partition, "item": f"i{n}", "version": version})
        with (
            iceberg.transaction() as transaction,
            transaction.update_snapshot(branch=branch).overwrite() as overwrite,
        ):
            for file in old.values():
                overwrite.delete_data_file(file)
            for part in parts:
                if part:
                    frame = pa.Table.from_pylist(part, schema=SCHEMA)
                    for file in _dataframe_to_data_files(iceberg.metadata, frame, iceberg.io):
                        overwrite.append_data_file(file)
        written = self.lake.branch_head(self.table, build_id)
        assert written is not None
        return written

    def finish(self, build: Build, span: Range, snapshot_id: int, rows: Mapping[datetime, int], version: int) -> None:
        """Record what the branch holds; two builds of one version and count have the same digest."""
        entries = [
            Written(p, n, f"{n}:{version}" if n else "0", None) for p in span.partitions() for n in [rows.get(p, 0)]
        ]
        with self.ledger.transaction() as session:
            builds.finish(session, build.id, snapshot_id, entries)

    def judge(self, build_id: str, passed: bool | set[datetime], snapshot_id: int | None = None) -> None:
        """Record a verdict for each partition of the build."""
        with self.ledger.transaction() as session:
            build = builds.get(session, build_id)
            if snapshot_id is not None:
                session.expunge(build)
                build.snapshot_id = snapshot_id
            partitions = Range(build.range_start, build.range_end, HOUR).partitions()
            found = [(p, passed if isinstance(passed, bool) else p in passed, []) for p in partitions]
            verdicts.record(session, build, found, "suite")

    def accept(self, build_id: str, partition: datetime) -> None:
        """A person's word for a held partition."""
        with self.ledger.transaction() as session:
            verdicts.accept(session, builds.get(session, build_id), partition, "Ada", "as sold")

    def publish(self, build_id: str) -> Outcome:
        """Publish what passed."""
        return publish(self.table, build_id, self.ledger, self.lake)

    @contextmanager
    def another_process(self) -> Iterator[Lake]:
        """The lake as another process has it: with a catalog and connections of its own."""
        other = replace(self.lake)
        try:
            yield other
        finally:
            other.catalog.close()

    def main(self) -> dict[datetime, tuple[int, int]]:
        """What a reader of ``main`` sees: rows and version of each hour that has rows.

        Raises:
            AssertionError: an hour holds an item twice, or rows of two versions.
        """
        return seen(self.lake.load(self.table).scan().to_arrow())

    def recorded(self) -> dict[datetime, tuple[str, int]]:
        """The ledger's current partitions: build and rows."""
        with self.ledger.transaction() as session:
            rows = session.scalars(select(Partition).where(Partition.table_name == self.table.name))
            return {row.partition: (row.build_id, row.rows) for row in rows}

    def intents(self) -> list[Intent]:
        """Intents that nobody has settled."""
        with self.ledger.transaction() as session:
            query = select(Intent).where(Intent.table_name == self.table.name, Intent.finished_at.is_(None))
            return list(session.scalars(query))

    def commits(self) -> list[str]:
        """The builds of main's commits, oldest first."""
        iceberg = self.lake.load(self.table)
        by_id = {s.snapshot_id: s for s in iceberg.metadata.snapshots}
        snapshot = iceberg.metadata.snapshot_by_name("main")
        found = []
        while snapshot is not None:
            assert snapshot.summary is not None
            found.append(snapshot.summary.additional_properties.get("feedmill.build-id", ""))
            snapshot = by_id.get(snapshot.parent_snapshot_id or -1)
        return [build_id for build_id in reversed(found) if build_id]

    def has_branch(self, build_id: str) -> bool:
        """Whether the build's branch is there."""
        return branch_name(build_id) in self.lake.load(self.table).metadata.refs


def seen(rows: pa.Table) -> dict[datetime, tuple[int, int]]:
    """Rows and version by hour; every hour whole and of one version."""
    found: dict[datetime, list[tuple[str, int]]] = {}
    for row in rows.to_pylist():
        found.setdefault(row["hour"], []).append((row["item"], row["version"]))
    for hour, entries in found.items():
        assert len({item for item, _ in entries}) == len(entries), f"{hour} holds an item twice"
        assert len({version for _, version in entries}) == 1, f"{hour} holds rows of two builds"
    return {hour: (len(entries), entries[0][1]) for hour, entries in found.items()}


def each(span: Range, rows: int) -> dict[datetime, int]:
    """So many rows in each partition."""
    return dict.fromkeys(span.partitions(), rows)
