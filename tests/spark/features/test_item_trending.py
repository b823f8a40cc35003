"""features.item_trending: more than the past and the exposure explain, and not by luck."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pyspark.sql import functions as F
from scipy.stats import gamma

from include.spark.features.item_trending import HOURS, OBSERVED, SCORE, SPREAD, transform
from tests.spark.plans import physical

NOW = datetime(2026, 5, 29, 20, tzinfo=UTC)
SHARE = HOURS / 24

EVIDENCE = (
    "hour timestamp, read_hour timestamp, item_id string, surface string, impressions bigint, engaged bigint, "
    "expected double"
)
HOURS_SCHEMA = "hour timestamp, read_hour timestamp, surface string, engaged bigint"
POPULARITY = (
    "hour timestamp, read_hour timestamp, item_id string, surface string, popularity double, posterior_variance double"
)
PAST = (
    "hour timestamp, item_id string, surface string, engaged_decayed double, days_decayed double, "
    "surface_mean double, surface_variance double"
)

FLAT, RHYTHM, SURGE, EMPTY, FEW = "flat", "rhythm", "surge", "no history", "few"


def shown(item, surface, observed, exposure):
    """An item's last three hours: engagements and expectation by exposure, spread over them."""
    parts = [observed // 3, observed // 3, observed - 2 * (observed // 3)]
    return [
        {
            "hour": NOW,
            "read_hour": NOW - timedelta(hours=ago),
            "item_id": item,
            "surface": surface,
            "impressions": 10,
            "engaged": part,
            "expected": exposure / 3,
        }
        for ago, part in enumerate(parts)
    ]


def past(item, surface, per_day, days=8.0):
    return {
        "hour": NOW,
        "item_id": item,
        "surface": surface,
        "engaged_decayed": per_day * days,
        "days_decayed": days,
        "surface_mean": 0.8,
        "surface_variance": 0.3,
    }


def before(item, surface, popularity=1.0, variance=0.0):
    """What was known of an item before the last three hours."""
    return {
        "hour": NOW,
        "read_hour": NOW - timedelta(hours=HOURS),
        "item_id": item,
        "surface": surface,
        "popularity": popularity,
        "posterior_variance": variance,
    }


def level_of(surface, moment):
    """Engagements of a surface's hour in earlier weeks; the rhythm peaks at 20:00 with three times the mean."""
    if surface != RHYTHM:
        return 1000
    return 3000 if 18 <= moment.hour <= 20 else 714


def series():
    """Every surface has 200 ordinary items, with Poisson noise around what is expected of them."""
    noise = np.random.default_rng(7)
    rows, pasts, known = [], [], []
    for surface, busy in ((FLAT, 1), (RHYTHM, 3), (SURGE, 3)):
        for number in range(200):
            mean = float(1 + number % 40)
            rows += shown(f"ordinary {number}", surface, int(noise.poisson(busy * mean)), mean)
            pasts.append(past(f"ordinary {number}", surface, mean / SHARE))
            known.append(before(f"ordinary {number}", surface))
    named = [
        ("1 to 4", 4, 1.0, 1 / SHARE, 8.0),
        ("100 to 300", 300, 100.0, 100 / SHARE, 8.0),
        ("newcomer, merely shown", 105, 100.0, None, 0.0),
        ("newcomer, first clicks", 3, 0.3, None, 0.0),
        ("newcomer, takes off", 120, 20.0, None, 0.0),
        ("newcomer, as good as one may be", 38, 20.0, None, 0.0),
        ("of an hour ago, merely shown", 100, 100.0, 10.0, 0.04),
        ("nothing is known", 50, 0.0, None, 0.0),
        ("no exposure known", 40, 0.0, 40 / SHARE, 8.0),
    ]
    for item, observed, exposure, per_day, days in named:
        rows += shown(item, FLAT, observed, exposure)
        if per_day is not None:
            pasts.append(past(item, FLAT, per_day, days))
    known += [before(item, FLAT) for item in ("1 to 4", "100 to 300", "of an hour ago, merely shown")]
    rows += shown("loved from its first hour", FLAT, 60, 20.0) + shown("perhaps loved", FLAT, 60, 20.0)
    known += [before("loved from its first hour", FLAT, 3.0), before("perhaps loved", FLAT, 1.5, 0.5)]
    rows += shown("high in its list", FLAT, 60, 60.0)
    known.append(before("high in its list", FLAT))
    pasts.append(past("high in its list", FLAT, 20 / SHARE))
    rows += shown("alone", EMPTY, 12, 10.0)
    rows += shown("a", FEW, 5, 5.0) + shown("b", FEW, 5, 5.0)
    return rows, pasts, known


@pytest.fixture(scope="module")
def inputs(frame):
    rows, pasts, known = series()
    hours = [
        {"hour": NOW, "read_hour": NOW - timedelta(hours=ago), "surface": surface, "engaged": level_of(surface, at)}
        for surface in (FLAT, RHYTHM, SURGE)
        for ago in range(HOURS, 28 * 24)
        for at in [NOW - timedelta(hours=ago)]
    ]
    return [
        frame(EVIDENCE, rows).withColumn("expected", _exact("expected")),
        frame(HOURS_SCHEMA, hours),
        frame(POPULARITY, known),
        frame(PAST, pasts).withColumn("engaged_decayed", _exact("engaged_decayed")),
    ]


def _exact(name):
    return F.col(name).cast("decimal(28,10)")


@pytest.fixture(scope="module")
def rows(inputs):
    return {(row["surface"], row["item_id"]): row for row in transform(*inputs).collect()}


def trending(rows, surface):
    return {item for (where, item), row in rows.items() if where == surface and row["is_trending"]}


def test_a_jump_trends_by_its_evidence_and_not_by_its_ratio(rows):
    assert not rows[FLAT, "1 to 4"]["is_trending"]
    assert rows[FLAT, "100 to 300"]["is_trending"]
    assert rows[FLAT, "100 to 300"]["score"] > rows[FLAT, "1 to 4"]["score"]


def test_a_newcomer_that_is_merely_shown_does_not_trend_and_one_that_takes_off_does(rows):
    merely = ("merely shown", "first clicks", "as good as one may be")
    for item in (*[f"newcomer, {kind}" for kind in merely], "of an hour ago, merely shown"):
        assert not rows[FLAT, item]["is_trending"], item
    assert rows[FLAT, "newcomer, takes off"]["is_trending"]
    assert rows[FLAT, "newcomer, takes off"]["history_weight"] == 0


def test_of_600_items_as_expected_none_trends(rows):
    assert trending(rows, FLAT) == {"100 to 300", "newcomer, takes off"}
    assert trending(rows, EMPTY) | trending(rows, FEW) == set()


def test_the_daily_rhythm_is_no_trend(rows):
    assert trending(rows, RHYTHM) == set()
    row = rows[RHYTHM, "ordinary 39"]
    assert row["expected_by_history"] == pytest.approx(3 * 40, rel=0.03), "the peak is three times the mean hour"


def test_a_surface_that_is_busy_as_a_whole_is_no_trend_of_its_items(rows):
    assert trending(rows, SURGE) == set()
    assert rows[SURGE, "ordinary 5"]["level"] == pytest.approx(3, rel=0.1)


def test_what_was_popular_before_is_expected_to_be_popular_and_what_may_be_popular_to_be_so(rows):
    assert rows[FLAT, "loved from its first hour"]["expected_by_exposure"] == pytest.approx(60)
    may_be = gamma.ppf(0.95, 1.5**2 / 0.5, scale=0.5 / 1.5)
    assert rows[FLAT, "perhaps loved"]["expected_by_exposure"] == pytest.approx(20 * may_be, rel=0.005)
    any_item = gamma.ppf(0.95, 0.8**2 / 0.3, scale=0.3 / 0.8)
    assert rows[FLAT, "newcomer, takes off"]["expected_by_exposure"] == pytest.approx(20 * any_item, rel=0.005)


def test_better_places_than_usual_are_part_of_what_is_expected(rows):
    row = rows[FLAT, "high in its list"]
    weight = 0.75 * 8 / 9
    assert row["history_weight"] == pytest.approx(weight)
    assert row["expected"] / row["level"] == pytest.approx(weight * 20 + (1 - weight) * 60)


def test_where_no_exposure_is_known_the_history_speaks_alone_and_without_both_nothing_trends(rows):
    assert rows[FLAT, "no exposure known"]["history_weight"] == 1
    unknown = rows[FLAT, "nothing is known"]
    assert (unknown["expected"], unknown["trend"], unknown["is_trending"]) == (0, 1, False)


def test_without_any_history_an_hour_is_an_hour(rows):
    row = rows[EMPTY, "alone"]
    assert (row["expected"], row["level"]) == (pytest.approx(10), 1), (
        "by exposure alone, and nobody else is there to be busy"
    )


def test_where_items_do_not_differ_one_of_them_may_still_trend(rows):
    for item in ("a", "b"):
        row = rows[FEW, item]
        assert (row["prior_variance"], row["trend"]) == (0, pytest.approx(1))
        assert row["score"] == pytest.approx(gamma.ppf(0.05, 1 / SPREAD + 5, scale=1 / (1 / SPREAD + 5)), rel=0.005)


def test_the_score_is_the_5_percent_quantile_of_the_posterior(rows):
    far = 0.0
    for row in rows.values():
        if row["expected"] > 0:
            prior = 1 / max(row["prior_variance"], SPREAD)
            shape, rate = prior + row["observed"], prior + row["expected"]
            exact = gamma.ppf(0.05, shape, scale=1 / rate)
            assert row["trend"] == pytest.approx(shape / rate)
            far = max(far, abs(row["score"] / exact - 1) if shape >= 4 else 0)
            assert row["is_trending"] == (row["score"] >= SCORE and row["observed"] >= OBSERVED)
    assert 0 < far < 0.005


def test_the_same_rows_in_other_parts_and_another_order_give_the_same_bits(inputs, rows):
    mixed = transform(*[part.orderBy("surface", ascending=False).repartition(7) for part in inputs])
    assert {(row["surface"], row["item_id"]): row for row in mixed.collect()} == rows


def test_the_plan_has_no_python_and_no_cross_join_and_few_shuffles(inputs):
    plan = physical(transform(*inputs))
    assert "Python" not in plan
    assert "NestedLoop" not in plan
    assert "Cartesian" not in plan
    # The evidence by hour, item and surface; it and popularity by item; the items of a surface; the surface's hours.
    assert plan.count("Exchange hashpartitioning") <= 5
