"""Judging in Spark: only the passes over all rows run there.

Partitions that must be looked at one by one come to pandas in packs; only a partition that is too large for pandas is
judged in Spark itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any

from feedmill.checks.engine import PANDAS_ROWS, Doubtful
from feedmill.checks.engine_pandas import PandasRows, frame_from_arrow
from feedmill.checks.findings import SAMPLES, Finding, about_rows
from feedmill.checks.gx import Gx
from feedmill.checks.samples import COLUMNS, json_safe, moment_of, sample_columns, scalar_columns
from feedmill.checks.suite import Expectation

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


class SparkRows:
    """Rows in a Spark frame; those of other partitions are left out."""

    def __init__(self, frame: DataFrame, partitions: Sequence[datetime], column: str):
        from pyspark.sql import functions as sf

        self._raw = frame
        self._column = column
        self._type = frame.schema[column].dataType.typeName()
        self.columns = list(frame.columns)
        self._frame = self._only(partitions)
        counted = self._frame.groupBy(_quoted(column)).agg(sf.count(sf.lit(1)).alias("rows")).toArrow().to_pylist()
        found = {moment_of(row[column]): int(row["rows"]) for row in counted}
        self.counts = {p: found.get(p, 0) for p in partitions}
        self._gx = Gx.spark()

    def doubtful(self, expectations: Sequence[Expectation]) -> Doubtful:
        """For every partition with rows, the expectations that some row of the range fails."""
        frame = _normalized(self._frame)
        unique = [e for e in expectations if e.kind.scope == "unique"]
        held = {e.id for e in unique if not _shared(frame, e).limit(1).toArrow().num_rows}
        held |= self._gx.holds(frame, [e for e in expectations if e.kind.scope != "unique"])
        left = [e for e in expectations if e.id not in held]
        return {partition: left for partition, count in self.counts.items() if count and left}

    def each(self, doubtful: Doubtful) -> Iterator[tuple[datetime, list[Finding]]]:
        """Pack by pack in pandas; a partition of more rows than a pack holds in Spark."""
        expectations = list({e.id: e for some in doubtful.values() for e in some}.values())
        needed = self._needed(expectations)
        for pack in packs({partition: self.counts[partition] for partition in doubtful}):
            part = self._only(pack)
            if len(pack) == 1 and self.counts[pack[0]] > PANDAS_ROWS:
                yield pack[0], self._large(_normalized(part), expectations)
            else:
                rows = PandasRows(frame_from_arrow(part.select(needed).toArrow()), pack, self._column)
                yield from rows.each(rows.doubtful(expectations) if len(pack) > 1 else {pack[0]: expectations})

    def _large(self, part: DataFrame, expectations: Sequence[Expectation]) -> list[Finding]:
        unique = [_unique_finding(part, e, self._column) for e in expectations if e.kind.scope == "unique"]
        rest = [e for e in expectations if e.kind.scope != "unique"]
        return [f for f in unique if f is not None] + self._gx.findings(part, rest, self._column)

    def _only(self, partitions: Sequence[datetime]) -> DataFrame:
        """The rows of these partitions; a filter on the bare column, which Iceberg prunes files by."""
        from pyspark.sql import functions as sf

        moments: list[Any] = list(partitions)
        if self._type == "date":
            moments = [moment.date() for moment in partitions]
        elif self._type == "timestamp_ntz":
            moments = [moment.replace(tzinfo=None) for moment in partitions]
        return self._raw.where(sf.col(_quoted(self._column)).isin(moments))

    def _needed(self, expectations: Sequence[Expectation]) -> list[str]:
        names = {self._column}.union(*(e.columns for e in expectations))
        if any(e.kind.by_row for e in expectations):
            # As many as a sample can show, whatever columns its expectation puts first.
            names.update(scalar_columns(self._raw)[:COLUMNS])
        return [_quoted(name) for name in self.columns if name in names]


def packs(counts: Mapping[datetime, int]) -> Iterator[list[datetime]]:
    """Partitions that have rows, in groups of at most :data:`PANDAS_ROWS` rows; a larger one stands alone."""
    pack: list[datetime] = []
    size = 0
    for partition, count in counts.items():
        if not count:
            continue
        if pack and size + count > PANDAS_ROWS:
            yield pack
            pack, size = [], 0
        pack.append(partition)
        size += count
    if pack:
        yield pack


def _unique_finding(part: DataFrame, expectation: Expectation, partition_column: str) -> Finding | None:
    """Uniqueness in Spark by grouping; GX's window function sorts all rows of all columns."""
    from pyspark.sql import functions as sf

    shared = _shared(part, expectation)
    total = shared.agg(sf.sum("__rows")).toArrow().column(0)[0].as_py()
    count = int(total or 0)
    judged = part.where(_judged(expectation)).count() if expectation.kwargs.get("mostly", 1) != 1 else count
    if not count or 1 - count / judged >= expectation.kwargs.get("mostly", 2):
        return None
    names = sample_columns(scalar_columns(part), expectation.columns, partition_column)
    groups = shared.limit(SAMPLES).toArrow().to_pylist()
    match = reduce(
        or_,
        [
            reduce(and_, [sf.col(_quoted(c)).eqNullSafe(sf.lit(group[c])) for c in expectation.columns])
            for group in groups
        ],
    )
    rows = part.where(match).select([_quoted(name) for name in names]).limit(SAMPLES).toArrow().to_pylist()
    return about_rows(expectation, count, tuple({name: json_safe(row[name]) for name in row} for row in rows))


def _shared(frame: DataFrame, expectation: Expectation) -> DataFrame:
    """Groups of rows that share the columns of a uniqueness, with their number of rows in ``__rows``."""
    from pyspark.sql import functions as sf

    columns = [sf.col(_quoted(name)) for name in expectation.columns]
    groups = frame.where(_judged(expectation)).groupBy(columns).agg(sf.count(sf.lit(1)).alias("__rows"))
    return groups.where(sf.col("__rows") > 1)


def _judged(expectation: Expectation) -> Column:
    """Rows where at least one of the columns has a value; as in GX, rows of nulls alone are not compared."""
    from pyspark.sql import functions as sf

    return reduce(or_, [sf.col(_quoted(name)).isNotNull() for name in expectation.columns])


def _normalized(frame: DataFrame) -> DataFrame:
    """NaN as null, as in pandas, and times as naive UTC, since GX compares what it collects in Python."""
    from pyspark.sql import functions as sf

    columns = []
    for field in frame.schema.fields:
        column = sf.col(_quoted(field.name))
        match field.dataType.typeName():
            case "float" | "double":
                column = sf.when(~sf.isnan(column), column)
            case "timestamp":
                column = sf.to_utc_timestamp(column, sf.current_timezone()).cast("timestamp_ntz")
        columns.append(column.alias(field.name))
    return frame.select(columns)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
