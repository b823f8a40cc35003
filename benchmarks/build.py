"""A build of 10 million events through the runner, against the same PySpark written by hand.

Both make `rollups.item_engagement_hourly` of one day from `events.clean` (24 hours, one Parquet file each), in Spark
Connect sessions of the same server. Both overwrite the day in an Iceberg table of the same DDL. The job by hand opens a
session, reads, aggregates, and writes to `main`. The runner does that on a branch of its own. It also brings the table
to its DDL, claims the range and takes its begin, pins snapshots, makes the branch, filters the rows to the range, reads
them back for the digest of each partition, and records them in the ledger. Neither is checked or published.

DuckDB and Polars make the same roll-up in turn with them, from the same Parquet files, by the same columns. They show
what the machine can do. DuckDB (`approx_count_distinct`) and Polars (`approx_n_unique`) write one Parquet file,
compressed with zstd. They write the estimate of distinct users itself; Spark writes a sketch that can be merged.
Spark's server is warm. DuckDB's and Polars' engines run in the benchmark's process, with the threads that they choose.
"""

from __future__ import annotations

import tempfile
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import data, measure, yardstick
from benchmarks.ground import Deployment, ground, processor_seconds
from benchmarks.measure import Result, Row
from feedmill import connections
from feedmill.connections import CATALOG
from feedmill.spec import Table
from feedmill.timeline import Range

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession

END = datetime(2026, 5, 2, tzinfo=UTC)
EVENTS, HOURS = 10_000_000, 24
BY_HAND = "rollups.by_hand"


def main(small: bool) -> Result:
    """Both ways, interleaved."""
    from include.tables import clean, item_engagement_hourly

    events, hours = (4_000, 2) if small else (EVENTS, HOURS)
    span = data.hours_before(END, hours)
    with ground() as deployment, tempfile.TemporaryDirectory(prefix="feedmill-bench-") as name:
        data.fill(deployment, clean, span, events // hours)
        twin(deployment, item_engagement_hourly)
        files = data.files(deployment, clean)
        rows: set[int] = set()
        arms = {
            "by hand": lambda: by_hand(span),
            "runner": lambda: rows.add(through_runner(deployment, item_engagement_hourly, span)),
            "DuckDB": lambda: rows.add(yardstick.in_duckdb(files, Path(name) / "duckdb.parquet")),
            "Polars": lambda: rows.add(yardstick.in_polars(files, Path(name) / "polars.parquet")),
        }
        samples = measure.interleaved(arms, small, processor_seconds(deployment))
        rows.add(deployment.lake.catalog.load_table(BY_HAND).scan().count())
    assert len(rows) == 1, f"they wrote different numbers of rows, and the comparison means nothing: {rows}"
    return Result("build", samples, {"events": events, "hours": hours, "rows": rows.pop()}, small)


def through_runner(deployment: Deployment, table: Table, span: Range) -> int:
    """The rows that a build wrote."""
    from feedmill.flow.build import build
    from feedmill.flow.job import Job

    return build(Job(table, span, deployment, f"bench/{uuid.uuid4()}")).rows


def by_hand(span: Range) -> None:
    """The job that somebody without Feedmill would write."""
    from pyspark.sql.connect.session import SparkSession

    spark: SparkSession = SparkSession.builder.remote(connections.get(connections.SPARK).spark_url).create()
    try:
        _roll_up(spark, span)
    finally:
        spark.stop()


def _roll_up(spark: SparkSession, span: Range) -> None:
    from pyspark.sql import Column
    from pyspark.sql import functions as F

    spark.conf.set("spark.sql.session.timeZone", "UTC")
    day = (F.col("hour") >= F.lit(span.start)) & (F.col("hour") < F.lit(span.end))

    def count(event_type: str) -> Column:
        return F.count_if(F.array_contains("event_types", event_type))

    rolled_up = (
        spark.table(f"{CATALOG}.events.clean")
        .where(day)
        .groupBy("hour", "item_id", "surface", "model_id", "variant", "device_class", "country")
        .agg(
            count("impression").alias("impressions"),
            count("click").alias("clicks"),
            count("like").alias("likes"),
            count("share").alias("shares"),
            count("comment").alias("comments"),
            count("follow").alias("follows"),
            count("save").alias("saves"),
            count("hide").alias("hides"),
            count("opt_out").alias("opt_outs"),
            count("play").alias("plays"),
            F.sum(F.coalesce("duration_ms", F.lit(0))).alias("duration_ms"),
            F.sum(F.coalesce("revenue_micros", F.lit(0))).alias("revenue_micros"),
            F.when(F.count("user_id") > 0, F.hll_sketch_agg("user_id", 12)).alias("users_sketch"),
        )
    )
    rolled_up.writeTo(f"{CATALOG}.{BY_HAND}").overwrite(day)


def twin(deployment: Deployment, table: Table) -> None:
    """An empty table of the same schema, partitioning and properties."""
    model = deployment.lake.ensure(table)
    deployment.lake.catalog.create_table(
        BY_HAND, model.schema(), partition_spec=model.spec(), properties=dict(model.properties)
    )


def rows(result: Result) -> list[Row]:
    """Ten per cent is the goal."""
    hand, runner = result.samples["by hand"], result.samples["runner"]
    ratio = measure.ratios(runner, hand)
    size = f"{result.facts['events']:,} events to {result.facts['rows']:,} rows"
    return [
        Row(f"by hand, {size}", measure.shown(hand)),
        Row("through the runner", measure.shown(runner)),
        Row(
            f"a build of {result.facts['events']:,} events ÷ the same in PySpark by hand",
            measure.shown(ratio, ""),
            "at most 1.10",
            measure.median(ratio) <= 1.10,
            headline=True,
        ),
        Row(
            "the same in processor seconds of Spark and client",
            measure.shown(measure.ratios(result.samples["runner: CPU"], result.samples["by hand: CPU"]), ""),
        ),
        *[row for engine in ("DuckDB", "Polars") for row in _yardstick(engine, result)],
    ]


def _yardstick(engine: str, result: Result) -> list[Row]:
    taken = result.samples[engine]
    ratio = measure.shown(measure.ratios(result.samples["by hand"], taken), "")
    return [
        Row(engine, measure.shown(taken)),
        Row(f"the same roll-up, PySpark by hand ÷ {engine}", ratio),
    ]


if __name__ == "__main__":
    measure.command("build", main, rows)
