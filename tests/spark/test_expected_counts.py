"""Expected counts against NumPy and SciPy: the profile of a week, the fitted prior, the posterior's quantiles."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pyspark.sql import functions as F
from scipy.stats import gamma

from include.spark.expected_counts import (
    HOURS_OF_DAY_SPREAD,
    HOURS_OF_WEEK_SPREAD,
    OUTLIER,
    gamma_quantile,
    prior_variance,
    relative_levels,
    residual_moments,
)

NOW = datetime(2026, 5, 29, 20, tzinfo=UTC)
WEEKS = 4


def count_at(series, hours_ago):
    """Engagements: evenings are busy, those of this weekday twice as much; a small series has hardly any."""
    evening = hours_ago % 24 in (0, 23)
    same_weekday = hours_ago % 168 in (0, 167)
    return (20 if series == "small" else 2000) * (3 if evening else 1) * (2 if evening and same_weekday else 1) // 10


@pytest.fixture(scope="module")
def levels(frame):
    """The levels of now and of the hour before, by series."""
    counted = [
        {"series": series, "hour": NOW, "read_hour": NOW - timedelta(hours=ago), "count": count_at(series, ago)}
        for series in ("large", "small")
        for ago in range(2, WEEKS * 168 + 1)
    ]
    rows = frame("series string, hour timestamp, read_hour timestamp, count bigint", counted)
    now = [F.col("hour") - F.make_dt_interval(hours=F.lit(ago)) for ago in (0, 1)]
    found = relative_levels(rows, ["hour", "series"], "count", "read_hour", now).collect()
    return {row["series"]: row["levels"] for row in found}


@pytest.mark.parametrize("series", ["large", "small"])
def test_an_hour_of_the_week_is_shrunk_to_its_hour_of_the_day_and_that_to_a_flat_day(levels, series):
    hours = {ago: count_at(series, ago) for ago in range(2, WEEKS * 168 + 1)}
    mean = sum(hours.values()) / len(hours)
    for moment, level in enumerate(levels[series]):
        of_day = [c for ago, c in hours.items() if (ago - moment) % 24 == 0]
        of_week = [c for ago, c in hours.items() if (ago - moment) % 168 == 0]
        day_mean = np.mean(of_day)
        w_day = len(of_day) / (len(of_day) + 1 + HOURS_OF_DAY_SPREAD / mean)
        w_week = len(of_week) / (len(of_week) + 1 + HOURS_OF_WEEK_SPREAD / day_mean)
        expected = (1 + w_day * (day_mean / mean - 1)) * (1 + w_week * (np.mean(of_week) / day_mean - 1))
        assert level == pytest.approx(expected, rel=1e-9)
    assert levels["large"][0] > levels["small"][0] > 1.5, "the small one is believed less"


def fitted(frame, observed, expected):
    rows = frame(
        "observed double, expected double",
        [{"observed": o, "expected": e} for o, e in zip(observed, expected, strict=True)],
    )
    residual, exposure = residual_moments(F.col("observed"), F.col("expected"))
    return rows.agg(prior_variance(F.sum(residual), F.sum(exposure)).alias("v")).collect()[0]["v"]


def test_the_prior_is_as_wide_as_the_series_differ_beyond_chance(frame):
    noise = np.random.default_rng(3)
    expected = noise.uniform(0.5, 60, 4000)
    alike, apart = (noise.poisson(expected * ratio) for ratio in (1.0, noise.gamma(4, 0.25, 4000)))
    assert fitted(frame, map(float, apart), map(float, expected)) == pytest.approx(0.25, abs=0.03)
    assert fitted(frame, map(float, alike), map(float, expected)) < 0.01
    assert fitted(frame, [3.0, 5.0], [0.0, 0.0]) == 0, "of nothing expected"


def test_one_runaway_does_not_make_all_others_doubtful(frame):
    expected = [10.0] * 100
    observed = [10.0] * 99 + [100_000.0]
    w = 1 / 11
    runaway = OUTLIER**2 - 10 * w * w
    by_hand = (runaway - 99 * 10 * w * w) / (100 * (10 * w) ** 2)
    assert fitted(frame, observed, expected) == pytest.approx(by_hand)


@pytest.mark.parametrize(("shape", "error"), [(10, 0.0004), (4, 0.005), (2, 0.03)])
def test_the_quantile_is_too_low_by_no_more_than_is_said(spark, shape, error):
    quantile = gamma_quantile(F.lit(float(shape)), F.lit(3.0), 0.05)
    found = spark.range(1).select(quantile.alias("q")).collect()[0]["q"]
    exact = gamma.ppf(0.05, shape, scale=1 / 3)
    assert 1 - error < found / exact < 1
