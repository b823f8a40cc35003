"""A simulated feed keeps the contract: no row of its events or items is rejected."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feedmill.simulate.feed import EVENTS, ITEMS, simulate
from feedmill.simulate.product import TYPES
from feedmill.simulate.settings import Settings
from include.events import EVENT_TYPES
from include.spark.sources import events_parquet, items_jsonl


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("feed") / "simulated"
    settings = Settings(datetime(2026, 1, 5, tzinfo=UTC), days=1, users=200, events_per_day=3_000, items=200)
    return folder, simulate(settings, folder)


def placed(rows: DataFrame) -> DataFrame:
    """The rows with their place, as the runner adds it."""
    path = F.col("_metadata.file_path")
    return rows.select(
        "*",
        path.alias("source_file"),
        F.element_at(F.split(path, "/"), -1).alias("file_name"),
        F.monotonically_increasing_id().alias("line"),
        F.col("_metadata.file_modification_time").alias("received_at"),
        F.to_timestamp(F.element_at(F.split(path, "/"), -2), "yyyy-MM-dd'T'HH").alias("arrival_hour"),
    )


def test_every_event_is_read(spark, feed) -> None:
    folder, made = feed
    files = [str(path) for path in (folder / EVENTS).glob("*/*.parquet")]
    records = events_parquet.read(placed(spark.read.parquet(*files)))
    found = records.agg(
        F.count("*"),
        F.count("reason"),
        F.max("reason"),
        F.count_distinct("event_id"),
        F.count("user_id"),
        F.count("experiment_id"),
        F.sum("revenue_micros"),
        F.sum(F.array_contains("event_types", "click").cast("int")),
    ).first()
    assert found is not None
    total, rejected, reason, events, users, trials, revenue, clicks = found
    assert (rejected, reason) == (0, None)
    assert (total, events) == (made["rows"]["landed"], made["rows"]["events"])
    assert 0 < total - users < total
    assert 0 < trials < total
    assert revenue > 0
    assert made["types"]["click"] <= clicks <= made["types"]["click"] + made["rows"]["duplicates"]


def test_every_item_is_read(spark, feed) -> None:
    folder, _ = feed
    lines = spark.read.text([str(path) for path in (folder / ITEMS).glob("*/*.jsonl")])
    records = items_jsonl.read(placed(lines).withColumnRenamed("value", "raw"))
    found = records.agg(
        F.count("reason"),
        F.count_distinct("item_id"),
        F.max(F.size("categories")),
        F.min("published_at"),
    ).first()
    assert found is not None
    assert (found[0], found[2]) == (0, 3)
    assert found[1] > 100


def test_the_types_are_those_of_the_contract() -> None:
    assert TYPES == EVENT_TYPES
