"""features.user_category_affinity: affinities, their ranks and shares."""

import math
from collections import defaultdict
from datetime import date
from decimal import Decimal

import pytest

from include.spark.credibility import SUMS
from include.spark.features.user_category_affinity import transform
from tests.spark.plans import faults, shuffles

DAY = date(2026, 5, 1)
WINDOW = (
    "day date, horizon string, user_id string, category string, segment string, impressions decimal(18,10), "
    + ", ".join(f"{name} decimal(18,10)" for name in SUMS)
)
VARIANCES = (
    "day date, horizon string, segment string, mean_affinity double, activity_slope double, user_variance double, "
    "category_variance double"
)


def member(user, category, observed, expected, horizon="long", segment="DE", impressions=0):
    row = {"day": DAY, "horizon": horizon, "user_id": user, "category": category, "segment": segment}
    sums = {"impressions": impressions, "observed": observed, "expected": expected}
    sums["variance"] = Decimal(expected) * Decimal("0.9")
    return row | {name: Decimal(sums.get(name, 0)) for name in ("impressions", *SUMS)}


ROWS = [
    member("likes news", "news", 30, 10),
    member("likes news", "sport", 10, 10),
    member("likes news", "art", 2, 10),
    member("likes news", "news", 1, 10, horizon="short"),
    *[member("seven alike", f"c{n}", 5, 5) for n in range(7)],
    *[member("never", category, 0, 10**6) for category in ("b", "a", "c")],
    member("no evidence", "news", 0, 0),
    member("elsewhere", "news", 30, 10, segment="FR"),
    member("elsewhere", "sport", 10, 10, segment="FR"),
    *[member("light", category, 0, 0, segment="IT", impressions=1) for category in ("news", "sport")],
    *[member("heavy", category, 0, 0, segment="IT", impressions=50) for category in ("news", "sport")],
    member("heavy and known", "news", 600, 300, segment="IT", impressions=100),
]
FITTED = [
    {
        "day": DAY,
        "horizon": horizon,
        "segment": segment,
        "mean_affinity": mean,
        "activity_slope": slope,
        "user_variance": 0.2,
        "category_variance": category,
    }
    for horizon, segment, mean, slope, category in [
        ("long", "DE", 1.0, 0.0, 0.5),
        ("short", "DE", 1.0, 0.0, 0.5),
        ("long", "FR", 1.0, 0.0, 0.0),
        ("long", "IT", 1.5, -0.1, 0.5),
    ]
]


@pytest.fixture(scope="module")
def built(frame):
    return transform(frame(WINDOW, ROWS), frame(VARIANCES, FITTED))


@pytest.fixture(scope="module")
def rows(built):
    """Rows by user and horizon, in the order of their ranks; one Spark job."""
    found = defaultdict(list)
    for row in sorted(built.collect(), key=lambda row: row["rank"]):
        found[row["user_id"], row["horizon"]].append(row)
    return found


def test_a_user_s_categories_are_ranked_by_affinity(rows):
    mine = rows["likes news", "long"]
    assert [(row["category"], row["rank"], row["categories"]) for row in mine] == [
        ("news", 1, 3),
        ("sport", 2, 3),
        ("art", 3, 3),
    ]
    assert mine[0]["affinity"] > 2 > mine[1]["affinity"] > 0.9 > mine[2]["affinity"]


def test_horizons_are_users_of_their_own(rows):
    (row,) = rows["likes news", "short"]
    assert (row["rank"], row["preference_share"]) == (1, 1)
    assert row["affinity"] < 1


def test_equal_affinities_are_ranked_by_name_without_gaps(rows):
    assert [row["category"] for row in rows["seven alike", "long"]] == [f"c{n}" for n in range(7)]
    assert [row["rank"] for row in rows["seven alike", "long"]] == list(range(1, 8))


def test_shares_sum_to_exactly_one_for_every_user(rows):
    for key, mine in rows.items():
        assert sum(row["preference_share"] for row in mine) == 1, key
        assert {row["share_sum"] for row in mine} == {1}
        assert all(0 <= row["preference_share"] <= 1 for row in mine)
    assert {row["preference_share"] for row in rows["seven alike", "long"]} == {
        Decimal("0.142857"),
        Decimal("0.142858"),
    }


def test_bounds_and_credibility_are_within_their_limits(rows):
    for mine in rows.values():
        for row in mine:
            assert 0 <= row["lower_bound"] <= row["affinity"]
            assert 0 <= row["credibility"] <= 1


def test_a_user_without_evidence_is_the_average_user(rows):
    (row,) = rows["no evidence", "long"]
    assert (row["affinity"], row["user_affinity"], row["credibility"]) == (1, 1, 0)


def test_a_user_without_evidence_is_what_the_segment_expects_of_so_many_impressions(rows):
    for user, shown in (("light", 2), ("heavy", 100)):
        expected = 1.5 - 0.1 * math.log(shown)
        assert [row["user_affinity"] for row in rows[user, "long"]] == pytest.approx([expected] * 2)
        assert [row["affinity"] for row in rows[user, "long"]] == pytest.approx([expected] * 2)


def test_evidence_outweighs_what_the_segment_expects(rows):
    (row,) = rows["heavy and known", "long"]
    assert row["affinity"] == pytest.approx(2, abs=0.02)


def test_where_the_segment_s_categories_do_not_differ_all_have_the_user_s_affinity(rows):
    mine = rows["elsewhere", "long"]
    assert {row["affinity"] for row in mine} == {mine[0]["user_affinity"]}
    assert mine[0]["user_affinity"] > 1
    assert {row["credibility"] for row in mine} == {0}


def test_rows_are_shuffled_once_by_user(built):
    assert shuffles(built) == ["user_id"]
    assert faults(built) == []
