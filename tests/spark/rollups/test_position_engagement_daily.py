"""rollups.position_engagement_daily: impressions and engagements by place and category."""

from datetime import date
from decimal import Decimal

import pytest

from include.spark.rollups.position_engagement_daily import transform
from tests.spark.test_impressions import CLEAN, DAY, ITEMS, event

NEXT = date(2026, 5, 2)

ROWS = [
    event("1", "both", "impression click", position=1),
    event("2", "both", position=1),
    event("3", "both", "impression click", position=2),
    event("4", "both", surface="search", position=1),
    event("5", "sport only", "impression like", position=1),
    event("6", "no category", position=1),
    event("7", "lost impression", "click", surface="lost"),
    event("8", "both", position=1, day=NEXT),
    # Shown three times above and once below, engaged with two of three times and once; and what does not compare.
    *[event(f"a{n}", "moves", "impression click" if n else "impression", surface="list", position=0) for n in range(3)],
    event("b", "moves", "impression click", surface="list", position=1),
    event("c", "moves", "impression click", surface="list", position=3),
    event("d", "moves", "click", surface="list", position=1),
    event("e", "always above", "impression click", surface="list", position=0),
    event("f", "elsewhere unknown", "impression click", surface="list", position=30),
    event("g", "elsewhere unknown", "impression click", surface="list"),
    # A log whose clicks say neither request nor slot.
    *[event(f"h{n}", "clicks apart", surface="apart", position=0) for n in range(3)],
    event("i", "clicks apart", surface="apart", position=2),
    *[event(f"j{n}", "clicks apart", "click", surface="apart") for n in range(2)],
    event("k", "not shown", "click", surface="apart"),
]

CATALOGUE = [
    *[{"day": day, "item_id": "both", "categories": [("news", 0.25), ("sport", 0.75)]} for day in (DAY, NEXT)],
    {"day": DAY, "item_id": "sport only", "categories": [("sport", 1.0)]},
    {"day": DAY, "item_id": "moves", "categories": [("news", 0.5), ("sport", 0.5)]},
    {"day": DAY, "item_id": "clicks apart", "categories": [("news", 1.0)]},
]


@pytest.fixture(scope="module")
def rows(frame):
    """Rows by (day, surface, bucket, category); one Spark job."""
    rows = transform(frame(CLEAN, ROWS), frame(ITEMS, CATALOGUE)).collect()
    found = {tuple(row)[:4]: row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.fixture(scope="module")
def cells(rows):
    """Impressions and engaged by the same."""
    return {key: (row["impressions"], row["engaged"]) for key, row in rows.items()}


def test_impressions_and_engagements_count_with_the_weight_of_the_category(cells):
    assert cells[DAY, "home", "1", "news"] == (Decimal("0.5"), Decimal("0.25"))
    assert cells[DAY, "home", "1", "sport"] == (Decimal("2.5"), Decimal("1.75"))


def test_days_surfaces_and_positions_are_apart(cells):
    assert cells[DAY, "home", "2", "news"] == (Decimal("0.25"), Decimal("0.25"))
    assert cells[DAY, "search", "1", "news"] == (Decimal("0.25"), 0)
    assert cells[NEXT, "home", "1", "sport"] == (Decimal("0.75"), 0)


def test_what_has_no_category_or_no_impression_still_counts(cells):
    assert cells[DAY, "home", "1", "unknown"] == (1, 0)
    assert cells[DAY, "lost", "unknown", "unknown"] == (0, 1)


def test_the_cells_hold_every_impression_once(cells):
    assert sum(impressions for impressions, _ in cells.values()) == 7 + 8 + 4
    assert sum(engaged for _, engaged in cells.values()) == 4 + 8 + 3


def test_engagements_of_which_only_item_and_surface_are_known_are_spread_over_its_slots(cells):
    found = {key[2:]: counts for key, counts in cells.items() if key[1] == "apart"}
    assert found == {
        ("0", "news"): (3, Decimal("1.5")),
        ("2", "news"): (1, Decimal("0.5")),
        ("unknown", "unknown"): (0, 1),
    }


def test_neighbouring_places_are_compared_by_the_items_that_stood_in_both(rows):
    """2 engagements of 3 impressions above and 1 of 1 below: 2 x 1/4 against 1 x 3/4, by halves to two categories."""
    pairs = {
        (bucket, category): (row["engaged_paired"], row["engaged_paired_below"])
        for (_, surface, bucket, category), row in rows.items()
        if surface == "list"
    }
    assert pairs.pop(("0", "news")) == pairs.pop(("0", "sport")) == (Decimal("0.25"), Decimal("0.375"))
    # An item that stood in one place only, places that are no neighbours, a click alone, and no place at all.
    assert set(pairs.values()) == {(0, 0)}
    assert {bucket for bucket, _ in pairs} == {"0", "1", "3", "21+", "unknown"}
