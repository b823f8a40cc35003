"""features.item_neighbours: what the same users engage with, against what popularity explains."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import combinations, permutations
from math import sqrt

import pytest

from include.spark.features.item_neighbours import HISTORY, NEIGHBOURS, transform
from tests.spark.plans import faults, shuffles

DAY, NEXT = date(2026, 5, 1), date(2026, 5, 2)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)

SEEN = "day date, read_day date, user_id string, item_id string, engaged bigint, last_seen timestamp"


def met(user, *items, day=DAY, read_day=DAY, engaged=1):
    """The user's items in the order of their meeting them."""
    return [
        {
            "day": day,
            "read_day": read_day,
            "user_id": user,
            "item_id": item,
            "engaged": engaged,
            "last_seen": NOON + timedelta(minutes=minute),
        }
        for minute, item in enumerate(items)
    ]


def spread(histories):
    """λ and the variance of true O/E, term by term over all pairs of items: what the transform makes from sums."""
    users = defaultdict(int)
    together = defaultdict(int)
    for items in histories:
        for item in items:
            users[item] += 1
        for pair in combinations(sorted(items), 2):
            together[pair] += 1
    products = {pair: users[pair[0]] * users[pair[1]] for pair in combinations(sorted(users), 2)}
    per_pair = sum(together.values()) / sum(products.values())
    expected = {pair: per_pair * product for pair, product in products.items()}
    # (O - E)², without what a user has with themselves.
    above = sum((together[pair] - e) ** 2 - together[pair] for pair, e in expected.items())
    return users, together, expected, above / sum(e * e for e in expected.values())


GROUPS = [
    *[["a", "b", "z"]] * 6,
    *[["a", "b"]] * 3,
    *[["c", "d", "z"]] * 5,
    *[["c", "e"]] * 2,
    ["a", "d", "z"],
    ["z"],
    ["alone"],
]


@pytest.fixture(scope="module")
def inputs(frame):
    rows = [row for number, items in enumerate(GROUPS) for row in met(f"u{number}", *items)]
    # Shown and not engaged with, and engaged with again on another day: neither is another user of the item.
    rows += met("u0", "c", "e", engaged=0)
    rows += met("u1", "a", read_day=date(2026, 4, 30))
    return frame(SEEN, rows)


@pytest.fixture(scope="module")
def found(inputs):
    return sorted(transform(inputs).collect(), key=lambda row: (row["item_id"], row["rank"]))


def test_each_pair_with_a_user_of_both_is_believed_as_far_as_its_evidence_goes(found):
    users, together, expected, variance = spread(GROUPS)
    assert variance > 0
    assert len(found) == 2 * sum(1 for count in together.values() if count)
    for row in found:
        pair = tuple(sorted((row["item_id"], row["neighbour_id"])))
        e = expected[pair]
        z = variance * e / (variance * e + 1)
        assert (row["users"], row["neighbour_users"]) == (users[row["item_id"]], users[row["neighbour_id"]])
        assert row["together"] == together[pair]
        assert row["expected"] == pytest.approx(e)
        assert row["lift_variance"] == pytest.approx(variance)
        assert row["credibility"] == pytest.approx(z)
        assert row["lift"] == pytest.approx(z * together[pair] / e + 1 - z)


def test_what_goes_together_more_often_than_popularity_explains_has_a_lift_above_1(found):
    lifts = {(row["item_id"], row["neighbour_id"]): row["lift"] for row in found}
    assert lifts["a", "b"] > 1.3 > 1 > lifts["a", "d"]
    assert lifts["a", "b"] == lifts["b", "a"]
    assert ("a", "alone") not in lifts


def test_neighbours_are_ranked_without_gaps_by_what_they_add_to_a_score(found):
    items = defaultdict(list)
    for row in found:
        items[row["item_id"]].append(row)
    for rows in items.values():
        assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
        assert {row["ranks"] for row in rows} == {len(rows)}
        strength = [row["lift"] * sqrt(row["neighbour_users"]) for row in rows]
        assert strength == sorted(strength, reverse=True)


def test_where_pairs_vary_as_chance_would_have_it_all_lifts_are_1(frame):
    histories = list(combinations("abcdefg", 3))
    rows = transform(frame(SEEN, [r for n, items in enumerate(histories) for r in met(f"u{n}", *items)])).collect()
    assert spread(histories)[-1] < 0
    assert {(row["lift_variance"], row["credibility"], row["lift"]) for row in rows} == {(0, 0, 1)}


def test_only_the_newest_items_of_a_user_count(frame):
    many = [f"i{number:02}" for number in range(HISTORY + 2)]
    rows = transform(frame(SEEN, met("u", *many) + met("v", *many[:2]))).collect()
    assert {(r["item_id"], r["neighbour_id"]) for r in rows if r["rank"] == 1 and r["item_id"] in many[:2]} == set(
        permutations(many[:2])
    )
    assert {row["users"] for row in rows} == {1}, "u has forgotten the first two, which v met"
    assert {row["item_id"] for row in rows} == set(many)


def test_an_item_keeps_its_strongest_neighbours_and_equal_ones_by_name(frame):
    histories = [["hub", f"i{number:02}"] for number in range(NEIGHBOURS + 5)]
    rows = transform(frame(SEEN, [r for n, items in enumerate(histories) for r in met(f"u{n}", *items)])).collect()
    mine = sorted((row["rank"], row["neighbour_id"]) for row in rows if row["item_id"] == "hub")
    assert mine == [(number + 1, f"i{number:02}") for number in range(NEIGHBOURS)]


def test_days_are_built_side_by_side_as_if_alone(frame):
    today = [row for n, items in enumerate(GROUPS) for row in met(f"u{n}", *items)]
    tomorrow = [row for n, items in enumerate(GROUPS[4:]) for row in met(f"u{n}", *items, day=NEXT)]

    def built(rows):
        return sorted(transform(frame(SEEN, rows)).collect())

    assert built(today + tomorrow) == sorted(built(today) + built(tomorrow))


def test_the_same_rows_in_other_parts_and_another_order_give_the_same_bits(inputs, found):
    mixed = transform(inputs.orderBy("item_id", ascending=False).repartition(7)).collect()
    assert sorted(mixed, key=lambda row: (row["item_id"], row["rank"])) == found


def test_nobody_s_items_give_no_rows(frame):
    assert transform(frame(SEEN, [])).collect() == []


def test_the_plan_has_no_python_and_no_join_of_all_with_all_and_shuffles_pairs_once(inputs, spark):
    # Else what is reused is decided as it runs.
    spark.conf.set("spark.sql.adaptive.enabled", "false")
    try:
        built = transform(inputs)
        assert faults(built) == []
        shuffled = shuffles(built)
    finally:
        spark.conf.unset("spark.sql.adaptive.enabled")
    assert shuffled[0] == "day, item_id", "at last, by item, to rank its neighbours"
    assert shuffled.count("day, item_id, other_id, users, other_users") == 1, "for the variance and for the rows"
