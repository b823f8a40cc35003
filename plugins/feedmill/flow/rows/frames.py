"""The frames that a transform receives: registered files as records, and inputs pinned to a snapshot.

Every frame carries the reader's partition column, so that transforms do no partition arithmetic.
"""

from __future__ import annotations

import importlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import reduce
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from feedmill.connections import CATALOG
from feedmill.flow.rows.parquet import UnreadableError, read_schema
from feedmill.flow.rows.readers import Read, Reader, for_reader, reader_column, readers, within
from feedmill.lake.schema import Ddl
from feedmill.landing.names import located, opened
from feedmill.landing.shorten import Copies
from feedmill.spec import FileKind, Files, Input, Source, Table
from feedmill.timeline import Range

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.connect.session import SparkSession

    from feedmill.ledger.models import File

NO_COPIES = Copies()

OPEN_COST = 512 * 1024
"""What opening a file counts, in bytes, where Iceberg divides a read into tasks of 16 MB or more. A table of hours is
many small files: at Iceberg's own 4 MB, five weeks of them were read by 210 tasks of 4 files, and are by 27 now."""

SMALL_FILES = {
    # Spark asks for each path's size by a task of its own, again for every analysis of the plan: for 1,500 files that
    # took 8 of 13 seconds on two cores, and takes half a second with so few tasks.
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "64",
    # What opening a file counts where Spark packs files into tasks of 128 MB: at its own 4 MB, 32 files a task.
    "spark.sql.files.openCostInBytes": str(64 * 1024),
}
"""How a session reads landed files: an hour may have arrived as 20,000 small ones."""
_AS_THEY_ARE = {
    "fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
    "fs.file.impl.disable.cache": "true",
}
"""Hadoop's own way of reading a local file looks for a checksum beside it. So it fails on a name with a colon, as in
``13:00:00.jsonl``, and on a file beside which somebody left a wrong one. Buckets are not concerned."""

_FILE_FACTS = "_place string, source_file string, file_name string, received_at timestamp, arrival_hour timestamp"

_PLACE = "source_file string, line bigint, received_at timestamp, arrival_hour timestamp, raw string, reason string"


def records(
    spark: SparkSession,
    entry: Files,
    reader: Reader,
    registered: Iterable[File],
    sources: Mapping[str, Source],
    copies: Copies = NO_COPIES,
) -> DataFrame:
    """Every row of the registered files, good and bad; a defect or disowned file is one row with its reason.

    ``copies``: from where files are read instead that have lines that Spark must not see.
    """
    from pyspark.sql import functions as F

    from include.spark.sources.rules import FIELDS

    for setting, value in SMALL_FILES.items():
        spark.conf.set(setting, value)
    schema = ", ".join([_PLACE, *(f"{name} {kind}" for name, kind in FIELDS[entry.kind].items())])
    by_source: defaultdict[str, list[File]] = defaultdict(list)
    for file in registered:
        by_source[file.source].append(file)
    parts = [spark.createDataFrame([], schema)]
    for name, group in sorted(by_source.items()):
        source = sources[name]
        defects = {file.path: file.not_read for file in group if file.not_read is not None}
        defects |= {file.path: copies.unreadable[file.path] for file in group if file.path in copies.unreadable}
        intact = [file for file in group if file.path not in defects]
        if source.layout == "lines":
            rows = _lines(spark, intact, copies.urls)
        else:
            by_schema, unreadable = _by_schema(intact, source.columns)
            rows = [_parquet_rows(spark, schema, files) for schema, files in sorted(by_schema.items())]
            defects |= unreadable
        module = importlib.import_module(f"include.spark.sources.{name}")
        parts += [module.read(frame) for frame in rows]
        broken = [
            (file.path, None, file.received_at, file.arrival_hour, None, defects[file.path])
            for file in group
            if file.path in defects
        ]
        if broken:
            parts.append(spark.createDataFrame(broken, _PLACE).withColumn("source", F.lit(name)))
    union = reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), parts)
    if reader.column == "arrival_hour":
        return union
    arrived = F.col("arrival_hour")
    if entry.lookback:
        mine = readers(arrived, entry.lookback, timedelta(0), reader.table, reader.span)
        return union.withColumn(reader.column, mine)
    return union.withColumn(reader.column, reader_column(arrived, reader.table))


def rows_of(spark: SparkSession, entry: Input, reader: Reader, read: Read) -> DataFrame:
    """The input's rows that the pass reads, as of the pinned snapshot, with the reader's partition column."""
    if read.snapshot_id is None:
        frame = spark.table(f"{CATALOG}.{entry.table.name}").limit(0)
    else:
        frame = at_snapshot(spark, entry.table, read.snapshot_id)
    return for_reader(frame, entry, reader, read)


def at_snapshot(spark: SparkSession, table: Table, snapshot_id: int) -> DataFrame:
    """A table's rows in a snapshot; small files are read together."""
    reader = spark.read.option("versionAsOf", str(snapshot_id)).option("file-open-cost", str(OPEN_COST))
    return reader.table(f"{CATALOG}.{table.name}")


def condition(ddl: Ddl, span: Range) -> Column:
    """The rows of a range, as a Spark condition on the partition column."""
    from pyspark.sql import functions as F

    return within(F.col(ddl.partition_column), span)


def _facts(spark: SparkSession, frame: DataFrame, group: list[File], copies: Mapping[str, str]) -> DataFrame:
    """What the ledger knows of the files that a frame reads; ``_place`` is a file's path as Spark writes it, or that of
    the copy that is read instead.

    Spark writes ``two%20words`` for ``two words``, and a plus for itself. Its spelling is asked for once a file: undone
    in each row, it took a tenth of the time of landing Parquet. In rows it has file:/ where its list has file:///, so
    that a local file stands here in both ways.

    Raises:
        RuntimeError: Spark does not read one of the files; the join with their places would drop it in silence.
    """

    def bare(path: str) -> str:
        return re.sub("^[a-z0-9]+:/*", "", path)

    spelled = {bare(unquote(place)): place for place in frame.inputFiles()}
    places = {file.path: bare(copies.get(file.path, file.path)) for file in group}
    unread = [path for path, place in places.items() if place not in spelled]
    if unread:
        raise RuntimeError(f"Spark does not read {len(unread)} of {len(group)} registered files: {unread[0]}, …")
    rows = [
        (place, file.path, PurePosixPath(file.path).name, file.received_at, file.arrival_hour)
        for file in group
        for place in sorted({spelled[places[file.path]], spelled[places[file.path]].replace(":///", ":/", 1)})
    ]
    return spark.createDataFrame(rows, _FILE_FACTS)


def _place() -> Column:
    from pyspark.sql import functions as F

    return F.col("_metadata.file_path").alias("_place")


def _literally(path: str) -> str:
    """A path that Spark does not take for a pattern: ``a[1].jsonl`` is a file, and not ``a1.jsonl``."""
    return re.sub(r"([\\*?\[\]{}])", r"\\\1", path)


def _lines(spark: SparkSession, group: list[File], copies: Mapping[str, str]) -> list[DataFrame]:
    """The files' lines with their numbers, however Spark cuts the files into blocks and packs these into tasks.

    A row's id counts within its task, so a line's number is its distance from its block's first id, plus the lines of
    the file's earlier blocks. Counting those reads the text once more, which is cheap beside parsing it.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    if not group:
        return []
    paths = [_literally(copies.get(file.path, file.path)) for file in group]
    text = spark.read.options(**_AS_THEY_ARE).option("lineSep", "\n").text(paths)
    lines = text.select(
        _place(),
        F.col("_metadata.file_block_start").alias("block"),
        F.monotonically_increasing_id().alias("id"),
        F.col("value").alias("raw"),
    )
    earlier = Window.partitionBy("_place").orderBy("block").rowsBetween(Window.unboundedPreceding, -1)
    blocks = (
        lines.groupBy("_place", "block")
        .agg(F.min("id").alias("first"), F.count("*").alias("count"))
        .withColumn("before", F.coalesce(F.sum("count").over(earlier), F.lit(0)))
    )
    numbered = (
        lines.join(F.broadcast(blocks), ["_place", "block"])
        .withColumn("line", F.col("before") + F.col("id") - F.col("first") + 1)
        # A blank line of a file with CRLF ends is a carriage return.
        .filter(F.trim("raw", F.lit(" \t\r")) != "")
        .join(F.broadcast(_facts(spark, text, group, copies)), "_place")
    )
    return [numbered.select("source_file", "file_name", "line", "received_at", "arrival_hour", "raw")]


def _by_schema(group: list[File], columns: Sequence[str]) -> tuple[dict[str, list[File]], dict[str, str]]:
    """The files by the schema to read them with, and why Spark cannot read the others, by path.

    Spark would read all by the first one's schema, or refuse.
    """
    import pyarrow.parquet as pq

    by_schema: defaultdict[str, list[File]] = defaultdict(list)
    unreadable = {}
    for file in group:
        with opened(*located(file.path)) as stream:
            try:
                by_schema[read_schema(pq.ParquetFile(stream), columns)].append(file)
            except UnreadableError as error:
                unreadable[file.path] = str(error)
    return by_schema, unreadable


def _parquet_rows(spark: SparkSession, schema: str, group: list[File]) -> DataFrame:
    """The files' rows with their numbers, and the columns of the schema."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import StructType

    columns = StructType.fromJson(json.loads(schema))
    rows = spark.read.options(**_AS_THEY_ARE).schema(columns).parquet(*[_literally(f.path) for f in group])
    # In backticks, for a dot in a name would lead into a struct.
    own = [F.col(f"`{name.replace('`', '``')}`") for name in columns.names]
    numbered = rows.select(_place(), (F.col("_metadata.row_index") + 1).alias("line"), *own)
    return numbered.join(F.broadcast(_facts(spark, rows, group, {})), "_place").drop("_place")


def kinds_of(table: Table) -> list[FileKind]:
    """The kinds of files that a table reads."""
    return [entry.kind for entry in table.inputs if isinstance(entry, Files)]
