"""What trending is compared with, against loops and SciPy."""

import numpy as np
import pytest
from scipy.stats import poisson

from evaluation.detectors import Past, growth, poisson_test, rolling, variants, z_score
from include.spark.features.item_trending import HOURS

HOURLY = np.random.default_rng(4).poisson(3.0, (3, 24 * 9)).astype(float)
LATE = 24 * 7 + 5
HOURLY[1, :LATE] = 0
FIRST = np.array([0, LATE, 0])


def totals(series, hour):
    return HOURLY[series, max(hour - HOURS + 1, 0) : hour + 1].sum()


def test_a_rolling_sum_has_what_there_is_at_the_beginning():
    assert rolling(np.array([[1.0, 2, 3, 4]]), 3).tolist() == [[1, 3, 6, 9]]


def test_the_past_is_the_totals_that_ended_before_the_hours_that_are_judged():
    hour, days = 24 * 8, 7
    past = Past.of_days(HOURLY, FIRST, days, least=0)
    before = [totals(0, at) for at in range(hour - HOURS - 24 * days + 1, hour - HOURS + 1)]
    assert past.now[0, hour] == totals(0, hour)
    assert past.mean[0, hour] == pytest.approx(np.mean(before))
    assert past.deviation[0, hour] == pytest.approx(np.std(before))


def test_the_same_hours_are_those_of_the_days_before():
    hour = 24 * 8 + 7
    past = Past.same_hours(HOURLY, FIRST, 7, least=0)
    assert past.mean[0, hour] == pytest.approx(np.mean([totals(0, hour - 24 * day) for day in range(1, 8)]))


def test_a_newcomer_is_compared_with_the_hours_it_has_and_may_be_left_out():
    hour = LATE + 12
    past = Past.of_days(HOURLY, FIRST, 7, least=0)
    seen = [totals(1, at) for at in range(LATE, hour - HOURS + 1)]
    assert past.mean[1, hour] == pytest.approx(np.mean(seen))
    assert np.isnan(past.mean[1, LATE + HOURS - 2]), "nothing before the hours that are judged"
    assert np.isnan(Past.of_days(HOURLY, FIRST, 7, least=24).mean[1, hour])
    assert np.isnan(Past.same_hours(HOURLY, FIRST, 7, least=0).mean[1, hour])


def test_scores_compare_now_with_before():
    past = Past(np.array([[12.0]]), np.array([[4.0]]), np.array([[0.5]]))
    assert z_score(past) == 8, "a deviation of less than one engagement counts as one"
    assert growth(past, 2.0) == 14 / 6
    assert poisson_test(past)[0, 0] == pytest.approx(-np.log(poisson.sf(11, 4.0)))


def test_every_method_comes_in_every_variant_and_none_twice():
    names = [(method, variant) for method, variant, _ in variants(HOURLY, FIRST, every_item=False)]
    assert {method for method, _ in names} == {"z-score", "growth ratio", "Poisson test"}
    assert len(names) == len(set(names)) == 4 + 4 * 3 + 4


def test_newcomers_have_scores_where_every_item_has_and_otherwise_none_and_the_others_the_same():
    of_a_day = {(method, variant): scores for method, variant, scores in variants(HOURLY, FIRST, every_item=False)}
    for method, variant, scores in variants(HOURLY, FIRST, every_item=True):
        without = of_a_day[method, variant]
        assert np.isfinite(scores[1, LATE + HOURS :]).all()
        assert np.isnan(without[1, : LATE + 24]).all()
        assert np.array_equal(without[0, 48:], scores[0, 48:])
