"""features.item_popularity_daily: O/E by credibility, against the formulas of docs/popularity.md in NumPy."""

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest
from scipy.stats import gamma

from include.spark.credibility import COMPARABLE
from include.spark.features.item_popularity_daily import HALF_LIFE_DAYS, transform
from tests.spark.plans import physical

DAY = date(2026, 5, 28)

EVIDENCE = """
    day date, read_day date, item_id string, surface string, impressions bigint, engaged bigint, observed bigint,
    expected decimal(28,10), variance decimal(28,10), own_residuals decimal(28,10), own_expected decimal(28,10)
"""
ITEMS = "day date, item_id string, categories array<struct<category: string, weight: double>>"

FEED, CHANCE, ONE_DAY, NONE = "feed", "by chance", "one day", "no expectation"


def shown(item, surface, impressions, engaged, rate=0.1, days_ago=0):
    expected, own = impressions * rate, engaged * (1 - rate) ** 2 + (impressions - engaged) * rate**2
    return {
        "day": DAY,
        "read_day": DAY - timedelta(days=days_ago),
        "item_id": item,
        "surface": surface,
        "impressions": impressions,
        "engaged": engaged,
        "observed": engaged if rate else 0,
        "expected": exact(expected),
        "variance": exact(expected * (1 - rate)),
        "own_residuals": exact(own if rate else 0),
        "own_expected": exact(expected * rate),
    }


def exact(value):
    return Decimal(str(round(value, 10)))


def evidence():
    noise = np.random.default_rng(5)
    rows = []
    for number in range(120):
        level = noise.gamma(8, 1 / 8) * (1.0 if number % 3 else 1.8)
        for days_ago in (0, 3, 20):
            count = int(noise.integers(1, 600))
            rate = float(noise.choice([0.05, 0.1, 0.3]))
            engaged = int(noise.binomial(count, min(rate * level, 1.0)))
            rows.append(shown(f"i{number}", FEED, count, engaged, rate, days_ago))
    # As expected, and no more spread than one impression has: every item is the average one.
    rows += [shown(f"c{number}", CHANCE, 100, 10) for number in range(10)]
    rows += [shown("only", ONE_DAY, 50, 10), shown("without", NONE, 50, 10, rate=0.0)]
    rows += [shown("in no catalogue", FEED, 400, 120), shown("orphan", FEED, 0, 0)]
    return rows


CATEGORIES = {f"i{number}": [(f"c{number % 6}", 1.0)] for number in range(120)}
CATEGORIES |= {f"i{number}": [("c0", 0.25), (f"c{1 + number % 5}", 0.75)] for number in range(0, 120, 7)}
CATEGORIES |= {f"i{number}": [] for number in range(5, 120, 20)}
CATEGORIES |= {"new": [("c0", 1.0)], "new in two": [("c0", 0.5), ("c1", 0.5)], "new in none": []}
CATEGORIES |= {"new in an unseen one": [("unseen", 1.0)]}


@pytest.fixture(scope="module")
def inputs(frame):
    items = [{"day": DAY, "item_id": item, "categories": given} for item, given in CATEGORIES.items()]
    return frame(EVIDENCE, evidence()), frame(ITEMS, items)


@pytest.fixture(scope="module")
def rows(inputs):
    return {(row["surface"], row["item_id"]): row for row in transform(*inputs).collect()}


def by_hand(surface):
    """Popularity, prior, credibility and variance by item; the surface's variances, and its mean."""
    sums = defaultdict(lambda: np.zeros(5))
    for row in evidence():
        if row["surface"] == surface:
            w = 0.5 ** ((DAY - row["read_day"]).days / HALF_LIFE_DAYS)
            expected, variance = float(row["expected"]), float(row["variance"])
            squared = [variance, float(row["own_residuals"]), float(row["own_expected"])]
            sums[row["item_id"]] += [row["observed"] * w, expected * w, *[value * w * w for value in squared]]
    categories = {item: CATEGORIES.get(item) or [(f"item {item}", 1.0)] for item in {*sums, *CATEGORIES}}
    groups = defaultdict(list)
    for item, given in categories.items():
        for category, w in given:
            groups[category].append(sums[item] * [w, w, w * w, w * w, w * w])
    pieces = [piece for pieces in groups.values() for piece in pieces]
    member_groups = [name for name, of in groups.items() for _ in of]
    # Items of much evidence count alike: first-order sums by 1/(1 + E), second-order ones by its square.
    members = np.array(
        [piece * np.array([u, u, u * u, u * u, u * u]) for piece in pieces for u in [1 / (1 + piece[1])]]
    )
    total = np.array([sum(m for m, g in zip(members, member_groups, strict=True) if g == name) for name in groups])
    residuals, of_groups = members[:, 0] - members[:, 1], total[:, 0] - total[:, 1]

    def over(a, b):
        return a / b if b else 0.0

    mean_item = members[:, 0].sum() / members[:, 1].sum() if members[:, 1].sum() else 1.0
    pairs = (total[:, 1] ** 2).sum() - (members[:, 1] ** 2).sum()
    comparable = pairs > COMPARABLE
    around_1 = max(((of_groups**2).sum() - (residuals**2).sum()) / pairs, 0) if comparable else 0.0
    category = max(around_1 - (mean_item - 1) ** 2, 0)
    own_pairs = (members[:, 1] ** 2).sum() - members[:, 4].sum()
    both = ((residuals**2).sum() - members[:, 3].sum()) / own_pairs if own_pairs > COMPARABLE else 0.0
    item = max(max(both - around_1, 0) - (0 if comparable else (mean_item - 1) ** 2), 0)
    means = {}
    for name, pieces in groups.items():
        precisions = [over(e * e, item * e * e + v) for _, e, v, _, _ in pieces]
        mean = over(sum(over(o * k, e) for k, (o, e, *_) in zip(precisions, pieces, strict=True)), sum(precisions))
        z = category * sum(precisions) / (category * sum(precisions) + 1)
        means[name] = (z * mean + (1 - z) * mean_item, (1 - z) * category)
    found = {}
    for name, given in categories.items():
        o, e, v, *_ = sums[name]
        z = item * over(e * e, item * e * e + v)
        prior = sum(w * means[c][0] for c, w in given)
        spread = (1 - z) * item + (1 - z) ** 2 * sum(w * means[c][1] for c, w in given)
        found[name] = (z * over(o, e) + (1 - z) * prior, prior, z, spread)
    return found, item, category, mean_item


@pytest.mark.parametrize("surface", [FEED, CHANCE, ONE_DAY, NONE])
def test_every_row_is_what_the_formulas_say(rows, surface):
    found, item, category, mean_item = by_hand(surface)
    mine = {name: row for (where, name), row in rows.items() if where == surface}
    assert mine.keys() == {*CATEGORIES, *[r["item_id"] for r in evidence() if r["surface"] == surface]}
    for name, row in mine.items():
        expected = found[name]
        got = (row["popularity"], row["prior"], row["credibility"], row["posterior_variance"])
        assert got == pytest.approx(expected, rel=1e-6, abs=1e-8), name
        assert 0 <= row["lower_bound"] <= row["popularity"]
        if expected[3] > 0 and expected[0] ** 2 / expected[3] > 4:
            bound = gamma.ppf(0.05, expected[0] ** 2 / expected[3], scale=expected[3] / expected[0])
            assert row["lower_bound"] == pytest.approx(bound, rel=0.005), name
        assert (row["lower_bound"] < row["popularity"]) == (expected[3] > 0), name
        assert row["surface_variance"] == pytest.approx(item + category, abs=1e-8)
        assert row["surface_mean"] == pytest.approx(mean_item)
        assert 0 <= row["credibility"] <= 1
    if surface == FEED:
        assert item > 0.05, "the items were made to differ"
        assert category > 0


def test_an_item_without_evidence_has_the_mean_of_its_categories_and_without_those_the_surface_s(rows):
    def popularity(name):
        return rows[FEED, name]["popularity"]

    assert popularity("new") == rows[FEED, "i6"]["prior"] != 1, "of its category"
    assert popularity("new in two") == pytest.approx((rows[FEED, "i6"]["prior"] + rows[FEED, "i1"]["prior"]) / 2)
    assert popularity("new in none") == popularity("new in an unseen one") > 1
    assert popularity("new in none") == pytest.approx(rows[FEED, "new"]["surface_mean"])
    assert rows[FEED, "new"]["credibility"] == 0


def test_items_that_differ_by_chance_only_are_all_the_average_one(rows):
    assert {row["popularity"] for (surface, _), row in rows.items() if surface == CHANCE} == {1.0}


def test_rounding_is_no_evidence_of_how_items_differ(frame):
    """Of items that no category compares, and of impressions that no item compares, there are no pairs."""
    alone = [shown("alone", FEED, 20, 1)]
    once = [shown(f"once {n}", FEED, 1, int(n % 7 == 0), rate=0.03 + n / 777, days_ago=n % 28) for n in range(200)]
    catalogue = [{"day": DAY, "item_id": row["item_id"], "categories": [("c", 1.0)]} for row in once]
    (row,) = transform(frame(EVIDENCE, alone), frame(ITEMS, [])).collect()
    assert (row["lower_bound"], row["surface_variance"]) == (row["popularity"], 0)
    assert row["popularity"] == pytest.approx(0.5)
    found = transform(frame(EVIDENCE, once), frame(ITEMS, catalogue)).collect()
    assert {row["prior_variance"] for row in found} == {0}


def test_what_is_rarely_shown_is_expected_to_be_like_the_mean_item_and_not_like_a_ranking_s_favourites(frame):
    """Three items with nearly all impressions are the average impression's, and a hundred others half as good."""
    noise = np.random.default_rng(8)
    rows = [shown(f"favourite {n}", FEED, 100_000, 10_000) for n in range(3)]
    rows += [shown(f"other {n}", FEED, 400, int(noise.binomial(400, 0.05))) for n in range(100)]
    rows += [shown("rare", FEED, 3, 0)]
    found = {row["item_id"]: row for row in transform(frame(EVIDENCE, rows), frame(ITEMS, [])).collect()}
    assert found["rare"]["surface_mean"] == pytest.approx(0.5, abs=0.05)
    assert found["rare"]["popularity"] == pytest.approx(0.5, abs=0.05)
    assert found["favourite 0"]["popularity"] == pytest.approx(1, abs=0.05)
    assert 0 < found["rare"]["prior_variance"] < 0.03, "they differ little from each other, whatever the favourites are"


def test_a_first_day_and_a_day_without_expectation_are_defined(rows):
    row = rows[ONE_DAY, "only"]
    assert (row["first_day"], row["days_decayed"], row["impressions"]) == (DAY, 1, 50)
    without = rows[NONE, "without"]
    assert (without["popularity"], without["lower_bound"], without["credibility"]) == (1, 1, 0)
    assert without["engaged_decayed"] == 10, "what trending needs is there"


def test_the_rate_per_day_counts_the_days_since_the_first_with_the_weights_of_their_age(rows):
    row = rows[FEED, "i1"]
    assert row["first_day"] == DAY - timedelta(days=20)
    assert row["days_decayed"] == pytest.approx(sum(0.5 ** (age / HALF_LIFE_DAYS) for age in range(21)))
    assert rows[FEED, "new"]["days_decayed"] == 0


def test_the_position_does_not_count(frame):
    """An item in good slots and one in bad slots, both twice as good as any other there, are equally popular."""
    rows = [shown("good slots", FEED, 10_000, 6_000, rate=0.3), shown("bad slots", FEED, 60_000, 6_000, rate=0.05)]
    rows += [shown(f"any {n}", FEED, 10_000, 1_000) for n in range(20)]
    found = {row["item_id"]: row for row in transform(frame(EVIDENCE, rows), frame(ITEMS, [])).collect()}
    assert found["good slots"]["popularity"] == pytest.approx(found["bad slots"]["popularity"], rel=0.01)
    assert found["good slots"]["popularity"] == pytest.approx(2, rel=0.05)


def test_the_same_rows_in_other_parts_and_another_order_give_the_same_bits(inputs, rows):
    mixed = transform(*[part.orderBy("item_id", ascending=False).repartition(7) for part in inputs])
    assert {(row["surface"], row["item_id"]): row for row in mixed.collect()} == rows


def test_the_plan_has_no_python_and_no_cross_join(inputs):
    plan = physical(transform(*inputs))
    assert "Python" not in plan
    assert "NestedLoop" not in plan
    assert "Cartesian" not in plan
