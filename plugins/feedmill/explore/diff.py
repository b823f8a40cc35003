"""What a build would change: its rows compared with the published ones, partition by partition.

Whole rows are compared, as a multiset. A removed and an added row with the same key count as one changed row. Sketches
(BINARY) are left out of the comparison, because equal sketches may have different bytes. The digests that every build
records do compare their contents. So if a partition's rows are equal but its digests differ, only a sketch differs.

Beside the rows stands how each published partition was: fresh, stale or outdated, and why. If its inputs and its code
are those of the build, and its rows are others all the same, the transform does not give the same rows twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pyiceberg.types import BinaryType, DecimalType, DoubleType, FloatType, IntegerType, LongType

from feedmill.explore.lake_files import LakeFiles
from feedmill.explore.sql import open_duckdb, scan
from feedmill.freshness.load import picture
from feedmill.freshness.states import State
from feedmill.ledger import builds, publishes
from feedmill.spec import Table
from feedmill.timeline import Range

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from pyiceberg.schema import Schema

    from feedmill.checks.suite import Suite
    from feedmill.lake.catalog import Lake
    from feedmill.ledger.store import Ledger

_NUMBERS = (LongType, IntegerType, DoubleType, FloatType, DecimalType)


@dataclass(frozen=True)
class PartitionDiff:
    """How many rows change in one partition, and how it was before. ``sketches``: only sketches differ."""

    partition: datetime
    causes: Mapping[State, str]
    """Each of its states before the build, with its cause in words. Empty: it was not published, and not due."""
    before: int
    after: int
    added: int
    removed: int
    changed: int
    sketches: bool
    is_not_deterministic: bool
    """The same inputs and the same code gave other rows than the published ones."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.sketches)

    @property
    def was(self) -> str:
        """How it was before the build, in one or two words."""
        return next((_FRESH.get(state, state.value) for state in self.causes), "not published")


_FRESH = {State.PUBLISHED: "fresh", State.EMPTY: "fresh"}


@dataclass(frozen=True)
class ColumnDiff:
    """A column that differs between rows with the same key: in how many rows, and the first of these."""

    column: str
    rows: int
    key: Mapping[str, Any]
    before: Any
    after: Any


@dataclass(frozen=True)
class Diff:
    """What a build would change on ``main``."""

    key: tuple[str, ...]
    partitions: list[PartitionDiff]
    columns: list[ColumnDiff]

    def __bool__(self) -> bool:
        return any(self.partitions)


def compare(
    table: Table, span: Range, build_id: str, key: Sequence[str], ledger: Ledger, lake: Lake, now: datetime
) -> Diff:
    """Compare a finished build with what is published.

    The states are as if this build had never begun. They are read after it: a build registers new files, and what was
    published while it ran it may have read.

    Args:
        table: the build's table.
        span: its range.
        build_id: the build.
        key: the columns that identify a row. Empty: all columns that are not numbers.
        ledger: where the digests are.
        lake: where the rows are.
        now: the time, for deadlines and retention.
    """
    with ledger.transaction() as session:
        build = builds.get(session, build_id)
        written = builds.written(session, build_id)
    # The look makes the transaction one of a single snapshot.
    with ledger.transaction() as session:
        status = picture(session, [table], {table.name: build.identity}, now, without=build_id).status(table)
        current = publishes.current(session, table.name, span.partitions())
    published = {partition: row for partition, row in current.items() if status.is_published(partition)}
    unlike = [p for p in span.partitions() if p not in published or published[p].digest != written[p].digest]
    iceberg = lake.load(table)
    main = iceberg.metadata.snapshot_by_name("main")
    old = lake.files(table, iceberg, main.snapshot_id if main else None, unlike)
    new = lake.files(table, iceberg, build.snapshot_id, unlike)
    partition = lake.ddl(table).partition_column
    key = key_of(iceberg.schema(), partition, key)
    counts, columns = between(iceberg.schema(), partition, key, sorted(old), sorted(new))
    partitions = []
    for moment in span.partitions():
        before = published[moment].rows if moment in published else 0
        added, removed, changed = counts.get(table.every.name_of(moment), (0, 0, 0))
        equal = not (added or removed or changed)
        # A partition that was never published, or now has no rows, has no sketch that could differ.
        sketches = equal and moment in unlike and moment in published and written[moment].rows > 0
        partitions.append(
            PartitionDiff(
                moment,
                status.causes(moment),
                before,
                written[moment].rows,
                added,
                removed,
                changed,
                sketches,
                is_not_deterministic=moment in unlike and status.must_repeat(moment),
            )
        )
    return Diff(key, partitions, columns)


def between(
    schema: Schema, partition: str, key: Sequence[str], old: Sequence[str], new: Sequence[str]
) -> tuple[dict[str, tuple[int, int, int]], list[ColumnDiff]]:
    """Compare the rows of two sets of data files.

    Returns:
        By the names of the partitions that differ: rows added, removed and changed. And the columns in which changed
        rows differ.
    """
    files = LakeFiles([*old, *new])
    with open_duckdb(files) as connection:
        _prepare(connection, files, schema, partition, key, old, new)
        return _counts(connection), _columns(connection, schema, key)


def grain(suite: Suite) -> tuple[str, ...]:
    """The columns that must be unique together, as the suite says; empty if it says nothing of the kind."""
    for expectation in suite.expectations:
        if expectation.kind.scope == "unique" and "mostly" not in expectation.kwargs:
            return expectation.columns
    return ()


def key_of(schema: Schema, partition: str, key: Sequence[str]) -> tuple[str, ...]:
    """The columns that identify a row, partition first. Default: all that are neither numbers nor sketches.

    The default also applies if the schema lacks a column of ``key``: the suite may be older than an edit of the DDL.
    """
    known = {field.name for field in schema.fields}
    names = (
        key
        if key and known.issuperset(key)
        else [f.name for f in schema.fields if not isinstance(f.field_type, (*_NUMBERS, BinaryType))]
    )
    return tuple(dict.fromkeys([partition, *names]))


def _prepare(
    connection: DuckDBPyConnection,
    files: LakeFiles,
    schema: Schema,
    partition: str,
    key: Sequence[str],
    old: Sequence[str],
    new: Sequence[str],
) -> None:
    """Make the tables ``removed``, ``added`` and ``pairs``: the rows of both that have the same key."""
    columns = ", ".join(_q(f.name) for f in schema.fields if not isinstance(f.field_type, BinaryType))
    name = f"strftime({_q(partition)}, '{'%Y-%m-%dT%H' if _is_hourly(schema, partition) else '%Y-%m-%d'}')"
    keys = ", ".join(_q(k) for k in key)
    for relation, ours, theirs in (("removed", old, new), ("added", new, old)):
        connection.execute(
            f"CREATE TEMP TABLE {relation} AS "
            f"SELECT *, {name} AS feedmill_partition, count(*) OVER (PARTITION BY {keys}) AS feedmill_twins FROM ("
            f"SELECT {columns} FROM ({scan(files, schema, ours)}) "
            f"EXCEPT ALL SELECT {columns} FROM ({scan(files, schema, theirs)}))"
        )
    same = " AND ".join(f"r.{_q(k)} IS NOT DISTINCT FROM a.{_q(k)}" for k in key)
    # A key that stands twice on one side says no more which row became which.
    connection.execute(
        f"CREATE TEMP TABLE pairs AS SELECT r AS before, a AS after, a.feedmill_partition AS feedmill_partition "
        f"FROM removed r JOIN added a ON {same} AND r.feedmill_twins = 1 AND a.feedmill_twins = 1"
    )


def _counts(connection: DuckDBPyConnection) -> dict[str, tuple[int, int, int]]:
    """By partition name: rows added, removed and changed. A changed row counts only as changed."""
    found: dict[str, dict[str, int]] = {}
    for relation in ("added", "removed", "pairs"):
        query = f"SELECT feedmill_partition, count(*) FROM {relation} GROUP BY 1"
        for name, rows in connection.execute(query).fetchall():
            found.setdefault(name, {})[relation] = rows
    return {
        name: (rows.get("added", 0) - pairs, rows.get("removed", 0) - pairs, pairs)
        for name, rows in found.items()
        for pairs in [rows.get("pairs", 0)]
    }


def _columns(connection: DuckDBPyConnection, schema: Schema, key: Sequence[str]) -> list[ColumnDiff]:
    """The columns in which the pairs differ; those that differ in most rows come first."""
    found = []
    for column in [f.name for f in schema.fields if f.name not in key and not isinstance(f.field_type, BinaryType)]:
        differs = f"before.{_q(column)} IS DISTINCT FROM after.{_q(column)}"
        keys = ", ".join(f"after.{_q(k)}" for k in key)
        query = (
            f"SELECT count(*) OVER (), before.{_q(column)}, after.{_q(column)}, {keys} FROM pairs "
            f"WHERE {differs} ORDER BY {', '.join(f'after.{_q(k)}' for k in key)} LIMIT 1"
        )
        row = connection.execute(query).fetchone()
        if row:
            found.append(ColumnDiff(column, row[0], dict(zip(key, row[3:], strict=True)), row[1], row[2]))
    return sorted(found, key=lambda diff: (-diff.rows, diff.column))


def _is_hourly(schema: Schema, partition: str) -> bool:
    return str(schema.find_field(partition).field_type) != "date"


def _q(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
