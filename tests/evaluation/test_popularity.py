"""What popularity is compared with, and what is made of the simulator's slots."""

import numpy as np
import pandas as pd
import pytest

from evaluation.popularity import BOUND, CTR, POPULARITY, SMOOTHED, WILSON, by_item, by_place, estimates, wilson


def test_wilson_s_lower_bound_is_the_rate_that_the_observed_one_is_just_too_high_for():
    bound = wilson(np.array([3.0]), np.array([10.0]))[0]
    assert (0.3 - bound) / np.sqrt(bound * (1 - bound) / 10) == pytest.approx(1.959964)
    assert wilson(np.array([0.0, 5.0]), np.array([7.0, 5.0]))[0] == pytest.approx(0, abs=1e-12)


def test_every_method_estimates_every_item_and_more_clicks_than_impressions_are_as_many():
    items = pd.DataFrame(
        {
            "impressions": [10, 10, 2],
            "engaged": [1, 4, 3],
            "popularity": [0.5, 2.0, 1.0],
            "lower_bound": [0.4, 1.5, 0.2],
            "ratio": [0.4, 2.0, 1.1],
        }
    )
    found, added = estimates(items)
    assert list(found[CTR]) == [0.1, 0.4, 1.0]
    assert list(found[POPULARITY]) == [0.5, 2.0, 1.0]
    assert list(found[BOUND]) == [0.4, 1.5, 0.2]
    assert found[SMOOTHED][2] == pytest.approx((2 + added * 7 / 22) / (2 + added))
    assert found[WILSON][0] < 0.1


SLOTS = pd.DataFrame(
    {
        "day": ["2026-02-01", "2026-02-01", "2026-01-18"],
        "surface": "home",
        "item_id": "i1",
        "position": [0, 4, 30],
        "impressions": [1, 1, 2],
        "examination": [1.0, 0.4, 0.1],
        "ratio": [2.0, 2.0, 1.0],
    }
)


def test_an_item_s_examination_and_truth_are_means_over_its_impressions_by_their_age():
    row = by_item(SLOTS).iloc[0]
    assert row["examination"] == pytest.approx((1 + 0.4 + 2 * 0.1) / 4)
    assert row["true"] == pytest.approx((2 + 2 + 2 * 1) / 4)
    assert row["true_decayed"] == pytest.approx((2 + 2 + 1 * 1) / 3), "two impressions of a half-life ago count as one"


def test_places_stand_in_their_order_with_what_is_true_and_what_is_fitted():
    baseline = pd.DataFrame(
        {
            "surface": "home",
            "position_bucket": ["0", "21+", "4-5", "4-5", "unknown", "*"],
            "category": ["*", "*", "*", "news", "*", "*"],
            "rate": [0.3, 0.1, 0.2, 0.9, 0.5, 0.2],
            "position_rate": [0.3, 0.05, 0.15, 0.9, 0.5, 0.2],
        }
    )
    found = by_place(SLOTS, baseline)
    assert list(found["position_bucket"]) == ["0", "4-5", "21+"]
    assert list(found["position_rate"]) == [0.3, 0.15, 0.05]
    assert list(found["examination"]) == pytest.approx([1, 0.4, 0.1])
    assert list(found["ratio"]) == [2, 2, 1]
