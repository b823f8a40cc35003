"""serving.user_recommendations: affinity × popularity, within quotas, without what the user has seen."""

from collections import Counter, defaultdict
from datetime import date

import pytest

from include.spark.serving.user_recommendations import CATEGORIES, LENGTH, QUOTA, transform

DAY = date(2026, 5, 1)

AFFINITY = "day date, horizon string, user_id string, category string, rank int, affinity double"
POPULARITY = "day date, item_id string, surface string, popularity double, expected decimal(28,10)"
ITEMS = "day date, item_id string, categories array<struct<category: string, weight: double>>"
SEEN = "day date, item_id string, user_id string"


def likes(user, *categories, horizon="long"):
    return [
        {"day": DAY, "horizon": horizon, "user_id": user, "category": name, "rank": place, "affinity": affinity}
        for place, (name, affinity) in enumerate(categories, start=1)
    ]


def item(name, *categories):
    return {"day": DAY, "item_id": name, "categories": [(category, 1 / len(categories)) for category in categories]}


NEWS = [f"news {n:02d}" for n in range(30)]
SPORT = [f"sport {n:02d}" for n in range(30)]
CATALOGUE = [
    *[item(name, "news") for name in NEWS],
    *[item(name, "sport") for name in SPORT],
    item("both", "news", "sport"),
    item("equal b", "quiet"),
    item("equal a", "quiet"),
    item("without a category"),
    item("of the sixth", "f"),
]
USERS = [
    *likes("reader", ("news", 3.0), ("sport", 1.0)),
    *likes("reader", ("quiet", 9.0), horizon="short"),
    *likes("fan of one", ("quiet", 1.0)),
    *likes("has seen the best", ("news", 3.0), ("sport", 1.0)),
    *likes("has seen all", ("quiet", 1.0)),
    *likes("of no category", ("unknown", 1.0)),
    *likes("of many", ("a", 6.0), ("b", 5.0), ("c", 4.0), ("d", 3.0), ("quiet", 2.0), ("f", 1.0)),
]
SEEN_ITEMS = {
    "has seen the best": [*NEWS[:10], "both"],
    "has seen all": ["equal a", "equal b"],
    "somebody without an affinity": NEWS,
}


def popularity(name):
    """By surface; what comes first in its category is the most popular."""
    if name in ("both", "without a category", "of the sixth"):
        return [("feed", 5.0, 10)]
    if name.startswith("equal"):
        return [("feed", 1.0, 0), ("search", 2.0, 0)]
    return [("feed", 4.0 - int(name[-2:]) / 10, 100)]


@pytest.fixture(scope="module")
def inputs(frame):
    popular = [
        {"day": DAY, "item_id": row["item_id"], "surface": surface, "popularity": value, "expected": expected}
        for row in CATALOGUE
        for surface, value, expected in popularity(row["item_id"])
    ]
    seen = [
        {"day": DAY, "user_id": user, "item_id": name}
        for user, names in SEEN_ITEMS.items()
        for name in [*names, names[0]]
    ]
    return [
        frame(AFFINITY, USERS),
        frame(POPULARITY.replace("decimal(28,10)", "int"), popular),
        frame(ITEMS, CATALOGUE),
        frame(SEEN, seen),
    ]


@pytest.fixture(scope="module")
def found(inputs):
    return sorted(transform(*inputs).collect(), key=lambda row: (row["user_id"], row["rank"]))


@pytest.fixture(scope="module")
def of_user(found):
    users = defaultdict(list)
    for row in found:
        users[row["user_id"]].append(row)
    return users


def test_items_are_ranked_by_affinity_times_popularity(of_user):
    first, second = of_user["reader"][:2]
    assert (first["item_id"], first["category"], first["score"]) == ("both", "news", 15.0)
    assert (second["item_id"], second["score"]) == ("news 00", 12.0)
    scores = [row["score"] for row in of_user["reader"]]
    assert scores == sorted(scores, reverse=True)


def test_ranks_are_dense_from_1_and_no_category_takes_more_than_its_quota(of_user):
    for rows in of_user.values():
        assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
        assert {row["ranks"] for row in rows} == {len(rows)}
        assert len(rows) <= LENGTH
        assert max(Counter(row["category"] for row in rows).values()) <= QUOTA
    counts = Counter(row["category"] for row in of_user["reader"])
    assert counts == {"news": QUOTA, "sport": QUOTA}, "sport is shown, though all news would score higher"


def test_what_was_seen_is_left_out_and_the_next_takes_its_place(of_user):
    mine = {row["item_id"] for row in of_user["has seen the best"]}
    assert not mine & set(SEEN_ITEMS["has seen the best"])
    assert "news 10" in mine
    assert len(mine) == 2 * QUOTA
    assert "has seen all" not in of_user, "the fallback serves them"
    assert "somebody without an affinity" not in of_user


def test_an_item_of_two_categories_is_recommended_once(of_user):
    assert Counter(row["item_id"] for row in of_user["reader"])["both"] == 1


def test_equal_scores_are_ordered_by_item(of_user):
    assert [row["item_id"] for row in of_user["fan of one"]] == ["equal a", "equal b"]
    assert of_user["fan of one"][0]["popularity"] == 1.5, "without evidence, the mean of its surfaces"


def test_items_without_a_category_are_for_who_likes_those(of_user):
    assert [row["item_id"] for row in of_user["of no category"]] == ["without a category"]


def test_only_the_best_categories_of_a_user_are_looked_at(of_user):
    assert CATEGORIES == 5
    assert {row["category"] for row in of_user["of many"]} == {"quiet"}


def test_the_same_rows_in_other_parts_and_another_order_give_the_same_bits(inputs, found):
    mixed = transform(*[part.orderBy(part.columns[1], ascending=False).repartition(7) for part in inputs]).collect()
    assert sorted(mixed, key=lambda row: (row["user_id"], row["rank"])) == found


def test_the_plan_has_no_python_and_no_cross_join(inputs, plan_of):
    plan = plan_of(transform(*inputs))
    assert "Python" not in plan
    assert "NestedLoop" not in plan
    assert "Cartesian" not in plan
