"""Agreement with a known truth, against NumPy and SciPy on rows that are repeated."""

import numpy as np
import pytest
from scipy.stats import linregress, spearmanr

from evaluation.metrics import Resamples
from evaluation.truth import centred, log_slopes, pearson, slope, spearman

GENERATOR = np.random.default_rng(3)
MEMBER = np.repeat(np.arange(20), 5)
TRUTH = GENERATOR.normal(size=100)
ESTIMATE = 0.5 * TRUTH + GENERATOR.normal(size=100)
ONCE = Resamples(np.ones((1, 20)))


def test_the_rank_correlation_of_the_data_is_spearmans():
    expected = spearmanr(ESTIMATE, TRUTH).statistic
    assert spearman(ESTIMATE, TRUTH, MEMBER, 20, ONCE) == pytest.approx([expected])


def test_a_resample_weighs_members():
    weights = GENERATOR.integers(0, 3, size=(1, 20)).astype(float)
    rows = np.repeat(np.arange(100), weights[0][MEMBER].astype(int))
    expected = np.corrcoef(ESTIMATE[rows], TRUTH[rows])[0, 1]
    assert pearson(ESTIMATE, TRUTH, MEMBER, 20, Resamples(weights)) == pytest.approx([expected])


def test_an_estimate_that_does_not_vary_says_nothing():
    assert spearman(np.ones(100), TRUTH, MEMBER, 20, ONCE) == pytest.approx([0.0])


def test_the_slope_is_that_of_the_truth_on_the_estimate():
    expected = linregress(ESTIMATE, TRUTH).slope
    assert slope(ESTIMATE, TRUTH, MEMBER, 20, ONCE) == pytest.approx([expected])


def test_centring_takes_the_mean_of_each_member():
    assert np.bincount(MEMBER, centred(ESTIMATE, MEMBER, 20)) == pytest.approx(np.zeros(20), abs=1e-9)


def test_log_slopes_find_exponents_in_counts_that_may_be_0():
    x, y = GENERATOR.uniform(0.2, 3, 4000), GENERATOR.uniform(0.1, 1, 4000)
    shown = GENERATOR.integers(1, 60, 4000).astype(float)
    rate = GENERATOR.poisson(shown * 0.1 * x**0.7 * y**0.4) / shown
    assert (rate == 0).any()
    resamples = Resamples.draw(4000, 40, seed=4)
    b, c = log_slopes(rate, x, y, shown, resamples)
    assert (b[0], c[0]) == pytest.approx((0.7, 0.4), abs=0.05)
    assert pytest.approx(c[0], abs=4 * c[1:].std()) == 0.4
    assert 0.001 < c[1:].std() < 0.05


def test_log_slopes_of_a_resample_are_those_of_rows_that_are_repeated():
    x, y, estimate = (GENERATOR.uniform(0.5, 2, 30) for _ in range(3))
    counts = GENERATOR.integers(0, 3, 30).astype(float)
    rows = np.repeat(np.arange(30), counts.astype(int))
    weighed = log_slopes(estimate, x, y, np.ones(30), Resamples(counts[None, :]))
    repeated = log_slopes(estimate[rows], x[rows], y[rows], np.ones(len(rows)), Resamples(np.ones((1, len(rows)))))
    assert np.array(weighed) == pytest.approx(np.array(repeated))
