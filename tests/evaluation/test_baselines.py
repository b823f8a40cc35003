"""The estimates that affinities are compared with, and the NumPy version of the affinity itself."""

import numpy as np
import pandas as pd
import pytest

from evaluation import baselines, credibility
from evaluation.baselines import Known, Rates
from evaluation.data import Impressions, shares_of


def impressions(rows):
    """Impressions from (user, category, engaged); an item is its category, ``a+b`` is of two."""
    frame = pd.DataFrame(rows, columns=["user", "item", "engaged"]).assign(surface="s", day=0)
    categories = [(item, category) for item in frame["item"].unique() for category in item.split("+")]
    return Impressions(frame, shares_of(frame, pd.DataFrame(categories, columns=["item", "category"])))


def known(rows, expected):
    given = impressions(rows)
    return Known.of(given, np.full(len(given.shares), expected))


def drawn(users, each, user_variance, category_variance, expected=0.3, seed=5):
    """Impressions in four categories of users whose true ratios have these variances."""
    generator = np.random.default_rng(seed)

    def ratios(variance, size):
        return 1 + np.sqrt(variance) * generator.choice([-1.0, 1.0], size=size)

    level = ratios(user_variance, (users, 1))
    truth = np.clip(level + ratios(category_variance, (users, 4)) - 1, 0, 1 / expected)
    return known(
        [
            (f"u{user}", f"c{category}", int(generator.random() < expected * truth[user, category]))
            for user in range(users)
            for category in range(4)
            for _ in range(each)
        ],
        expected,
    )


def test_an_item_of_two_categories_counts_half_in_each():
    train = known([("u", "a+b", 1), ("u", "b", 0)], 0.5)
    predicted = baselines.user_category_ctr(train, known([("u", "a", 0), ("u", "b", 0)], 0.5), strength=1.0)
    assert predicted == pytest.approx([(0.5 + 0.5) / 1.5, (0.5 + 0.5) / 2.5])


def test_a_user_without_impressions_gets_the_average():
    train = known([("u", "a", 1), ("v", "a", 0), ("v", "a", 0)], 0.5)
    test = known([("new", "a", 0)], 0.5)
    assert baselines.user_ctr(train, test, 5.0) == pytest.approx([1 / 3])
    assert credibility.fit(train).predict(test) == pytest.approx([0.5 * credibility.fit(train).mean])


def test_a_cell_that_was_never_seen_has_the_rate_of_its_surface():
    rates = Rates(impressions([("u", "a", 1), ("u", "a", 0)]))
    assert rates.of(impressions([("u", "b", 0)])) == pytest.approx([rates.surface["s"]])


def test_the_variances_are_found_where_each_user_has_one_impression_per_category():
    fitted = credibility.fit(drawn(20_000, 1, user_variance=0.09, category_variance=0.16))
    assert fitted.mean == pytest.approx(1.0, abs=0.02)
    assert fitted.user_variance == pytest.approx(0.09, abs=0.02)


def test_the_variances_are_found_apart():
    fitted = credibility.fit(drawn(4000, 6, user_variance=0.09, category_variance=0.16))
    assert fitted.user_variance == pytest.approx(0.09, abs=0.02)
    assert fitted.category_variance == pytest.approx(0.16, abs=0.03)


def test_users_who_are_alike_get_what_the_average_user_gets():
    fitted = credibility.fit(drawn(2000, 3, user_variance=0.0, category_variance=0.0))
    assert fitted.user_variance < 0.01
    assert fitted.affinity.sub(1).abs().max() < 0.15


def test_users_of_few_impressions_are_expected_to_be_as_such_users_are_and_the_unknown_as_those_of_one():
    generator = np.random.default_rng(9)
    rows = [
        (f"u{user}", "c", int(generator.random() < 0.3 * (1.6 - 0.25 * np.log(shown))))
        for user in range(6000)
        for shown in [1 + user % 50]
        for _ in range(shown)
    ]
    fitted = credibility.fit(known(rows, 0.3))
    assert fitted.mean == pytest.approx(1.6, abs=0.1)
    assert fitted.slope == pytest.approx(-0.25, abs=0.03)
    assert fitted.user_variance < 0.02
    assert fitted.predict(known([("new", "c", 0)], 0.3)) == pytest.approx([0.3 * fitted.mean])


def test_where_users_have_as_many_impressions_the_unknown_are_as_all_others():
    fitted = credibility.fit(drawn(500, 3, user_variance=0.09, category_variance=0.0))
    assert fitted.slope == 0
    assert fitted.mean == pytest.approx(1.0, abs=0.05)


def test_a_share_that_age_leaves_nothing_of_counts_as_one_that_was_never_there():
    new = [("u", "a", 1), ("u", "b", 0), ("v", "a", 0), ("v", "b", 1), ("v", "a", 1)]
    train = known([*new, ("u", "a", 0), ("v", "b", 0)], 0.4)
    aged = credibility.fit(train, np.array([1.0] * 5 + [0.0] * 2))
    assert aged.affinity.to_dict() == pytest.approx(credibility.fit(known(new, 0.4)).affinity.to_dict())
