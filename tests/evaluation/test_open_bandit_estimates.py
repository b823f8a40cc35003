"""Offline estimates of a policy's engagement rate: by hand, and where the truth is known."""

import numpy as np
import pandas as pd
import pytest

from evaluation.metrics import Resamples
from evaluation.open_bandit import FIRST, MIXED, UNIFORM, Rounds, by_obp, estimates, policy, pooled

ONE = Resamples(np.ones((1, 4)))


def rounds(chosen, reward=0.25):
    return Rounds(
        engaged=np.array([1.0, 0.0, 1.0, 0.0]),
        action=np.array([0, 1, 1, 0]),
        position=np.array([0, 1, 2, 0]),
        propensity=np.array([0.5, 0.5, 0.25, 0.5]),
        chosen=chosen,
        reward=np.full((4, 2), reward),
    )


def always(item):
    chosen = np.zeros((4, 2, 3))
    chosen[:, item] = 1
    return chosen


def test_a_policy_that_always_shows_one_item_is_estimated_from_the_rounds_that_showed_it():
    found = estimates(rounds(always(0)), ONE)
    assert found["IPS"] == pytest.approx([(1 / 0.5) / 4])
    assert found["self-normalised IPS"] == pytest.approx([(1 / 0.5) / (1 / 0.5 + 1 / 0.5)])
    assert found["direct"] == pytest.approx([0.25])
    assert found["doubly robust"] == pytest.approx([0.25 + (0.75 / 0.5 - 0.25 / 0.5) / 4])


def test_the_log_s_own_policy_has_the_log_s_rate():
    log = pd.DataFrame({"day": [1] * 4, "user": list("aabb")})
    own = Rounds(
        np.array([1.0, 0.0, 1.0, 0.0]),
        np.array([0, 1, 1, 0]),
        np.array([0, 1, 2, 0]),
        np.full(4, 0.5),
        policy({(1, "a"): [1, 0]}, log, 2, UNIFORM),
        np.full((4, 2), 0.1),
    )
    found = estimates(own, ONE)
    assert found["IPS"] == found["self-normalised IPS"] == pytest.approx([0.5])


def test_a_user_s_ranks_are_shown_in_their_order_and_chance_fills_what_is_missing():
    log = pd.DataFrame({"day": [1, 1, 2], "user": ["a", "b", "a"]})
    lists = {(1, "a"): [2, 0], (2, "a"): [1, 0, 2]}
    first = policy(lists, log, 4, FIRST)
    assert first[0, :, 0].tolist() == [0, 0, 1, 0]
    assert first[0, :, 1].tolist() == [1, 0, 0, 0]
    assert first[0, :, 2].tolist() == [0.25] * 4
    assert (first[1] == 0.25).all()
    assert first[2, :, 2].tolist() == [0, 0, 1, 0]
    mixed = policy(lists, log, 4, MIXED)
    assert mixed[0, :, 1].tolist() == [0.5, 0, 0.5, 0]
    assert np.allclose(first.sum(axis=1), 1)
    assert np.allclose(mixed.sum(axis=1), 1)


def test_logs_are_pooled_round_by_round():
    one, other = rounds(always(0)), rounds(always(1))
    both = estimates(pooled([one, other]), Resamples(np.ones((1, 8))))
    each = [estimates(part, ONE)["IPS"][0] for part in (one, other)]
    assert both["IPS"] == pytest.approx([np.mean(each)])


def test_obp_s_own_estimators_agree():
    pytest.importorskip("sklearn", reason="obp's estimators need scikit-learn, which .venv-evaluate has")
    generator = np.random.default_rng(5)
    chosen = generator.dirichlet(np.ones(5), size=(300, 3)).transpose(0, 2, 1)
    many = Rounds(
        generator.integers(0, 2, 300).astype(float),
        generator.integers(0, 5, 300),
        generator.integers(0, 3, 300),
        generator.uniform(0.1, 1, 300),
        chosen,
        generator.uniform(0, 1, (300, 5)),
    )
    mine = estimates(many, Resamples(np.ones((1, 300))))
    for name, value in by_obp(many).items():
        assert mine[name] == pytest.approx([value]), name
