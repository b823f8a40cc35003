"""Rows once for each partition that reads them: of windows, of dimensions, and of what is aligned with the reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from feedmill.spec import Input, Table
from feedmill.timeline import DAY, Period, Range

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


@dataclass(frozen=True)
class Reader:
    """Who reads: a table, for the range of one pass, and its partition column."""

    table: Table
    span: Range
    column: str


@dataclass(frozen=True)
class Read:
    """What is read of an input: its pinned snapshot, and of a dimension, which partition each of the reader's reads."""

    partitioned_by: Sequence[str]
    as_of: Mapping[datetime, datetime] = field(default_factory=dict)
    snapshot_id: int | None = None
    """The pinned snapshot; None: the input has none, and no rows."""


def for_reader(frame: DataFrame, entry: Input, reader: Reader, read: Read) -> DataFrame:
    """The rows of an input that the reader's partitions read, with the reader's partition column.

    Of windows and dimensions, a row comes once for each partition that reads it. Where their partitions are called as
    the reader's (days for a day), each row says in ``read_day`` or ``read_hour`` which one it stood in.
    """
    from pyspark.sql import functions as F

    theirs, mine, span = read.partitioned_by, reader.column, reader.span
    if entry.as_of:
        return _by_readers(frame, entry, reader, read)
    if entry.by == "touches":
        # The second partition column is the reader's hour: it prunes, whatever arrival hour a row came in.
        return frame.filter(within(F.col(theirs[1]), span)).withColumn(mine, F.col(theirs[1]))
    start, end = entry.window(span)
    column = F.col(theirs[0])
    kept = frame.filter((column >= _literal(start, entry.table.every)) & (column < _literal(end, entry.table.every)))
    if theirs[0] == mine:
        if not entry.lookback:
            return kept
        kept = kept.withColumn(f"read_{mine}", column)
    if entry.lookback:
        return kept.withColumn(mine, readers(column, entry.lookback, entry.lag, reader.table, span))
    return kept.withColumn(mine, reader_column(column, reader.table))


def within(column: Column, span: Range) -> Column:
    """The partitions of a range, as a condition on their column."""
    return (column >= _literal(span.start, span.period)) & (column < _literal(span.end, span.period))


def reader_column(theirs: Column, reader: Table) -> Column:
    """The reader's partition that holds the input's."""
    from pyspark.sql import functions as F

    return F.to_date(theirs) if reader.every is DAY else F.date_trunc("hour", theirs)


def readers(theirs: Column, lookback: timedelta, lag: timedelta, reader: Table, span: Range) -> Column:
    """The partitions of the pass whose windows ``[p - lookback, p + length - lag)`` hold the row, once for each."""
    from pyspark.sql import functions as F

    if len(span) == 1:
        return _literal(span.start, reader.every)

    def partition_of(distance: timedelta) -> Column:
        later = F.timestamp_add("SECOND", F.lit(int(distance.total_seconds())), theirs.cast("timestamp"))
        return F.date_trunc("day" if reader.every is DAY else "hour", later)

    first = F.greatest(F.lit(span.start), partition_of(lag))
    last = F.least(F.lit(span.end - reader.every.length), partition_of(lookback))
    step = F.make_dt_interval(hours=F.lit(reader.every.length // timedelta(hours=1)))
    found = F.sequence(first, last, step)
    # Not `to_date` itself: its second parameter, the format, would be taken for an index.
    return F.explode(F.transform(found, lambda moment: F.to_date(moment)) if reader.every is DAY else found)


def _by_readers(frame: DataFrame, entry: Input, reader: Reader, read: Read) -> DataFrame:
    """The dimension's rows once for each partition of the reader that reads them, as ``as_of`` has it."""
    from pyspark.sql import functions as F

    theirs, mine, every = read.partitioned_by[0], reader.column, reader.table.every
    pairs = [(_value(there, entry.table.every), _value(here, every)) for here, there in read.as_of.items()]
    kept = frame.filter(F.col(theirs).isin(sorted({there for there, _ in pairs})))
    if theirs == mine:
        kept, theirs = kept.withColumnRenamed(mine, f"read_{mine}"), f"read_{mine}"
    kinds = (f"{theirs} {_kind(entry.table.every)}", f"{mine} {_kind(every)}")
    return kept.join(F.broadcast(frame.sparkSession.createDataFrame(pairs, ", ".join(kinds))), theirs)


def _literal(moment: datetime, period: Period) -> Column:
    from pyspark.sql import functions as F

    return F.lit(_value(moment, period))


def _value(moment: datetime, period: Period) -> date:
    """A partition as Python has it: a day as its date."""
    return moment.date() if period is DAY else moment


def _kind(period: Period) -> str:
    return "date" if period is DAY else "timestamp"
