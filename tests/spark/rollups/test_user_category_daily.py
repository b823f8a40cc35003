"""rollups.user_category_daily: what users did, what was expected of them, and one shuffle."""

from datetime import date
from decimal import Decimal

import pytest

from include.spark.credibility import SUMS
from include.spark.rollups.user_category_daily import transform
from tests.spark.plans import faults, shuffles
from tests.spark.test_impressions import CLEAN, DAY, ITEMS, event

FIRST = date(2026, 4, 1)
BASELINE = "day date, surface string, position_bucket string, category string, rate double, position_rate double"


def of(user, *args, **changes):
    return event(*args, user_id=user, position=1, **changes)


ROWS = [
    of("counts", "1", "news", "impression click"),
    of("counts", "2", "news"),
    of("splits", "3", "both", "impression click"),
    of("lost", "4", "news", "click"),
    of("moves", "5", "news", country="DE", minutes=1),
    of("moves", "6", "sport", country="FR", minutes=2),
    of("moves", "7", "no category", country="IT", minutes=3),
    of("clicks abroad", "11", "news", request_id="r", country="DE", minutes=1),
    of("clicks abroad", "12", "sport", country="DE", minutes=2),
    of("clicks abroad", "13", "news", "click", request_id="r", country="FR", minutes=3),
    of("uncategorised", "8", "no category"),
    of("first day", "9", "news", "impression click", day=FIRST),
    event("10", "news", user_id=None, position=1),
]
CATALOGUE = [
    {"day": day, "item_id": item, "categories": categories}
    for day in (DAY, FIRST)
    for item, categories in {
        "news": [("news", 1.0)],
        "sport": [("sport", 1.0)],
        "both": [("news", 0.25), ("sport", 0.75)],
    }.items()
]
CELLS = [("home", "1", "news", 0.2), ("home", "1", "sport", 0.4), ("home", "1", "*", 0.3), ("*", "*", "*", 0.1)]
RATES = [
    {"day": DAY, "surface": s, "position_bucket": b, "category": c, "rate": rate, "position_rate": 0.3}
    for s, b, c, rate in CELLS
]


@pytest.fixture(scope="module")
def built(frame):
    return transform(frame(CLEAN, ROWS), frame(ITEMS, CATALOGUE), frame(BASELINE, RATES))


@pytest.fixture(scope="module")
def rows(built):
    """Rows by user and category; one Spark job."""
    found = built.collect()
    assert len({(row["user_id"], row["category"]) for row in found}) == len(found)
    return {(row["user_id"], row["category"]): row for row in found}


def sums(row, names=SUMS):
    return [float(row[name]) for name in names]


def test_impressions_and_engagements_stand_beside_what_was_expected(rows):
    row = rows["counts", "news"]
    assert (row["impressions"], row["engaged"]) == (2, 1)
    expected = [1, 0.4, 2 * 0.2 * 0.8, 0.8**2 + 0.2**2, 2 * 0.2**2, 0, 0]
    assert sums(row) == pytest.approx(expected, abs=1e-9)


def test_an_item_of_two_categories_is_split_and_its_products_with_itself_are_known(rows):
    news, sport = rows["splits", "news"], rows["splits", "sport"]
    chance = (0.25 * 0.2 + 0.75 * 0.4) * (1 - 0.25 * 0.2 - 0.75 * 0.4)
    r, s = 0.25 * 0.8, 0.75 * 0.6
    assert sums(news) == pytest.approx([0.25, 0.05, chance / 16, r * r, 0.05**2, r * s, 0.05 * 0.3], abs=1e-9)
    assert sums(sport) == pytest.approx([0.75, 0.3, chance * 9 / 16, s * s, 0.3**2, r * s, 0.05 * 0.3], abs=1e-9)


def test_an_engagement_whose_impression_is_lost_is_observed_and_not_expected(rows):
    row = rows["lost", "news"]
    assert (row["impressions"], row["engaged"]) == (0, 1)
    assert sums(row) == [1, 0, 0, 1, 0, 0, 0]


def test_the_segment_is_that_of_the_user_s_latest_event_in_every_row(rows):
    assert {rows["moves", category]["segment"] for category in ("news", "sport")} == {"IT"}
    assert {rows["clicks abroad", category]["segment"] for category in ("news", "sport")} == {"FR"}


def test_what_has_no_category_or_no_user_takes_no_part(rows):
    assert not [key for key in rows if key[0] in {None, "uncategorised"} or key[1] == "unknown"]


def test_without_a_baseline_impressions_count_and_are_evidence_of_nothing(rows):
    row = rows["first day", "news"]
    assert (row["day"], row["impressions"], row["engaged"]) == (FIRST, 1, 1)
    assert sums(row) == [0] * len(SUMS)


def test_sums_are_decimals(rows):
    assert all(isinstance(rows["counts", "news"][name], Decimal) for name in SUMS)


def test_rows_are_shuffled_once_by_user_and_catalogue_and_baseline_are_broadcast(built):
    assert shuffles(built) == ["user_id"]
    assert faults(built) == []
