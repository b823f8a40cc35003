"""rollups.item_engagement_hourly: events counted by type and dimension."""

from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import functions as F

from include.events import EVENT_TYPES
from include.spark.rollups.item_engagement_hourly import transform

HOUR = datetime(2026, 5, 1, 13, tzinfo=UTC)

SCHEMA = """
    hour timestamp, item_id string, surface string, model_id string, variant string, device_class string,
    country string, event_types array<string>, user_id string, duration_ms bigint, revenue_micros bigint
"""


def event(item_id, *types, **changes):
    """An event of an item; a test names its items apart."""
    dimensions = dict.fromkeys(("surface", "model_id", "variant", "device_class", "country"), "unknown")
    return {"hour": HOUR, "item_id": item_id, "event_types": list(types)} | dimensions | changes


ROWS = [
    event("wide", "impression", "click", user_id="u1"),
    event("wide", "impression", user_id="u1"),
    event("wide", "impression", user_id="u2"),
    event("all", *EVENT_TYPES),
    event("opt-out alone", "opt_out"),
    event("values", "play", duration_ms=1500, revenue_micros=7),
    event("values", "play", duration_ms=500),
    event("some users", "impression", user_id="u1"),
    event("some users", "impression"),
    event("split", "impression"),
    event("split", "impression", surface="s"),
    event("split", "impression", model_id="m"),
    event("split", "impression", variant="v"),
    event("split", "impression", device_class="d"),
    event("split", "impression", country="c"),
    event("split", "impression", hour=HOUR + timedelta(hours=1)),
]

COUNTS = ("impressions", "clicks", "likes", "shares", "comments", "follows", "saves", "hides", "opt_outs", "plays")


@pytest.fixture(scope="module")
def rows(frame):
    """The rows by item id; one Spark job."""
    counted: dict[str, list] = {}
    users = F.hll_sketch_estimate("users_sketch").alias("users")
    for row in transform(frame(SCHEMA, ROWS)).select("*", users).collect():
        counted.setdefault(row["item_id"], []).append(row)
    return counted


def test_an_event_of_two_types_counts_in_both(rows):
    (row,) = rows["wide"]
    assert (row["impressions"], row["clicks"], row["likes"]) == (3, 1, 0)


def test_every_event_type_has_its_column(rows):
    (row,) = rows["all"]
    assert [row[name] for name in COUNTS] == [1] * len(EVENT_TYPES)


def test_an_opt_out_without_an_impression_still_counts(rows):
    (row,) = rows["opt-out alone"]
    assert (row["opt_outs"], row["impressions"]) == (1, 0)


def test_values_are_summed_and_a_missing_value_adds_nothing(rows):
    (row,) = rows["values"]
    assert (row["duration_ms"], row["revenue_micros"]) == (2000, 7)


def test_users_are_distinct_and_events_without_user_add_none(rows):
    assert rows["wide"][0]["users"] == 2
    assert rows["some users"][0]["users"] == 1


def test_where_no_event_has_a_user_the_sketch_is_null_not_empty(rows):
    assert rows["opt-out alone"][0]["users_sketch"] is None


def test_each_dimension_and_each_hour_has_a_row_of_its_own(rows):
    assert [row["impressions"] for row in rows["split"]] == [1] * 7
