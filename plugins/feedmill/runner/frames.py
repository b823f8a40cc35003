"""The frames that a transform receives: registered files as records, and inputs pinned to a snapshot.

Every frame carries the reader's partition column, so that transforms do no partition arithmetic.
"""

from __future__ import annotations

import importlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from functools import reduce
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import fsspec

from feedmill.connections import CATALOG
from feedmill.lake.catalog import Lake
from feedmill.spec import FileKind, Files, Input, Source, Table
from feedmill.timeline import DAY, Period, Range

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.connect.session import SparkSession

    from feedmill.ledger.models import File

_FILE_FACTS = "place string, source_file string, file_name string, received_at timestamp, arrival_hour timestamp"

_PLACE = "source_file string, line bigint, received_at timestamp, arrival_hour timestamp, raw string, reason string"


def records(
    spark: SparkSession,
    entry: Files,
    reader: Table,
    span: Range,
    registered: Iterable[File],
    lake: Lake,
    sources: dict[str, Source],
) -> DataFrame:
    """Every row of the registered files, good and bad; a file with a defect is one row with its reason."""
    from pyspark.sql import functions as F

    from include.spark.sources.rules import FIELDS

    schema = ", ".join([_PLACE, *(f"{name} {kind}" for name, kind in FIELDS[entry.kind].items())])
    by_source: defaultdict[str, list[File]] = defaultdict(list)
    for file in registered:
        by_source[file.source].append(file)
    parts = [spark.createDataFrame([], schema)]
    for name, group in sorted(by_source.items()):
        intact = [file for file in group if file.defect is None]
        module = importlib.import_module(f"include.spark.sources.{name}")
        rows = _lines if sources[name].layout == "lines" else _parquet_rows
        parts += [module.read(frame) for frame in rows(spark, intact)]
        broken = [
            (file.path, None, file.received_at, file.arrival_hour, None, file.defect) for file in group if file.defect
        ]
        if broken:
            parts.append(spark.createDataFrame(broken, _PLACE).withColumn("source", F.lit(name)))
    union = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), parts)
    column = lake.ddl(reader).partition_column
    if column == "arrival_hour":
        return union
    arrived = F.col("arrival_hour")
    if entry.lookback:
        return union.withColumn(column, _readers(arrived, entry.lookback, timedelta(0), reader, span))
    return union.withColumn(column, _reader_column(arrived, reader))


def rows_of(
    spark: SparkSession,
    entry: Input,
    reader: Table,
    span: Range,
    snapshot_id: int | None,
    as_of: Mapping[datetime, datetime],
    lake: Lake,
) -> DataFrame:
    """The input's rows that the pass reads, as of the pinned snapshot; ``as_of`` says which partition reads which.

    Of windows and dimensions, a row comes once for each partition that reads it. Where their partitions are called as
    the reader's (days for a day), each row says in ``read_day`` or ``read_hour`` which one it stood in.
    """
    from pyspark.sql import functions as F

    name = f"{CATALOG}.{entry.table.name}"
    if snapshot_id is None:
        frame: DataFrame = spark.table(name).limit(0)
    else:
        frame = spark.read.option("versionAsOf", str(snapshot_id)).table(name)
    theirs = lake.ddl(entry.table)
    mine = lake.ddl(reader).partition_column
    if entry.as_of:
        return _by_readers(frame, theirs.partition_column, mine, as_of, entry, reader)
    if entry.by == "touches":
        # The second partition column is the reader's hour: it prunes, whatever arrival hour a row came in.
        touched = theirs.partitioned_by[1]
        return frame.filter(_within(F.col(touched), span)).withColumn(mine, F.col(touched))
    start, end = entry.window(span)
    column = F.col(theirs.partition_column)
    kept = frame.filter((column >= _literal(start, entry.table.every)) & (column < _literal(end, entry.table.every)))
    if theirs.partition_column == mine:
        if not entry.lookback:
            return kept
        kept = kept.withColumn(f"read_{mine}", column)
    if entry.lookback:
        return kept.withColumn(mine, _readers(column, entry.lookback, entry.lag, reader, span))
    return kept.withColumn(mine, _reader_column(column, reader))


def condition(table: Table, span: Range, lake: Lake) -> Column:
    """The rows of a range, as a Spark condition on the partition column."""
    from pyspark.sql import functions as F

    return _within(F.col(lake.ddl(table).partition_column), span)


def _within(column: Column, span: Range) -> Column:
    return (column >= _literal(span.start, span.period)) & (column < _literal(span.end, span.period))


def _literal(moment: datetime, period: Period) -> Column:
    from pyspark.sql import functions as F

    return F.lit(_value(moment, period))


def _value(moment: datetime, period: Period) -> date:
    """A partition as Python has it: a day as its date."""
    return moment.date() if period is DAY else moment


def _kind(period: Period) -> str:
    return "date" if period is DAY else "timestamp"


def _reader_column(theirs: Column, reader: Table) -> Column:
    """The reader's partition that holds the input's."""
    from pyspark.sql import functions as F

    return F.to_date(theirs) if reader.every is DAY else F.date_trunc("hour", theirs)


def _by_readers(
    frame: DataFrame, theirs: str, mine: str, as_of: Mapping[datetime, datetime], entry: Input, reader: Table
) -> DataFrame:
    """The dimension's rows once for each partition of the reader that reads them, as ``as_of`` has it."""
    from pyspark.sql import functions as F

    pairs = [(_value(read, entry.table.every), _value(reading, reader.every)) for reading, read in as_of.items()]
    kept = frame.filter(F.col(theirs).isin(sorted({read for read, _ in pairs})))
    if theirs == mine:
        kept, theirs = kept.withColumnRenamed(mine, f"read_{mine}"), f"read_{mine}"
    kinds = (f"{theirs} {_kind(entry.table.every)}", f"{mine} {_kind(reader.every)}")
    return kept.join(F.broadcast(frame.sparkSession.createDataFrame(pairs, ", ".join(kinds))), theirs)


def _readers(theirs: Column, lookback: timedelta, lag: timedelta, reader: Table, span: Range) -> Column:
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
    readers = F.sequence(first, last, step)
    # Not `to_date` itself: its second parameter, the format, would be taken for an index.
    return F.explode(F.transform(readers, lambda moment: F.to_date(moment)) if reader.every is DAY else readers)


def _facts(spark: SparkSession, group: list[File]) -> DataFrame:
    rows = [
        (
            f.path.partition("://")[2].lstrip("/"),
            f.path,
            PurePosixPath(f.path).name,
            f.received_at,
            f.arrival_hour,
        )
        for f in group
    ]
    return spark.createDataFrame(rows, _FILE_FACTS)


def _place() -> Column:
    """A file's path without scheme and leading slashes: Spark writes file:/ where the ledger has file:///.

    Spark writes ``two%20words`` for ``two words``, which the join with the ledger's path would drop in silence. A plus
    stands for itself there, and not for a space.
    """
    from pyspark.sql import functions as F

    path = F.url_decode(F.replace(F.col("_metadata.file_path"), F.lit("+"), F.lit("%2B")))
    return F.regexp_replace(path, "^[a-z0-9]+:/*", "").alias("place")


def _literally(path: str) -> str:
    """A path that Spark does not take for a pattern: ``a[1].jsonl`` is a file, and not ``a1.jsonl``."""
    return re.sub(r"([\\*?\[\]{}])", r"\\\1", path)


def _lines(spark: SparkSession, group: list[File]) -> list[DataFrame]:
    """The files' lines with their numbers, however Spark cuts the files into blocks and packs these into tasks.

    A row's id counts within its task, so a line's number is its distance from its block's first id, plus the lines of
    the file's earlier blocks. Counting those reads the text once more, which is cheap beside parsing it.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    if not group:
        return []
    text = spark.read.option("lineSep", "\n").text([_literally(f.path) for f in group])
    lines = text.select(
        _place(),
        F.col("_metadata.file_block_start").alias("block"),
        F.monotonically_increasing_id().alias("id"),
        F.col("value").alias("raw"),
    )
    earlier = Window.partitionBy("place").orderBy("block").rowsBetween(Window.unboundedPreceding, -1)
    blocks = (
        lines.groupBy("place", "block")
        .agg(F.min("id").alias("first"), F.count("*").alias("count"))
        .withColumn("before", F.coalesce(F.sum("count").over(earlier), F.lit(0)))
    )
    numbered = (
        lines.join(F.broadcast(blocks), ["place", "block"])
        .withColumn("line", F.col("before") + F.col("id") - F.col("first") + 1)
        # A blank line of a file with CRLF ends is a carriage return.
        .filter(F.trim("raw", F.lit(" \t\r")) != "")
        .join(F.broadcast(_facts(spark, group)), "place")
    )
    return [numbered.select("source_file", "file_name", "line", "received_at", "arrival_hour", "raw")]


def _parquet_rows(spark: SparkSession, group: list[File]) -> list[DataFrame]:
    """One frame for each schema among the files: Spark would read all by the first one's, or refuse."""
    from pyspark.sql import functions as F

    by_schema: defaultdict[str, list[File]] = defaultdict(list)
    for file in group:
        by_schema[_parquet_schema(file.path)].append(file)
    frames = []
    for _, files in sorted(by_schema.items()):
        rows = spark.read.parquet(*[_literally(f.path) for f in files])
        own = [c for c in rows.columns if c not in {"source_file", "file_name", "line", "received_at", "arrival_hour"}]
        frame = rows.select(_place(), (F.col("_metadata.row_index") + 1).alias("line"), *own)
        frames.append(frame.join(F.broadcast(_facts(spark, files)), "place").drop("place"))
    return frames


def _parquet_schema(path: str) -> str:
    import pyarrow.parquet as pq

    fs, inner = fsspec.core.url_to_fs(path)
    with fs.open(inner, "rb") as stream:
        return str(pq.ParquetFile(stream).schema_arrow.remove_metadata())


def kinds_of(table: Table) -> list[FileKind]:
    """The kinds of files that a table reads."""
    return [entry.kind for entry in table.inputs if isinstance(entry, Files)]
