"""Agreement with a known truth, against NumPy and SciPy on rows that are repeated."""

import numpy as np
import pytest
from scipy.stats import linregress, spearmanr

from evaluation.metrics import Resamples
from evaluation.truth import centred, pearson, slope, spearman

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
