"""features.item_popularity_hourly: the day's popularity is the prior, the hours since its end are the evidence."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from scipy.stats import gamma

from include.spark.features.item_popularity_hourly import transform
from tests.spark.plans import physical

PRIOR_DAY = date(2026, 5, 1)
NOW = datetime(2026, 5, 2, 12, tzinfo=UTC)

EVIDENCE = """
    hour timestamp, read_hour timestamp, item_id string, surface string, impressions bigint, observed bigint,
    expected decimal(28,10), variance decimal(28,10)
"""
DAILY = """
    hour timestamp, day date, item_id string, surface string, popularity double, posterior_variance double,
    credibility double, surface_mean double, surface_variance double
"""


def shown(item, observed, expected, hours_ago=0, surface="feed"):
    return {
        "hour": NOW,
        "read_hour": NOW - timedelta(hours=hours_ago),
        "item_id": item,
        "surface": surface,
        "impressions": 100,
        "observed": observed,
        "expected": Decimal(expected),
        "variance": Decimal(expected),
    }


def known(item, popularity, variance=0.1, credibility=0.5):
    return {
        "hour": NOW,
        "day": PRIOR_DAY,
        "item_id": item,
        "surface": "feed",
        "popularity": popularity,
        "posterior_variance": variance,
        "credibility": credibility,
        "surface_mean": 0.8,
        "surface_variance": 0.4,
    }


ROWS = [
    shown("shown since", 15, 5),
    shown("shown since", 15, 5, hours_ago=1),
    shown("shown on the day itself", 90, 10, hours_ago=13),
    shown("new", 20, 10),
    shown("sure", 20, 10),
    shown("nowhere known", 20, 10, surface="new surface"),
    shown("nothing expected", 3, 0),
]
PRIORS = [
    known("shown since", 1.0),
    known("not shown", 1.5),
    known("shown on the day itself", 2.0),
    known("sure", 1.2, variance=0.0),
]


@pytest.fixture(scope="module")
def inputs(frame):
    return frame(EVIDENCE, ROWS), frame(DAILY, PRIORS)


@pytest.fixture(scope="module")
def rows(inputs):
    return {row["item_id"]: row for row in transform(*inputs).collect()}


def test_the_hours_since_the_day_s_end_weigh_by_their_evidence_against_what_was_uncertain(rows):
    row = rows["shown since"]
    z = 0.1 * 10**2 / (0.1 * 10**2 + 10)
    assert (row["prior_day"], row["impressions"], row["observed"], row["expected"]) == (PRIOR_DAY, 200, 30, 10)
    assert row["popularity"] == pytest.approx(z * 3 + (1 - z) * 1.0)
    assert row["credibility"] == pytest.approx(1 - 0.5 * (1 - z))
    mean, variance = row["popularity"], (1 - z) * 0.1
    assert row["posterior_variance"] == pytest.approx(variance)
    exact = gamma.ppf(0.05, mean**2 / variance, scale=variance / mean)
    assert row["lower_bound"] == pytest.approx(exact, rel=0.001)


def test_what_was_not_shown_since_keeps_the_day_s_and_no_hour_counts_twice(rows):
    for item, popularity in (("not shown", 1.5), ("shown on the day itself", 2.0)):
        row = rows[item]
        assert (row["hour"].replace(tzinfo=UTC), row["popularity"], row["credibility"]) == (NOW, popularity, 0.5)
        assert (row["impressions"], row["observed"], row["expected"]) == (0, 0, 0)


def test_a_new_item_is_ranked_by_its_first_hours_from_the_mean_item_of_its_surface(rows):
    z = 0.4 * 100 / (0.4 * 100 + 10)
    assert rows["new"]["popularity"] == pytest.approx(z * 2 + (1 - z) * 0.8)
    assert rows["new"]["credibility"] == pytest.approx(z)


def test_where_nothing_is_uncertain_or_expected_the_hours_change_nothing(rows):
    assert rows["sure"]["popularity"] == rows["sure"]["lower_bound"] == 1.2
    assert rows["nothing expected"]["popularity"] == 0.8


def test_before_there_is_a_day_every_item_is_the_average_one(inputs, rows):
    unknown = rows["nowhere known"]
    assert (unknown["prior_day"], unknown["popularity"], unknown["credibility"]) == (None, 1, 0)
    evidence, daily = inputs
    first = {row["item_id"]: row for row in transform(evidence, daily.limit(0)).collect()}
    assert {row["popularity"] for row in first.values()} == {1.0}
    assert first["shown since"]["observed"] == 30


def test_the_plan_has_no_python_and_no_cross_join(inputs):
    plan = physical(transform(*inputs))
    assert "Python" not in plan
    assert "NestedLoop" not in plan
    assert "Cartesian" not in plan
