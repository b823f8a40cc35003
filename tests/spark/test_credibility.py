"""Credibility: the sums against the impressions that they are made of, and known variances found again."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from include.spark.credibility import SUMS, estimates, lower_bound, products, variances

SCHEMA = "segment string, user string, category string, " + ", ".join(f"{name} decimal(28,10)" for name in SUMS)


def impressions(rng, users, categories, shown, several=False, user_variance=0.3, category_variance=0.2):
    """Rows (user, impression, category, weight, rate, engaged); affinities are gamma with the variances given."""
    rows = []
    for user in range(users):
        level = rng.gamma(1 / user_variance, user_variance) if user_variance else 1.0
        tastes = [
            level + (rng.gamma(1 / category_variance, category_variance) - 1 if category_variance else 0.0)
            for _ in range(categories)
        ]
        for impression in range(shown):
            rate = rng.uniform(0.02, 0.2)
            chosen = rng.choice(categories, size=2 if several else 1, replace=False)
            weights = [0.25, 0.75] if several else [1.0]
            affinity = sum(w * tastes[c] for w, c in zip(weights, chosen, strict=True))
            engaged = int(rng.uniform() < min(max(rate * affinity, 0), 1))
            for weight, category in zip(weights, chosen, strict=True):
                rows.append((f"u{user}", impression, f"c{category}", weight, rate, engaged))
    return rows


def sums_of(rows, segment="s"):
    """The sums by user and category, from their definitions."""
    found = {}
    for user, impression, category, w, e, y in rows:
        sums = found.setdefault((user, category), dict.fromkeys(SUMS, 0.0))
        others = [(v, f) for u, i, c, v, f, _ in rows_of(rows, user, impression) if c != category]
        sums["observed"] += w * y
        sums["expected"] += w * e
        sums["variance"] += w * w * e * (1 - e)
        sums["own_residuals"] += (w * (y - e)) ** 2
        sums["own_expected"] += (w * e) ** 2
        sums["shared_residuals"] += w * (y - e) * sum(v * (y - f) for v, f in others)
        sums["shared_expected"] += w * e * sum(v * f for v, f in others)
    return [
        {"segment": segment, "user": user, "category": category, **sums} for (user, category), sums in found.items()
    ]


def rows_of(rows, user, impression):
    key = (user, impression)
    cache = rows_of.__dict__.setdefault("cache", {})
    if cache.get("rows") is not rows:
        cache.clear()
        cache["rows"] = rows
        for row in rows:
            cache.setdefault(row[:2], []).append(row)
    return cache[key]


def variances_by_pairs(rows):
    """From the impressions: products of residuals of two different ones of a user, in two categories or in one."""
    apart, same = [0.0, 0.0], [0.0, 0.0]
    by_user = {}
    for row in rows:
        by_user.setdefault(row[0], []).append(row)
    for mine in by_user.values():
        for (_, i, c, v, e, y), (_, j, d, w, f, x) in permutations(mine, 2):
            if i == j:
                continue
            into = same if c == d else apart
            into[0] += v * (y - e) * w * (x - f)
            into[1] += v * e * w * f
    between_users = max(apart[0] / apart[1], 0) if apart[1] else 0.0
    both = same[0] / same[1] if same[1] else 0.0
    return between_users, max(both - between_users, 0)


def estimates_by_formula(members, user_variance, category_variance):
    """Jewell's hierarchical credibility, user by user."""
    found = {}
    for user in {row["user"] for row in members}:
        mine = [row for row in members if row["user"] == user]
        x = np.array([r["observed"] / r["expected"] for r in mine])
        noise = np.array([r["variance"] / r["expected"] ** 2 for r in mine])
        precision = 1 / (category_variance + noise)
        z = category_variance * precision
        level = user_variance * precision.sum() / (user_variance * precision.sum() + 1)
        mean = 1 + level * ((precision * x).sum() / precision.sum() - 1)
        affinity = z * x + (1 - z) * mean
        spread = category_variance * (1 - z) + (1 - z) ** 2 * user_variance * (1 - level)
        for row, values in zip(mine, zip(z, affinity, spread, strict=True), strict=True):
            found[user, row["category"]] = (*values, mean)
    return found


@pytest.fixture(scope="module")
def small(frame):
    """Small random data, with and without shared impressions: rows, member sums and Spark's results; two Spark jobs."""
    made = {}
    rng = np.random.default_rng(7)
    for name, several in (("one", False), ("several", True)):
        made[name] = impressions(rng, users=6, categories=3, shown=12, several=several)
    members = {name: sums_of(rows, name) for name, rows in made.items()}
    given_ = frame(SCHEMA, [as_decimals(row) for rows in members.values() for row in rows])
    fitted = variances(products(given_, ["segment", "user"]), ["segment"])
    joined = given_.join(
        fitted.select("segment", "group_variance", "member_variance", F.lit(1.0).alias("prior")), "segment"
    )
    return {
        "rows": made,
        "members": members,
        "variances": {row["segment"]: row for row in fitted.collect()},
        "estimates": {
            (r["segment"], r["user"], r["category"]): r for r in estimates(joined, ["segment", "user"]).collect()
        },
    }


def as_decimals(row):
    from decimal import Decimal

    return {name: Decimal(repr(round(v, 10))) if isinstance(v, float) else v for name, v in row.items()}


@pytest.mark.parametrize("name", ["one", "several"])
def test_the_variances_are_those_of_all_pairs_of_different_impressions(small, name):
    expected = variances_by_pairs(small["rows"][name])
    found = small["variances"][name]
    assert (found["group_variance"], found["member_variance"]) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert found["groups"] == 6


@pytest.mark.parametrize("name", ["one", "several"])
def test_the_estimates_are_those_of_the_formulas(small, name):
    fitted = small["variances"][name]
    expected = estimates_by_formula(small["members"][name], fitted["group_variance"], fitted["member_variance"])
    assert expected
    for key, (z, affinity, spread, mean) in expected.items():
        row = small["estimates"][(name, *key)]
        assert (row["credibility"], row["estimate"], row["group_estimate"]) == pytest.approx(
            (z, affinity, mean), rel=1e-6
        )
        assert 0 <= row["lower_bound"] <= row["estimate"]
        assert row["lower_bound"] == pytest.approx(quantile(affinity, spread), rel=1e-5)


def quantile(mean, variance):
    ninth = variance / (9 * mean * mean)
    return mean * max(1 - ninth - 1.6448536 * math.sqrt(ninth), 0) ** 3


LIMITS = {
    # member: (segment, observed, expected, variance, user variance, category variance)
    "a": ("categories alike", 30, 10, 9, 0.5, 0.0),
    "b": ("categories alike", 10, 20, 18, 0.5, 0.0),
    "c": ("users alike", 30, 10, 9, 0.0, 0.5),
    "d": ("users alike", 0, 0, 0, 0.0, 0.5),
    "e": ("nobody differs", 30, 10, 9, 0.0, 0.0),
    "f": ("no evidence", 0, 0, 0, 0.5, 0.5),
    "g": ("no evidence", 3, 0, 0, 0.5, 0.5),
    "h": ("certain", 5, 5, 0, 0.5, 0.5),
    "i": ("nothing engaged", 0, 10, 9, 0.5, 0.5),
}


@pytest.fixture(scope="module")
def limits(frame):
    """Estimates of the limits by member; one Spark job."""
    names = ("observed", "expected", "variance", "group_variance", "member_variance")
    schema = "g string, m string, " + ", ".join(f"{name} double" for name in names)
    rows = [
        dict(
            zip(
                ("m", "g", "observed", "expected", "variance", "group_variance", "member_variance"),
                (m, *v),
                strict=True,
            )
        )
        for m, v in LIMITS.items()
    ]
    typed = frame(schema, [{k: float(v) if isinstance(v, int) else v for k, v in row.items()} for row in rows])
    return {row["m"]: row for row in estimates(typed.withColumn("prior", F.lit(1.0)), ["g"]).collect()}


def test_where_categories_do_not_differ_the_user_s_mean_by_precision_is_all(limits):
    a, b = limits["a"], limits["b"]
    precision = (100 / 9, 400 / 18)
    mean = (precision[0] * 3 + precision[1] * 0.5) / sum(precision)
    level = 0.5 * sum(precision) / (0.5 * sum(precision) + 1)
    assert (a["credibility"], b["credibility"]) == (0, 0)
    assert a["estimate"] == b["estimate"] == pytest.approx(1 + level * (mean - 1), rel=1e-9)


def test_where_users_do_not_differ_a_category_s_rest_is_the_average_user(limits):
    z = 0.5 / (0.5 + 9 / 100)
    assert limits["c"]["estimate"] == pytest.approx(z * 3 + (1 - z) * 1)
    assert limits["c"]["group_estimate"] == limits["d"]["estimate"] == 1


def test_where_nothing_differs_everybody_is_the_average_user_for_sure(limits):
    row = limits["e"]
    assert (row["estimate"], row["lower_bound"], row["credibility"]) == (1, 1, 0)


def test_without_evidence_the_estimate_is_the_prior_and_engagements_alone_are_none(limits):
    assert [(limits[m]["estimate"], limits[m]["credibility"]) for m in "fg"] == [(1, 0), (1, 0)]
    assert 0 < limits["f"]["lower_bound"] < 1


def test_evidence_without_chance_is_believed(limits):
    assert (limits["h"]["estimate"], limits["h"]["credibility"]) == (1, 1)


def test_an_estimate_without_an_engagement_is_above_0_and_its_bound_not_below(limits):
    assert limits["i"]["estimate"] > 0
    assert limits["i"]["lower_bound"] >= 0


@pytest.mark.parametrize(("shape", "within"), [(0.5, 0.03), (2, 0.01), (20, 0.001)])
def test_the_lower_bound_is_near_the_gamma_distribution_s_quantile(spark, shape, within):
    drawn = np.random.default_rng(1).gamma(shape, 1 / shape, 400_000)
    row = spark.range(1).select(lower_bound(F.lit(1.0), F.lit(1 / shape)).alias("bound")).first()
    assert row["bound"] == pytest.approx(np.quantile(drawn, 0.05), abs=within)


def test_known_variances_are_found_again(frame):
    rng = np.random.default_rng(11)
    rows = impressions(rng, users=1500, categories=4, shown=60, user_variance=0.4, category_variance=0.25)
    given_ = frame(SCHEMA, [as_decimals(row) for row in sums_of(rows)])
    (found,) = variances(products(given_, ["segment", "user"]), ["segment"]).collect()
    assert found["group_variance"] == pytest.approx(0.4, abs=0.08)
    assert found["member_variance"] == pytest.approx(0.25, abs=0.1)


@settings(max_examples=3, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), parts=st.integers(1, 7))
def test_the_same_rows_in_any_order_and_partitions_give_the_same_bits(frame, seed, parts):
    rng = np.random.default_rng(seed)
    members = [as_decimals(row) for row in sums_of(impressions(rng, users=8, categories=4, shown=9, several=True))]

    def bits(rows, parts):
        given_ = frame(SCHEMA, rows).repartition(parts)
        fitted = variances(products(given_, ["segment", "user"]), ["segment"])
        joined = given_.join(
            fitted.select("segment", "group_variance", "member_variance", F.lit(1.0).alias("prior")), "segment"
        )
        return sorted(tuple(map(str, row)) for row in estimates(joined, ["segment", "user"]).collect())

    shuffled = [members[n] for n in rng.permutation(len(members))]
    assert bits(members, 1) == bits(shuffled, parts)
