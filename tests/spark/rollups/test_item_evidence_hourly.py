"""rollups.item_evidence_hourly: engagements against what the same slots would have got with the average item."""

from datetime import UTC, date, datetime, timedelta

import pytest

from include.spark.rollups.item_evidence_hourly import SUMS, transform
from tests.spark.plans import physical

HOUR = datetime(2026, 5, 2, 12, tzinfo=UTC)
NEXT = HOUR + timedelta(hours=1)

CLEAN = """
    hour timestamp, event_id string, event_time timestamp, event_types array<string>, user_id string, item_id string,
    request_id string, position int, surface string, country string
"""
BASELINE = (
    "hour timestamp, day date, surface string, position_bucket string, category string, rate double, "
    "position_rate double"
)


def event(event_id, item_id, types="impression", position=1, surface="home", hour=HOUR):
    said = {"event_types": types.split(), "event_time": hour, "country": "DE", "request_id": "r", "user_id": event_id}
    return {"hour": hour, "event_id": event_id, "item_id": item_id, "surface": surface, "position": position} | said


def cell(surface, bucket, rate, category="*", hour=HOUR):
    return {
        "hour": hour,
        "day": date(2026, 5, 1),
        "surface": surface,
        "position_bucket": bucket,
        "category": category,
        "rate": 0.9,
        "position_rate": rate,
    }


RATES = [
    cell("home", "1", 0.4),
    cell("home", "2", 0.1),
    # Its rate is that of the bucket, and the row must not be taken for another one.
    cell("home", "1", 0.4, category="news"),
    cell("home", "*", 0.3),
    cell("*", "*", 0.2),
    cell("home", "1", 0.5, hour=NEXT),
]

EVENTS = [
    event("1", "two slots", "impression click"),
    event("2", "two slots", position=2),
    event("3", "bucket not seen", position=50),
    event("4", "surface not seen", surface="search"),
    event("5", "its impression was an hour ago", "click"),
    event("6", "two slots", "impression click", hour=NEXT),
]


@pytest.fixture(scope="module")
def inputs(frame):
    return frame(CLEAN, EVENTS), frame(BASELINE, RATES)


@pytest.fixture(scope="module")
def rows(inputs):
    return {(row["hour"], row["item_id"]): row for row in transform(*inputs).collect()}


def sums(row):
    return [float(row[name]) for name in ("impressions", "engaged", "observed", *SUMS)]


def utc(hour):
    return hour.replace(tzinfo=None)


def test_an_impression_is_expected_to_engage_as_its_slot_whatever_its_category(rows):
    assert sums(rows[utc(HOUR), "two slots"]) == pytest.approx(
        [2, 1, 1, 0.4 + 0.1, 0.4 * 0.6 + 0.1 * 0.9, 0.6**2 + 0.1**2, 0.4**2 + 0.1**2]
    )


def test_a_slot_that_was_never_seen_has_the_rate_of_its_surface_or_of_all(rows):
    assert sums(rows[utc(HOUR), "bucket not seen"])[3:] == pytest.approx([0.3, 0.21, 0.09, 0.09])
    assert sums(rows[utc(HOUR), "surface not seen"])[3:] == pytest.approx([0.2, 0.16, 0.04, 0.04])


def test_an_engagement_whose_impression_was_in_another_hour_is_observed_and_expects_nothing(rows):
    assert sums(rows[utc(HOUR), "its impression was an hour ago"]) == [0, 1, 1, 0, 0, 1, 0]


def test_each_hour_of_a_range_has_its_rows_and_its_own_rates(rows):
    assert sums(rows[utc(NEXT), "two slots"]) == pytest.approx([1, 1, 1, 0.5, 0.25, 0.25, 0.25])


def test_before_there_are_rates_impressions_are_no_evidence(inputs):
    clean, baseline = inputs
    rows = {
        row["item_id"]: row for row in transform(clean, baseline.limit(0)).where("hour < '2026-05-02 13'").collect()
    }
    assert sums(rows["two slots"]) == [2, 1, 0, 0, 0, 0, 0]


def test_the_plan_has_no_python_and_shuffles_impressions_and_items_once_each(inputs):
    plan = physical(transform(*inputs))
    assert "Python" not in plan
    assert plan.count("Exchange hashpartitioning") == 2
    assert "NestedLoop" not in plan
    assert "Cartesian" not in plan
