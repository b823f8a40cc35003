"""features.affinity_variances: by segment where there are users enough, and of all users where not."""

import math
from datetime import date
from decimal import Decimal

import pytest

from include.spark.credibility import SUMS
from include.spark.features import affinity_variances
from include.spark.features.affinity_variances import ENOUGH, transform
from tests.spark.plans import faults, shuffles

DAY = date(2026, 5, 1)
SCHEMA = (
    "day date, horizon string, user_id string, category string, segment string, impressions decimal(18,10), "
    + ", ".join(f"{name} decimal(18,10)" for name in SUMS)
)


def member(user, category, observed, expected=10.0, segment="large", horizon="long", impressions=100.0):
    """Many impressions of a small rate: their own products are small."""
    sums = {
        "observed": observed,
        "expected": expected,
        "variance": expected,
        "own_residuals": expected,
        "own_expected": expected / 100,
        "shared_residuals": 0.0,
        "shared_expected": 0.0,
    }
    row = {"day": DAY, "horizon": horizon, "user_id": user, "category": category, "segment": segment}
    return row | {name: Decimal(str(value)) for name, value in {"impressions": impressions, **sums}.items()}


def users(segment, count, horizon="long"):
    """Half of them at half of what is expected, half at three halves, alike in both categories."""
    for n in range(count):
        for category in ("news", "sport"):
            yield member(f"{segment}{n}", category, 15 if n % 2 else 5, segment=segment, horizon=horizon)


ROWS = [
    *users("large", ENOUGH),
    *users("small", 2),
    member("alone", "news", 40, segment="one user"),
    *users("calm", 2, horizon="short"),
    *[member(f"light{n}", "news", 15, segment="leaning", horizon="both", impressions=1.0) for n in range(ENOUGH // 2)],
    *[member(f"heavy{n}", "news", 5, segment="leaning", horizon="both") for n in range(ENOUGH // 2)],
]


@pytest.fixture(scope="module")
def built(frame):
    return transform(frame(SCHEMA, ROWS))


@pytest.fixture(scope="module")
def rows(built):
    """Rows by horizon and segment; one Spark job."""
    return {(row["horizon"], row["segment"]): row for row in built.collect()}


def test_a_segment_and_all_segments_have_a_row_for_each_horizon(rows):
    assert rows.keys() == {
        *(("long", name) for name in ("large", "small", "one user", "*")),
        *(("short", name) for name in ("calm", "*")),
        *(("both", name) for name in ("leaning", "*")),
    }
    assert rows["long", "*"]["users"] == ENOUGH + 3


def test_a_variance_is_its_products_by_their_weights(rows):
    row = rows["long", "large"]
    assert row["is_own"]
    # Residuals of 5 on an expected 10, in both of two categories: (5 x 5) / (10 x 10).
    assert row["user_variance"] == pytest.approx(0.25)
    assert (row["user_products"], row["user_weights"]) == (ENOUGH * 50, ENOUGH * 200)
    # In the same category 25 - 10 on 100 - 0.1: less than between categories, so nothing is left for them.
    assert row["category_variance"] == 0


FIT = ("mean_affinity", "activity_slope", "slope_credibility", "user_variance", "category_variance")


def test_the_mean_of_a_segment_leans_where_users_of_few_impressions_engage_more(rows):
    row = rows["both", "leaning"]
    # The slope is one unit down from the first impression to the hundredth, with an error of variance
    # 1 / (100 x 10/11 / 4) of that.
    believed = 1 - 4 * 11 / 10 / ENOUGH
    assert row["slope_credibility"] == pytest.approx(believed)
    assert row["activity_slope"] == pytest.approx(-believed / math.log(100))
    assert row["mean_affinity"] == pytest.approx(1 + believed / 2)
    assert row["user_variance"] == 0


def test_where_all_users_have_as_many_impressions_the_mean_is_level(rows):
    row = rows["long", "large"]
    assert [row[name] for name in ("mean_affinity", "activity_slope", "slope_credibility")] == [1, 0, 0]


def test_a_segment_of_few_users_takes_the_fit_of_all_and_shows_its_own_sums(rows):
    of_all = rows["long", "*"]
    for segment, count in (("small", 2), ("one user", 1)):
        row = rows["long", segment]
        assert (row["is_own"], row["users"]) == (False, count)
        assert [row[name] for name in FIT] == [of_all[name] for name in FIT]
    assert rows["long", "small"]["user_products"] == 100


def test_all_users_have_their_own_however_few(rows):
    row = rows["short", "*"]
    assert (row["is_own"], row["users"], row["user_variance"]) == (True, 2, pytest.approx(0.25))


def test_a_user_of_one_category_says_nothing_of_users(rows):
    row = rows["long", "one user"]
    assert (row["user_products"], row["user_weights"]) == (0, 0)
    # 30 x 30 - 10 around 1; around their own mean of 4, less 9 of the 10 x 10 - 0.1 expected products.
    assert row["category_products"] == pytest.approx(Decimal("-9.1"))


def test_rows_are_shuffled_by_user_and_sums_by_segment(built):
    by = shuffles(built)
    assert by[-1].endswith("user_id")
    assert [columns for columns in by[:-1] if "user_id" in columns] == []
    assert len(by) == 3
    assert faults(built) == []
    assert affinity_variances.ENOUGH == ENOUGH
