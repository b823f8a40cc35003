"""catalog.items: the newest record of each item, with weights that sum to 1."""

import time
from datetime import UTC, date, datetime, timedelta

import pytest
from pyspark.sql import functions as F

from include.spark.catalog.items import transform

DAY = date(2026, 5, 1)
HOUR = datetime(2026, 5, 1, 13, tzinfo=UTC)


def item(item_id, author, **changes):
    """A record of an item; author_id tells which record was kept."""
    return {
        "day": DAY,
        "arrival_hour": HOUR,
        "received_at": HOUR,
        "source_file": "a",
        "line": 1,
        "item_id": item_id,
        "author_id": author,
    } | changes


ROWS = [
    item("hours", "old", arrival_hour=HOUR - timedelta(hours=1), received_at=HOUR + timedelta(hours=1)),
    item("hours", "new"),
    item("received", "old"),
    item("received", "new", received_at=HOUR + timedelta(minutes=1)),
    item("files", "old", line=9),
    item("files", "new", source_file="b"),
    item("lines", "old"),
    item("lines", "new", line=2),
    item("days", "first"),
    item("days", "second", day=DAY + timedelta(days=1)),
    item("weights", "a", categories=[("sport", 1.0), ("arts", 3.0)]),
    item("twice", "a", categories=[("sport", 1.0), ("arts", 2.0), ("sport", 1.0)]),
    item("none", "a"),
    item("malformed", "a", reason="duration_ms: -1 is negative"),
]


@pytest.fixture(scope="module")
def kept(item_records):
    """The kept rows by item id; one Spark job."""
    rows: dict[str, list] = {}
    for row in transform(item_records(ROWS)).collect():
        rows.setdefault(row["item_id"], []).append(row)
    return rows


@pytest.mark.parametrize("name", ["hours", "received", "files", "lines"])
def test_the_newest_record_of_an_item_wins(kept, name):
    assert [row["author_id"] for row in kept[name]] == ["new"]


def test_each_day_has_a_snapshot_of_its_own(kept):
    assert sorted((row["day"], row["author_id"]) for row in kept["days"]) == [
        (DAY, "first"),
        (DAY + timedelta(days=1), "second"),
    ]


def test_weights_sum_to_one_and_categories_are_sorted(kept):
    (row,) = kept["weights"]
    assert [tuple(entry) for entry in row["categories"]] == [("arts", 0.75), ("sport", 0.25)]
    assert (row["category_count"], row["weight_sum"]) == (2, 1.0)


def test_a_category_that_stands_twice_gets_both_weights(kept):
    (row,) = kept["twice"]
    assert [tuple(entry) for entry in row["categories"]] == [("arts", 0.5), ("sport", 0.5)]


def test_an_item_without_categories_has_an_empty_list(kept):
    (row,) = kept["none"]
    assert (row["categories"], row["category_count"], row["weight_sum"]) == ([], 0, None)


def test_a_malformed_record_is_no_item(kept):
    assert "malformed" not in kept


def test_thousands_of_categories_take_time_in_proportion_and_share_the_item(item_records, spark):
    spark.range(1).collect()

    def seconds(count, items):
        rows = [item(f"i{n}", "a", categories=[(f"c{k % 5000:05}", 1.0) for k in range(count)]) for n in range(items)]
        given = item_records(rows).localCheckpoint()
        start = time.monotonic()
        found = transform(given).select("category_count", F.array_max("categories.weight")).distinct().collect()
        return time.monotonic() - start, found

    few, _ = seconds(100, 100)
    many, found = seconds(10_000, 1)
    assert [(row[0], row[1]) for row in found] == [(5000, pytest.approx(1 / 5000))]
    assert many < 10 * few + 5
