"""events.clean: each event once in its hour, the record that arrived first."""

from datetime import UTC, datetime, timedelta

import pytest

from include.spark.events.clean import transform

HOUR = datetime(2026, 5, 1, 13, tzinfo=UTC)

SCHEMA = """
    hour timestamp, arrival_hour timestamp, event_hour timestamp, event_id string, event_time timestamp,
    event_types array<string>, user_id string, item_id string, request_id string, position int, surface string,
    model_id string, experiment_id string, variant string, device_class string, country string, source string,
    duration_ms bigint, revenue_micros bigint, source_file string, line bigint, received_at timestamp
"""


def event(event_id, item_id, minutes=0, **changes):
    """A landed event; item_id tells which record was kept."""
    return {
        "hour": HOUR,
        "arrival_hour": HOUR,
        "event_id": event_id,
        "item_id": item_id,
        "received_at": HOUR + timedelta(minutes=minutes),
        "source_file": "a",
        "line": 1,
    } | changes


ROWS = [
    event("received twice", "second", minutes=2),
    event("received twice", "first", minutes=1),
    event("in two files", "second", source_file="b"),
    event("in two files", "first", source_file="a", line=9),
    event("twice in a file", "second", line=10),
    event("twice in a file", "first", line=9),
    event("in a copy with kept times", "second", minutes=-90, arrival_hour=HOUR + timedelta(hours=3)),
    event("in a copy with kept times", "first", minutes=1),
    event("in two hours", "early"),
    event("in two hours", "late", hour=HOUR + timedelta(hours=1)),
    event("late", "i", arrival_hour=HOUR + timedelta(hours=1)),
    event("ahead of its clock", "i", arrival_hour=HOUR - timedelta(hours=1)),
    event("said nothing", "i"),
    event("said all", "i", surface="s", model_id="m", variant="v", device_class="d", country="c", experiment_id="x"),
]


@pytest.fixture(scope="module")
def kept(frame):
    """The kept rows by event id and item id; one Spark job."""
    return {(row["event_id"], row["item_id"]): row for row in transform(frame(SCHEMA, ROWS)).collect()}


@pytest.mark.parametrize("name", ["received twice", "in two files", "twice in a file", "in a copy with kept times"])
def test_of_duplicates_the_record_that_arrived_first_is_kept(kept, name):
    assert [item for event_id, item in kept if event_id == name] == ["first"]


def test_the_same_id_in_two_hours_is_two_events(kept):
    assert {item for event_id, item in kept if event_id == "in two hours"} == {"early", "late"}


def test_an_event_that_arrives_after_its_hour_is_late(kept):
    assert {row["event_id"] for row in kept.values() if row["is_late"]} == {"late"}


def test_a_dimension_that_the_log_did_not_say_is_unknown_but_a_missing_experiment_is_null(kept):
    row = kept["said nothing", "i"]
    assert [row[name] for name in ("surface", "model_id", "variant", "device_class", "country")] == ["unknown"] * 5
    assert [row[name] for name in ("user_id", "request_id", "position", "experiment_id")] == [None] * 4


def test_a_dimension_that_the_log_said_stays(kept):
    row = kept["said all", "i"]
    names = ("surface", "model_id", "variant", "device_class", "country", "experiment_id")
    assert [row[name] for name in names] == ["s", "m", "v", "d", "c", "x"]
