"""features.engagement_baseline: the expected rate of every cell, of its parents, and of cells that were never seen."""

from collections import defaultdict
from datetime import date
from decimal import Decimal

import pytest

from include.spark.baseline import with_position_rate, with_rate
from include.spark.features.engagement_baseline import transform

DAY = date(2026, 5, 1)
SCHEMA = """
    day date, surface string, position_bucket string, category string, impressions decimal(28,10),
    engaged decimal(28,10), engaged_paired decimal(28,10), engaged_paired_below decimal(28,10)
"""

CELLS = {
    # Rates that differ, with many impressions: near their own.
    ("home", "1", "news"): (10_000, 1_000),
    ("home", "1", "sport"): (10_000, 3_000),
    ("home", "2", "news"): (10_000, 500),
    ("home", "2", "sport"): (10_000, 1_500),
    # One impression: near its parent's.
    ("home", "1", "rare"): (1, 1),
    ("search", "1", "news"): (5_000, 1_000),
    # Engagements alone: the impressions are lost.
    ("search", "2", "news"): (0, 4),
}
ALIKE = {("s", str(bucket), category): (1000, 100) for bucket in (1, 2) for category in "abc"}
NOTHING = {("s", "1", "a"): (10, 0)}
LOST = {("s", "1", "a"): (0, 3)}
# Better items stand higher: by their engagements a place falls to a quarter, by the same items to a half.
RANKED = {
    ("list", "0", "a"): (10_000, 4_000),
    ("list", "1", "a"): (10_000, 1_000),
    ("list", "2", "a"): (10_000, 250),
    ("list", "4-5", "a"): (10_000, 125),
    ("list", "unknown", "a"): (10_000, 700),
}
PAIRS = {("list", "0", "a"): (8_000, 4_000), ("list", "1", "a"): (6_000, 3_000), ("list", "2", "a"): (900, 1)}
# Engagements of items that were not shown on their day, nobody knows where.
UNPLACED = {("list", "0", "a"): (1_000, 50), ("list", "1", "b"): (3_000, 50), ("list", "unknown", "c"): (5, 25)}
HISTORIES = dict(enumerate([CELLS, ALIKE, NOTHING, LOST, RANKED, UNPLACED], start=1))


def day(number):
    return date(2026, 5, number)


def rows_of(number, cells, parts=2):
    """The cells over several days of the window, which bear the reader's day."""
    for cell, (shown, engaged) in cells.items():
        pairs = PAIRS.get(cell, (0, 0))
        for part in range(parts):
            first = part == 0
            yield {
                "day": day(number),
                **dict(zip(("surface", "position_bucket", "category"), cell, strict=True)),
                "impressions": Decimal(shown if first else 0),
                "engaged": Decimal(engaged if first else 0),
                "engaged_paired": Decimal(pairs[0] if first else 0),
                "engaged_paired_below": Decimal(pairs[1] if first else 0),
            }


@pytest.fixture(scope="module")
def baseline(frame):
    """The baselines of all histories."""
    return transform(frame(SCHEMA, [row for n, cells in HISTORIES.items() for row in rows_of(n, cells)])).cache()


@pytest.fixture(scope="module")
def rows(baseline):
    """Rows by day number and cell; one Spark job."""
    return {(row["day"].day, *tuple(row)[1:4]): row for row in baseline.collect()}


def raw(cells):
    """An independent computation of the smoothed rates, cell by cell."""
    levels = [defaultdict(lambda: [0.0, 0.0]) for _ in range(4)]
    for cell, (shown, engaged) in cells.items():
        for level in range(4):
            key = cell[:level] + ("*",) * (3 - level)
            levels[level][key][0] += shown
            levels[level][key][1] += engaged
    own = [{key: min(o / n, 1) if n else 0.0 for key, (n, o) in level.items()} for level in levels]
    rates = dict(own[0])
    for level in range(1, 4):
        parent = {key: key[: level - 1] + ("*",) * (4 - level) for key in levels[level]}
        numerator = denominator = 0.0
        for key, (n, o) in levels[level].items():
            p = own[level - 1][parent[key]]
            numerator += (o - n * p) ** 2 - n * p * (1 - p)
            denominator += max(n * (n - 1), 0) * p * p
        variance = max(numerator / denominator, 0) if denominator else 0.0
        for key, (n, _) in levels[level].items():
            p = own[level - 1][parent[key]]
            signal, noise = variance * (n * p) ** 2, n * p * (1 - p)
            z = signal / (signal + noise) if signal + noise else 0.0
            rates[key] = z * own[level][key] + (1 - z) * rates[parent[key]]
    return rates


@pytest.mark.parametrize("number", [1, 2, 3, 5, 6])
def test_rates_are_smoothed_level_by_level_by_what_the_cells_of_a_level_differ(rows, number):
    expected = raw(HISTORIES[number])
    found = {key[1:]: row["rate"] for key, row in rows.items() if key[0] == number}
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_cell_of_many_impressions_keeps_its_rate_and_one_of_few_takes_its_parent_s(rows):
    assert rows[1, "home", "1", "sport"]["rate"] == pytest.approx(0.3, rel=0.01)
    parent = rows[1, "home", "1", "*"]["rate"]
    assert abs(rows[1, "home", "1", "rare"]["rate"] - parent) < 0.1 * (1 - parent)


def test_where_cells_do_not_differ_all_rates_are_one(rows):
    alike = [row["rate"] for key, row in rows.items() if key[0] == 2]
    assert alike == pytest.approx([0.1] * len(alike))


def test_the_position_rate_is_that_of_surface_and_bucket_whatever_the_category(rows):
    news, sport = rows[1, "home", "1", "news"], rows[1, "home", "1", "sport"]
    assert news["position_rate"] == sport["position_rate"] == rows[1, "home", "1", "*"]["position_rate"]
    assert rows[1, "search", "*", "*"]["position_rate"] == rows[1, "search", "*", "*"]["rate"]


def test_without_items_in_both_places_these_are_compared_by_their_rates(rows):
    """And over the list the rates add up to the engagements that there were."""
    one, two = rows[1, "home", "1", "*"], rows[1, "home", "2", "*"]
    assert one["position_rate"] / two["position_rate"] == pytest.approx(one["rate"] / two["rate"])
    expected = sum(float(row["impressions"]) * row["position_rate"] for row in (one, two))
    assert expected == pytest.approx(float(one["engaged"] + two["engaged"]))


def test_places_are_compared_by_the_same_items_and_not_by_what_a_ranking_puts_there(rows):
    of = {key[2]: row for key, row in rows.items() if key[0] == 5 and key[1] == "list" and key[3] == "*"}
    rates = [of[bucket]["position_rate"] for bucket in ("0", "1", "2", "4-5")]
    assert rates[1] / rates[0] == pytest.approx(0.5, rel=0.01)
    assert rates[2] / rates[1] == pytest.approx(0.5, rel=0.01)
    assert rates[3] / rates[2] == pytest.approx(of["4-5"]["rate"] / of["2"]["rate"]), "place 3 is missing in between"
    assert sum(rates) * 10_000 == pytest.approx(4_000 + 1_000 + 250 + 125)
    assert of["unknown"]["position_rate"] == of["unknown"]["rate"], "it is no place of the list"


def test_engagements_beyond_what_a_slot_was_shown_are_expected_of_the_list(rows):
    """Or the expected would be less than what there was, and every item better than average."""
    of = {key[2]: row for key, row in rows.items() if key[0] == 6 and key[1] == "list" and key[3] == "*"}
    assert sum(float(of[place]["impressions"]) * of[place]["position_rate"] for place in "01") == pytest.approx(120)


def test_parents_hold_the_sums_of_their_cells(rows):
    assert (rows[1, "home", "1", "*"]["impressions"], rows[1, "*", "*", "*"]["engaged"]) == (20_001, 7_005)


def test_nothing_engaged_is_a_rate_of_0_and_nothing_shown_is_no_baseline(rows):
    assert {row["rate"] for key, row in rows.items() if key[0] == 3} == {0.0}
    assert not [key for key in rows if key[0] == 4]


def test_every_impression_finds_the_nearest_rate_and_none_without_a_baseline(frame, baseline, rows):
    asked = [
        (1, ("home", "1", "sport"), ("home", "1", "sport"), ("home", "1", "*")),
        (1, ("home", "1", "new"), ("home", "1", "*"), ("home", "1", "*")),
        (1, ("home", "21+", "sport"), ("home", "*", "*"), ("home", "*", "*")),
        (1, ("new", "1", "sport"), ("*", "*", "*"), ("*", "*", "*")),
        (9, ("home", "1", "sport"), None, None),
    ]
    schema = "n int, day date, surface string, position_bucket string, category string"
    given = frame(
        schema,
        [
            {"n": n, "day": day(number), "surface": c[0], "position_bucket": c[1], "category": c[2]}
            for n, (number, c, _, _) in enumerate(asked)
        ],
    )
    found = with_position_rate(with_rate(given, baseline), baseline).orderBy("n").collect()
    for row, (number, _, by_category, by_place) in zip(found, asked, strict=True):
        assert row["rate"] == (rows[number, *by_category]["rate"] if by_category else None)
        assert row["position_rate"] == (rows[number, *by_place]["position_rate"] if by_place else None)
