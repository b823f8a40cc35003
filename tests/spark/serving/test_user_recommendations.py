"""serving.user_recommendations: what a user's items lead to, within quotas, without what the user has seen."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import sqrt
from pathlib import Path

import pytest

from feedmill.lake import ddl
from include.spark.serving import user_recommendations
from include.spark.serving.user_recommendations import (
    CANDIDATES,
    CATEGORIES,
    HALF_LIFE,
    HISTORY,
    LENGTH,
    QUOTA,
    transform,
)
from include.tables import TABLES
from tests.spark.plans import faults, shuffles

PROJECT = Path(__file__).resolve().parents[3]

DAY = date(2026, 5, 1)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def columns(name):
    """All columns that the table has: some of its inputs share names, which a join must not mix up."""
    found = ddl.read(PROJECT / TABLES[name].ddl_path).columns
    return ", ".join(f"{column.name} {column.sql_type}" for column in found)


AFFINITY = columns("features.user_category_affinity")
POPULARITY = columns("features.item_popularity_daily")
ITEMS = columns("catalog.items")
SEEN = columns("rollups.user_items_daily")
NEIGHBOURS = columns("features.item_neighbours")


def likes(user, *categories, horizon="long", otherwise=1.0):
    return [
        {
            "day": DAY,
            "horizon": horizon,
            "user_id": user,
            "category": name,
            "rank": place,
            "affinity": affinity,
            "user_affinity": otherwise,
        }
        for place, (name, affinity) in enumerate(categories, start=1)
    ]


def item(name, *categories):
    return {"day": DAY, "item_id": name, "categories": [(category, 1 / len(categories)) for category in categories]}


def met(user, names, engaged=0):
    """The user's items, the newest last."""
    return [
        {"day": DAY, "user_id": user, "item_id": name, "engaged": engaged, "last_seen": NOON + timedelta(minutes=n)}
        for n, name in enumerate(names)
    ]


NEWS = [f"news {n:02d}" for n in range(60)]
SPORT = [f"sport {n:02d}" for n in range(60)]
CATALOGUE = [
    *[item(name, "news") for name in NEWS],
    *[item(name, "sport") for name in SPORT],
    item("both", "news", "sport"),
    item("equal b", "quiet"),
    item("equal a", "quiet"),
    item("hidden gem", "far"),
    item("without a category"),
    item("of the sixth", "f"),
]
USERS = [
    *likes("reader", ("news", 3.0), ("sport", 1.0)),
    *likes("reader", ("quiet", 9.0), horizon="short"),
    *likes("fan of quiet", ("quiet", 100.0)),
    *likes("has seen the best", ("news", 3.0), ("sport", 1.0)),
    *likes("has seen all", ("quiet", 1.0)),
    *likes("of no category", ("unknown", 100.0)),
    *likes("of many", ("a", 6.0), ("b", 5.0), ("c", 4.0), ("d", 3.0), ("e", 2.0), ("f", 1.0), otherwise=0.5),
    *likes("led", ("sport", 1.0), otherwise=0.5),
    *likes("led twice", ("sport", 1.0), otherwise=0.5),
    *likes("led long ago", ("sport", 1.0), otherwise=0.5),
]
SEEN_ITEMS = [
    *met("has seen the best", [*NEWS[:10], "both", NEWS[0]]),
    *met("has seen all", [row["item_id"] for row in CATALOGUE]),
    *met("somebody without an affinity", NEWS, engaged=1),
    *met("led", ["news 59"], engaged=1),
    *met("led", ["news 58"]),
    *met("led long ago", ["news 59", *[f"old {n:02}" for n in range(HISTORY)]], engaged=1),
    *met("led twice", ["news 59", *[f"old {n}" for n in range(HALF_LIFE - 1)], "sport 59"], engaged=1),
]
LEADS = [
    ("news 59", "hidden gem", 7.0),
    ("news 59", "news 59", 9.0),
    ("news 59", "in no catalogue", 9.0),
    ("news 58", "of the sixth", 9.0),
    ("sport 59", "hidden gem", 3.0),
]
ENGAGED = {"both": 400, "without a category": 16, "of the sixth": 0, "equal a": 1, "equal b": 1, "hidden gem": 4}


def engaged(name):
    """Of a surface; what comes first in its category has most engagements."""
    return ENGAGED.get(name, 0) or (0 if name in ENGAGED else 100 - int(name[-2:]))


@pytest.fixture(scope="module")
def inputs(frame):
    popular = [
        {
            "day": DAY,
            "item_id": row["item_id"],
            "surface": surface,
            "engaged_decayed": Decimal(part * engaged(row["item_id"])),
        }
        for row in CATALOGUE
        for surface, part in (("feed", 3), ("search", 1))
    ]
    return [
        frame(AFFINITY, USERS),
        frame(POPULARITY, popular),
        frame(ITEMS, CATALOGUE),
        frame(SEEN, SEEN_ITEMS),
        frame(NEIGHBOURS, [{"day": DAY, "item_id": a, "neighbour_id": b, "lift": lift} for a, b, lift in LEADS]),
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


def test_without_items_of_their_own_a_user_s_are_ranked_by_affinity_and_engagements(of_user):
    first, second = of_user["reader"][:2]
    assert (first["item_id"], first["category"], first["evidence"]) == ("both", "news", 0)
    assert first["affinity"] == 2.0, "half of news, half of sport"
    assert (first["engaged"], first["score"]) == (1600, pytest.approx(2.0 * sqrt(1600)))
    assert (second["item_id"], second["score"]) == ("news 00", pytest.approx(3.0 * sqrt(400)))
    for rows in of_user.values():
        scores = [row["score"] for row in rows]
        assert scores == sorted(scores, reverse=True)


def test_what_the_user_s_items_lead_to_is_a_candidate_and_its_lift_counts(of_user):
    (gem,) = [row for row in of_user["led"] if row["item_id"] == "hidden gem"]
    assert (gem["evidence"], gem["engaged"]) == (7.0, 16)
    assert gem["affinity"] == 0.5, "a category that the user never met: as the user likes all"
    assert gem["score"] == pytest.approx(0.5 * sqrt(16) * (1 + 7.0))
    assert {row["item_id"] for row in of_user["led"] if row["evidence"] > 0} == {"hidden gem"}, (
        "not what was only shown leads on, nor to what was seen, nor out of the catalogue"
    )


def test_what_lies_behind_the_newest_items_leads_nowhere(of_user):
    assert of_user["led long ago"]
    assert not any(row["evidence"] for row in of_user["led long ago"])


def test_the_newest_item_says_most_about_the_next(of_user):
    (gem,) = [row for row in of_user["led twice"] if row["item_id"] == "hidden gem"]
    assert gem["evidence"] == pytest.approx(3.0 + 7.0 / 2), "an item that is as old as a half-life counts half"


def test_ranks_are_dense_from_1_and_no_category_takes_more_than_its_quota(of_user):
    for rows in of_user.values():
        assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
        assert {row["ranks"] for row in rows} == {len(rows)}
        assert len(rows) <= LENGTH
        assert max(Counter(row["category"] for row in rows).values()) <= QUOTA
    counts = Counter(row["category"] for row in of_user["reader"])
    assert (counts["news"], counts["sport"]) == (QUOTA, QUOTA), "sport is shown, though all news would score higher"


def test_what_was_seen_is_left_out_and_the_next_takes_its_place(of_user):
    mine = [row["item_id"] for row in of_user["has seen the best"]]
    assert not set(mine) & {*NEWS[:10], "both"}
    assert mine[0] == "news 10"
    assert "has seen all" not in of_user, "the fallback serves them"
    assert "somebody without an affinity" not in of_user


def test_the_suite_would_see_a_seen_item_that_was_not_left_out(inputs, monkeypatch):
    of = user_recommendations._users
    monkeypatch.setattr(user_recommendations, "_users", lambda affinities, met: of(affinities, met.limit(0)))
    times = {(row["user_id"], row["item_id"]): row["times_seen"] for row in transform(*inputs).collect()}
    assert times["has seen the best", "news 00"] == times["has seen the best", "both"] == 1
    assert times["reader", "news 00"] == 0


def test_an_item_of_two_categories_is_recommended_once(of_user):
    assert Counter(row["item_id"] for row in of_user["reader"])["both"] == 1


def test_equal_scores_are_ordered_by_item(of_user):
    quiet = [row for row in of_user["fan of quiet"] if row["category"] == "quiet"]
    assert [(row["item_id"], row["score"]) for row in quiet] == [("equal a", 200.0), ("equal b", 200.0)]


def test_what_is_engaged_with_most_is_offered_to_everybody(of_user):
    assert {row["item_id"] for row in of_user["fan of quiet"]} >= {"both", "news 00", "sport 00"}


def test_items_without_a_category_are_for_who_likes_those(of_user):
    first = of_user["of no category"][0]
    assert (first["item_id"], first["category"]) == ("without a category", "unknown")


def test_only_the_best_categories_of_a_user_are_looked_at(of_user):
    assert CATEGORIES == 5
    assert "of the sixth" not in {row["item_id"] for row in of_user["of many"]}
    assert {row["affinity"] for row in of_user["of many"]} == {0.5}


def test_of_a_category_only_the_items_with_most_engagements_are_looked_at(inputs, frame):
    affinity, popularity, items, _, _ = inputs
    seen = [name for name in NEWS if int(name[-2:]) < CANDIDATES]
    mine = affinity.where("user_id = 'reader'"), popularity, items, frame(SEEN, met("reader", seen))
    rows = transform(*mine, frame(NEIGHBOURS, [])).collect()
    assert {row["item_id"] for row in rows if row["category"] == "news"} == {"both"}


def test_the_same_rows_in_other_parts_and_another_order_give_the_same_bits(inputs, found):
    mixed = transform(*[part.orderBy(part.columns[1], ascending=False).repartition(7) for part in inputs]).collect()
    assert sorted(mixed, key=lambda row: (row["user_id"], row["rank"])) == found


def test_the_plan_has_no_python_and_no_join_of_all_with_all(inputs):
    built = transform(*inputs)
    assert faults(built) == []
    assert "day, user_id, item_id" not in shuffles(built), "candidates are shuffled by user, once"
