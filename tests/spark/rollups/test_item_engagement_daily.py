"""rollups.item_engagement_daily: the hours of a day, added up."""

from datetime import date

import pytest
from pyspark.sql import functions as F

from include.spark.rollups.item_engagement_daily import transform

DAY = date(2026, 5, 1)

COUNTS = ("impressions", "clicks", "likes", "shares", "comments", "follows", "saves", "hides", "opt_outs", "plays")
SUMS = (*COUNTS, "duration_ms", "revenue_micros")

SCHEMA = (
    "day date, item_id string, surface string, model_id string, variant string, device_class string, "
    "country string, " + ", ".join(f"{name} bigint" for name in SUMS) + ", users array<string>"
)


def hour(item_id, value, users=(), day=DAY):
    """An hour of an item with the same value in every column; users make its sketch."""
    dimensions = dict.fromkeys(("surface", "model_id", "variant", "device_class", "country"), "unknown")
    return {"day": day, "item_id": item_id, "users": list(users)} | dimensions | dict.fromkeys(SUMS, value)


ROWS = [
    hour("added", 2, ["u1", "u2"]),
    hour("added", 3, ["u2", "u3"]),
    hour("one hour without users", 1, ["u1"]),
    hour("one hour without users", 1),
    hour("no users", 1),
    hour("no users", 1),
    hour("two days", 1),
    hour("two days", 1, day=date(2026, 5, 2)),
]


@pytest.fixture(scope="module")
def rows(frame):
    """The rows by item id; one Spark job."""
    hourly = frame(SCHEMA, ROWS).withColumn("row", F.monotonically_increasing_id())
    users = hourly.select("row", F.explode("users").alias("user")).groupBy("row")
    sketches = users.agg(F.hll_sketch_agg("user", 12).alias("users_sketch"))
    merged = transform(hourly.drop("users").join(sketches, "row", "left").drop("row"))
    added: dict[str, list] = {}
    for row in merged.select("*", F.hll_sketch_estimate("users_sketch").alias("users")).collect():
        added.setdefault(row["item_id"], []).append(row)
    return added


def test_every_count_and_value_is_the_sum_of_the_hours(rows):
    (row,) = rows["added"]
    assert [row[name] for name in SUMS] == [5] * len(SUMS)


def test_a_user_of_two_hours_is_one_user_of_the_day(rows):
    assert rows["added"][0]["users"] == 3


def test_an_hour_without_users_does_not_hide_the_users_of_another(rows):
    assert rows["one hour without users"][0]["users"] == 1


def test_where_no_hour_has_users_the_sketch_is_null_not_empty(rows):
    assert rows["no users"][0]["users_sketch"] is None


def test_each_day_has_a_row_of_its_own(rows):
    assert sorted(row["day"] for row in rows["two days"]) == [DAY, date(2026, 5, 2)]
