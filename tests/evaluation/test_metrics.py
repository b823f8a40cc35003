"""Metrics and their bootstrap, against sums done by hand."""

import numpy as np
import pytest

from evaluation.metrics import Interval, Resamples, auc, log_loss, within_user_auc

ENGAGED = np.array([1.0, 0, 1, 0, 0, 1])
PREDICTED = np.array([0.9, 0.2, 0.4, 0.4, 0.6, 0.7])
USER = np.array([0, 0, 1, 1, 1, 2])
ONCE = Resamples(np.ones((1, 3)))


def by_pairs(engaged, predicted):
    won = [(yes > no) + (yes == no) / 2 for yes in predicted[engaged > 0] for no in predicted[engaged == 0]]
    return np.mean(won)


def test_the_log_loss_is_the_mean_over_impressions():
    expected = -np.mean(np.where(ENGAGED > 0, np.log(PREDICTED), np.log(1 - PREDICTED)))
    assert log_loss(ENGAGED, PREDICTED, USER, 3, ONCE) == pytest.approx([expected])


def test_a_prediction_of_zero_or_one_has_a_finite_loss():
    assert np.isfinite(log_loss(ENGAGED, np.array([0.0, 1, 0, 1, 1, 0]), USER, 3, ONCE)).all()


def test_the_auc_counts_pairs_and_ties_as_half():
    assert auc(ENGAGED, PREDICTED, USER, 3, ONCE) == pytest.approx([by_pairs(ENGAGED, PREDICTED)])


def test_within_user_auc_leaves_out_users_with_one_kind_of_impressions():
    # User 0: 1 of 1 pair, two impressions. User 1: a tie and a loss of two pairs, three impressions. User 2: no pair.
    assert within_user_auc(ENGAGED, PREDICTED, USER, 3, ONCE) == pytest.approx([(2 * 1 + 3 * 0.25) / 5])


@pytest.mark.parametrize("metric", [log_loss, auc, within_user_auc])
def test_a_resample_equals_the_metric_of_rows_that_are_repeated(metric):
    weights = np.array([[1.0, 1, 1], [2, 1, 0], [0, 3, 1]])
    for row, value in zip(weights, metric(ENGAGED, PREDICTED, USER, 3, Resamples(weights)), strict=True):
        copies = [np.flatnonzero(np.equal(USER, user)) for user, count in enumerate(row) for _ in range(int(count))]
        users = [np.full(len(rows), number) for number, rows in enumerate(copies)]
        chosen, owner = np.concatenate(copies), np.concatenate(users)
        once = Resamples(np.ones((1, len(copies))))
        assert metric(ENGAGED[chosen], PREDICTED[chosen], owner, len(copies), once) == pytest.approx([value])


def test_resamples_keep_the_number_of_users_and_begin_with_the_data():
    resamples = Resamples.draw(50, 20, seed=1).weights
    assert (resamples[0] == 1).all()
    assert (resamples.sum(axis=1) == 50).all()
    assert (resamples == Resamples.draw(50, 20, seed=1).weights).all()


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(size=400)
    resamples = Resamples.draw(400, 2000, seed=2).weights
    interval = Interval.of(resamples @ values / 400)
    half = 1.96 * values.std() / 20
    assert interval.value == pytest.approx(values.mean())
    assert interval.high - interval.value == pytest.approx(half, rel=0.1)
    assert interval.value - interval.low == pytest.approx(half, rel=0.1)
