"""A Spark Connect server for this run, and the tables of the map in it, as Parquet in a temporary folder.

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
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.data import PROJECT
from feedmill.flow.rows.readers import Read, Reader, for_reader
from feedmill.local import preflight
from feedmill.local.home import free_ports
from feedmill.local.spark import MODULE_OPTIONS
from feedmill.spec import Input, Table
from feedmill.timeline import DAY, Range
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
                # Otherwise its threads would keep a failed run from ending.
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
    """The tables of the map, built by their transforms from the inputs in the map.

    Tables are named ``<schema>.<name>`` as in the product. An input that nobody wrote or built has no rows.
    """

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark
        self.empty()

    def empty(self) -> None:
        """Make every table of the map, without rows."""
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
        """Replace the partitions of ``table`` for which ``frame`` has rows."""
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
        """Build the partitions of ``[start, end)`` in one pass.

        ``where``: by parameter, which rows of an input are read. Other inputs are read whole.
        """
        transform = importlib.import_module(table.transform_module).transform
        inputs = [entry for entry in table.inputs if isinstance(entry, Input)]
        if len(inputs) != len(table.inputs):
            raise ValueError(f"{table.name} reads files; write its rows instead")
        span = Range.cover(start, end, table.every)
        frames = {
            entry.parameter: for_reader(
                self.rows(entry.table),
                entry,
                Reader(table, span, _partition_columns(table)[0]),
                Read(_partition_columns(entry.table), self._as_of(entry, span) if entry.as_of else {}),
            )
            for entry in inputs
        }
        frames |= {name: frames[name].where(kept) for name, kept in (where or {}).items()}
        self.write(table, transform(**frames))

    def _as_of(self, entry: Input, span: Range) -> dict[datetime, datetime]:
        """The newest partition of a dimension that ended, with its lag, before each partition's end."""
        column, period = _partition_columns(entry.table)[0], entry.table.every
        moments = [row[0] for row in self.rows(entry.table).select(column).distinct().collect()]
        known = [
            moment.astimezone(UTC)
            if isinstance(moment, datetime)
            else datetime.combine(moment, datetime.min.time(), UTC)
            for moment in moments
        ]
        ended = {
            partition: [p for p in known if p + period.length + entry.lag <= partition + span.period.length]
            for partition in span.partitions()
        }
        return {partition: max(found) for partition, found in ended.items() if found}


def _partition_columns(table: Table) -> list[str]:
    found = re.search(r"PARTITIONED BY \(([^)]*)\)", (PROJECT / table.ddl_path).read_text())
    if found is None:
        raise ValueError(f"{table.ddl_path} has no PARTITIONED BY")
    return [name.strip() for name in found[1].split(",")]


@contextmanager
def lake() -> Iterator[Lake]:
    """The tables of the map, empty, in a folder that is deleted at the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="feedmill-evaluation-"))
    try:
        with session(folder) as spark:
            yield Lake(spark)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
