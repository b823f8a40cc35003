"""Thresholds, time to detection and precision, on scores whose answer is plain."""

import numpy as np
import pytest

from evaluation.alarms import Trend, Truth, hours_to_alarm, precision_at, threshold

TREND = Trend(series=0, start=2, end=5)


def test_what_a_score_still_remembers_of_a_trend_is_neither_a_trend_nor_quiet():
    truth = Truth.of([TREND], [Trend(1, 2, 3)], (2, 9), memory=2)
    assert truth.active.astype(int).tolist() == [[0, 0, 1, 1, 1, 0, 0, 0, 0], [0] * 9]
    assert truth.quiet.astype(int).tolist() == [[1, 1, 0, 0, 0, 0, 0, 1, 1], [1, 1, 0, 0, 0, 1, 1, 1, 1]]


def test_the_threshold_leaves_at_most_so_many_false_alarms():
    scores = np.array([[5.0, 4, 3, 3, 1, np.nan, 9]])
    quiet = np.array([[True, True, True, True, True, True, False]])
    for alarms, left in ((0, 0), (1, 1), (2, 2), (3, 2), (4, 4)):
        assert (quiet & (scores >= threshold(scores, quiet, alarms))).sum() == left, "of equal scores all or none"
    assert threshold(scores, quiet, 5) == -np.inf


def test_a_trend_is_found_in_its_own_hours_only_and_counts_the_most_where_it_is_not():
    scores = np.array([[9.0, 9, 0, 7, 9, 9, 9], [9.0] * 7, [np.nan] * 7])
    trends = [TREND, Trend(1, 3, 6), Trend(2, 0, 7)]
    found, hours = hours_to_alarm(scores, 8.0, trends, most=12)
    assert found.tolist() == [True, True, False]
    assert hours.tolist() == [3, 1, 12]


def test_precision_counts_the_highest_scores_and_of_equal_ones_their_share():
    scores = np.array([9.0, 8, 7, 7, 7, 1, np.nan])
    active = np.array([True, False, True, False, False, True, True])
    assert precision_at(scores, active, 1) == 1
    assert precision_at(scores, active, 2) == 0.5
    assert precision_at(scores, active, 4) == pytest.approx((1 + 2 / 3) / 4)
    assert precision_at(np.full(3, np.nan), active[:3], 2) == 0
