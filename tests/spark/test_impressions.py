"""Impressions: one row per shown item, whoever reports its clicks; and its weight in each of its categories."""

from datetime import UTC, date, datetime, timedelta

import pytest

from include.bounds import COUNTED_CATEGORIES
from include.events import LAST_BUCKET, POSITION_BUCKETS
from include.spark.impressions import impressions, with_categories

DAY = date(2026, 5, 1)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)

CLEAN = """
    day date, event_id string, event_time timestamp, event_types array<string>, user_id string, item_id string,
    request_id string, position int, surface string, country string
"""
ITEMS = "day date, item_id string, categories array<struct<category: string, weight: double>>"


def event(event_id, item_id, types="impression", minutes=0, **changes):
    """A clean event; minutes say its order."""
    said = {"event_types": types.split(), "event_time": NOON + timedelta(minutes=minutes), "surface": "home"}
    return {"day": DAY, "event_id": event_id, "item_id": item_id, "country": "DE"} | said | changes


def of_request(*args, **changes):
    return event(*args, user_id="u", request_id="r", **changes)


ROWS = [
    event("1", "wide", "impression click like"),
    event("2", "wide, not engaged"),
    event("3", "no says nothing yes", "impression hide opt_out"),
    event("4", "only hidden", "hide"),
    of_request("5", "apart", minutes=2, position=3),
    of_request("6", "apart", "click", minutes=1, surface="player", country="FR"),
    of_request("7", "apart", "like", minutes=3, country="FR"),
    of_request("8", "shown twice", minutes=5, position=7),
    of_request("9", "shown twice", minutes=4, position=2),
    event("10", "two users", "click", user_id="u", request_id="q"),
    event("11", "two users", user_id="v", request_id="q"),
    event("12", "without a request", user_id="u"),
    event("13", "without a request", "click", user_id="u"),
    event("14", "lost impression", "click", user_id="u", request_id="r"),
    *[event(f"p{n}", f"position {n}", position=n) for n in (0, 1, 2, 3, 4, 5, 6, 10, 11, 20, 21, 500)],
]

CATALOGUE = [
    {"day": DAY, "item_id": "wide", "categories": [("news", 0.25), ("sport", 0.75)]},
    {"day": DAY, "item_id": "wide, not engaged", "categories": []},
    {"day": DAY, "item_id": "two users", "categories": [(f"c{n}", 1 / 5000) for n in range(5000)]},
    {"day": date(2026, 5, 2), "item_id": "apart", "categories": [("another day's", 1.0)]},
]


@pytest.fixture(scope="module")
def found(frame):
    """Impressions by item id, with their categories; one Spark job."""
    by_item: dict[str, dict] = {}
    for row in with_categories(impressions(frame(CLEAN, ROWS)), frame(ITEMS, CATALOGUE)).collect():
        shown = by_item.setdefault(row["item_id"], {}).setdefault((row["user_id"], row["event_id"]), row.asDict())
        shown.setdefault("categories", {})[row["category"]] = row["weight"]
    return {item: list(rows.values()) for item, rows in by_item.items()}


def counts(rows):
    return sorted((row["shown"], row["engaged"]) for row in rows)


def test_a_wide_event_is_an_impression_that_is_engaged_if_it_reports_any_yes(found):
    assert counts(found["wide"]) == [(1, 1)]
    assert counts(found["wide, not engaged"]) == [(1, 0)]


def test_a_no_is_not_an_engagement_and_alone_no_impression(found):
    assert counts(found["no says nothing yes"]) == [(1, 0)]
    assert "only hidden" not in found


def test_records_of_one_request_are_one_impression_described_by_the_one_that_reports_it(found):
    (row,) = found["apart"]
    assert (row["shown"], row["engaged"]) == (1, 1)
    assert (row["event_id"], row["surface"], row["position_bucket"]) == ("5", "home", "3")
    assert (row["last_id"], row["last_time"].minute, row["segment"]) == ("7", 3, "FR"), "but when the user last met it"


def test_an_item_shown_twice_in_a_request_is_one_impression_where_it_was_first(found):
    (row,) = found["shown twice"]
    assert (row["shown"], row["position_bucket"]) == (1, "2")


def test_a_request_id_is_the_user_s_own(found):
    assert counts(found["two users"]) == [(0, 1), (1, 0)]


def test_records_without_a_request_stand_alone(found):
    assert counts(found["without a request"]) == [(0, 1), (1, 0)]


def test_a_click_whose_impression_is_not_of_the_day_is_engaged_and_not_shown(found):
    assert counts(found["lost impression"]) == [(0, 1)]


def test_every_position_has_a_bucket_and_none_is_unknown(found):
    buckets = {n: found[f"position {n}"][0]["position_bucket"] for n in (0, 1, 2, 3, 4, 5, 6, 10, 11, 20, 21, 500)}
    assert list(buckets.values()) == [
        *("0", "1", "2", "3", "4-5", "4-5", "6-10", "6-10", "11-20", "11-20"),
        *(LAST_BUCKET, LAST_BUCKET),
    ]
    assert {name for name, _ in POSITION_BUCKETS} | {LAST_BUCKET} == set(buckets.values())
    assert found["wide"][0]["position_bucket"] == "unknown"


def test_an_item_is_split_by_its_categories_of_the_day_and_unknown_without_any(found):
    assert found["wide"][0]["categories"] == {"news": 0.25, "sport": 0.75}
    assert found["wide, not engaged"][0]["categories"] == {"unknown": 1.0}
    assert found["apart"][0]["categories"] == {"unknown": 1.0}


def test_an_item_of_too_many_categories_is_split_by_the_heaviest(found):
    for row in found["two users"]:
        assert len(row["categories"]) == COUNTED_CATEGORIES
        assert sum(row["categories"].values()) == pytest.approx(1)
