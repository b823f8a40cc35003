"""A Spark Connect server of the run's own, and the tables of the map in it, as Parquet in a temporary folder.

The product builds a table through its runner: ledger, Iceberg, branches. Here the same transforms get the same frames
(the windows of the map, the reader's partition column) and nothing else, so that an evaluation needs no stack.
"""

from __future__ import annotations

import importlib
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.data import PROJECT
from feedmill.local import preflight
from feedmill.local.home import free_ports
from feedmill.local.spark import MODULE_OPTIONS
from feedmill.spec import Input, Table
from feedmill.timeline import DAY, Period, Range
from include.tables import TABLES

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.connect.session import SparkSession

_HEAP = "4g"


@contextmanager
def session(folder: Path) -> Iterator[SparkSession]:
    """A session on a server that lives as long as the block; its tables lie below ``folder``."""
    import pyspark
    from pyspark.sql.connect.session import SparkSession

    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    port, token = _free_port(), secrets.token_hex(16)
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    home = Path(pyspark.__file__).parent
    settings = {
        "spark.master": "local[2]",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": str(folder / "tmp"),
        "spark.sql.warehouse.dir": (folder / "warehouse").as_uri(),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.sources.partitionOverwriteMode": "dynamic",
        "spark.connect.authenticate.token": token,
    }
    properties = folder / "spark.properties"
    properties.touch(mode=0o600)
    properties.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    command = [
        str(preflight.java()),
        *MODULE_OPTIONS,
        f"-Xmx{_HEAP}",
        "-Duser.timezone=UTC",
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        f"-Dderby.system.home={folder}",
        *("-cp", f"{home}/jars/*", "org.apache.spark.deploy.SparkSubmit"),
        *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
        *("--properties-file", str(properties), "spark-internal"),
    ]
    with (folder / "spark.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, "SPARK_HOME": str(home)}
        )
        try:
            _wait(process, port, folder / "spark.log")
            spark = SparkSession.builder.remote(f"sc://localhost:{port}/;token={token}").create()
            try:
                yield spark
            finally:
                # Else its threads keep a failed run from ending.
                spark.stop()
        finally:
            process.terminate()
            process.wait(30)


def _free_port() -> int:
    return next(iter(free_ports().values()))


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 120
    while not preflight.listens(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Spark did not start; the end of its log:\n{log.read_text()[-2000:]}")
        time.sleep(0.2)


class Lake:
    """The tables of the map, built by their transforms from what the map says they read.

    Tables are named ``<schema>.<name>`` as in the product; rows of an input that nobody wrote or built are none.
    """

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark
        self.empty()

    def empty(self) -> None:
        """Every table of the map, without rows."""
        for schema in sorted({table.schema for table in TABLES}):
            self.spark.sql(f"CREATE DATABASE IF NOT EXISTS {schema}")
        for table in TABLES:
            ddl = (PROJECT / table.ddl_path).read_text()
            self.spark.sql(f"DROP TABLE IF EXISTS {table.name}")
            self.spark.sql(re.sub(r"USING iceberg", "USING parquet", ddl))

    def rows(self, table: Table) -> DataFrame:
        """All rows of a table."""
        return self.spark.table(table.name)

    def write(self, table: Table, frame: DataFrame) -> None:
        """Replace the partitions of ``table`` that ``frame`` has rows of."""
        from pyspark.sql import functions as F

        kinds = {field.name: field.dataType for field in self.rows(table).schema}
        present = set(frame.columns)
        columns = [F.col(n) if n in present else F.lit(None).cast(kind).alias(n) for n, kind in kinds.items()]
        frame.select(*columns).write.insertInto(table.name, overwrite=True)

    def land(self, folder: Path, start: datetime, end: datetime, only: Column | None = None) -> None:
        """events.clean and catalog.items of the landing zone's files in ``folder``, read by the product's sources.

        ``only``: a condition on the clean events that are kept; by default all are.
        """
        from pyspark.sql import functions as F

        from include.spark.events import clean, landed
        from include.spark.sources import events_parquet, items_jsonl

        place = F.col("_metadata.file_path")
        facts = (
            place.alias("source_file"),
            F.col("_metadata.file_name").alias("file_name"),
            F.col("_metadata.file_modification_time").alias("received_at"),
            F.to_timestamp(F.regexp_extract(place, r"/(\d{4}-\d{2}-\d{2}T\d{2})/", 1), "yyyy-MM-dd'T'HH").alias(
                "arrival_hour"
            ),
        )
        reader = self.spark.read.option("recursiveFileLookup", "true")
        events = reader.parquet(str(folder / events_parquet.SOURCE.name))
        line = (F.col("_metadata.row_index") + 1).alias("line")
        rows = landed.transform(events_parquet.read(events.select(*facts, line, *events.columns)))
        within = (F.col("event_hour") >= F.lit(start)) & (F.col("event_hour") < F.lit(end))
        kept = clean.transform(rows.where(within).withColumn("hour", F.col("event_hour")))
        self.write(TABLES["events.clean"], kept if only is None else kept.where(only))

        text = reader.text(str(folder / items_jsonl.SOURCE.name))
        lines = text.select(*facts, F.monotonically_increasing_id().alias("line"), F.col("value").alias("raw"))
        span = F.sequence(F.lit(start.date()), F.lit((end - DAY.length).date()))
        records = items_jsonl.read(lines).withColumn("day", F.explode(span))
        known = records.where(F.to_date("arrival_hour") <= F.col("day"))
        transform = importlib.import_module("include.spark.catalog.items").transform
        self.write(TABLES["catalog.items"], transform(known))

    def build(self, table: Table, start: datetime, end: datetime, where: Mapping[str, Column] | None = None) -> None:
        """Build the partitions of ``[start, end)``: in one pass as long as dimensions (``as_of``) do not change.

        ``where``: which rows of an input, by its parameter, are read; of the others all are.
        """
        transform = importlib.import_module(table.transform_module).transform
        inputs = [entry for entry in table.inputs if isinstance(entry, Input)]
        if len(inputs) != len(table.inputs):
            raise ValueError(f"{table.name} reads files; write its rows instead")
        known = {entry.parameter: self._partitions(entry.table) for entry in inputs if entry.as_of}
        for part, newest in _passes(Range.cover(start, end, table.every), inputs, known):
            frames = {
                entry.parameter: self._as_of(entry, newest[entry.parameter], table, part)
                if entry.as_of
                else self._window(entry, table, part)
                for entry in inputs
            }
            frames |= {name: frames[name].where(kept) for name, kept in (where or {}).items()}
            self.write(table, transform(**frames))

    def _partitions(self, table: Table) -> list[datetime]:
        column = _partition_columns(table)[0]
        found = [row[0] for row in self.rows(table).select(column).distinct().collect()]
        return sorted(
            moment.astimezone(UTC)
            if isinstance(moment, datetime)
            else datetime.combine(moment, datetime.min.time(), UTC)
            for moment in found
        )

    def _as_of(self, entry: Input, newest: datetime | None, reader: Table, part: Range) -> DataFrame:
        """The dimension's rows, once for each partition of the part."""
        from pyspark.sql import functions as F

        rows, theirs, mine = self.rows(entry.table), _partition_columns(entry.table)[0], _partition_columns(reader)[0]
        kept = rows.limit(0) if newest is None else rows.where(F.col(theirs) == _literal(newest, entry.table.every))
        named = kept.withColumnRenamed(mine, f"read_{mine}") if theirs == mine else kept
        readers = [_literal(moment, reader.every) for moment in part.partitions()]
        return named.withColumn(mine, F.explode(F.array(*readers)))

    def _window(self, entry: Input, reader: Table, part: Range) -> DataFrame:
        """The rows of the window, once for each partition that reads them, which stands in the reader's column."""
        from pyspark.sql import functions as F

        theirs, mine = _partition_columns(entry.table), _partition_columns(reader)[0]
        column = F.col(theirs[1] if entry.by == "touches" else theirs[0])
        start, end = entry.window(part)
        period = entry.table.every
        kept = self.rows(entry.table).where((column >= _literal(start, period)) & (column < _literal(end, period)))
        if not entry.lookback:
            if theirs[0] == mine:
                return kept
            return kept.withColumn(mine, F.to_date(column) if reader.every is DAY else F.date_trunc("hour", column))
        marked = kept.withColumn(f"read_{mine}", column) if theirs[0] == mine else kept
        moment = F.unix_seconds(column.cast("timestamp"))
        length = int(reader.every.length.total_seconds())
        # A partition that starts at s reads what starts in [s - lookback, s + length - lag).
        first = moment + int(entry.lag.total_seconds()) - length + 1
        aligned = F.ceil(first / length) * length
        last = F.floor((moment + int(entry.lookback.total_seconds())) / length) * length
        low, high = F.lit(_seconds(part.start)), F.lit(_seconds(part.end) - length)
        readers = F.sequence(F.greatest(aligned, low), F.least(last, high), F.lit(length))
        exploded = marked.withColumn("_reader", F.explode(readers))
        named = F.timestamp_seconds("_reader")
        return exploded.withColumn(mine, F.to_date(named) if reader.every is DAY else named).drop("_reader")


def _passes(
    span: Range, inputs: list[Input], known: dict[str, list[datetime]]
) -> Iterator[tuple[Range, dict[str, datetime | None]]]:
    """The longest ranges over which the newest partition of each ``as_of`` input stays the same, with these."""

    def newest(partition: datetime) -> dict[str, datetime | None]:
        end = partition + span.period.length
        return {
            entry.parameter: max(
                (p for p in known[entry.parameter] if p + entry.table.every.length + entry.lag <= end), default=None
            )
            for entry in inputs
            if entry.as_of
        }

    for found, group in groupby(span.partitions(), key=newest):
        moments = list(group)
        yield Range(moments[0], moments[-1] + span.period.length, span.period), found


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _partition_columns(table: Table) -> list[str]:
    found = re.search(r"PARTITIONED BY \(([^)]*)\)", (PROJECT / table.ddl_path).read_text())
    if found is None:
        raise ValueError(f"{table.ddl_path} has no PARTITIONED BY")
    return [name.strip() for name in found[1].split(",")]


def _literal(moment: datetime, period: Period) -> Any:
    from pyspark.sql import functions as F

    return F.lit(moment.date()) if period is DAY else F.lit(moment)


@contextmanager
def lake() -> Iterator[Lake]:
    """The tables of the map, empty, in a folder that goes with the block."""
    folder = Path(tempfile.mkdtemp(prefix="feedmill-evaluation-"))
    try:
        with session(folder) as spark:
            yield Lake(spark)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
