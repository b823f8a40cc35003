"""An event counts for so many of its item's categories that no item can make rows without end."""

from __future__ import annotations

from datetime import date

import pytest

from include.bounds import COUNTED_CATEGORIES
from include.spark.categories import counted

DAY = date(2026, 5, 1)
ITEMS = "day date, item_id string, categories array<struct<category: string, weight: double>>"


@pytest.fixture(scope="module")
def found(frame):
    """The counted categories of each item; one Spark job."""
    many = [(f"c{n:05}", (1.0 + (n % 7 == 0)) / 1000) for n in range(COUNTED_CATEGORIES + 50)]
    rows = {
        "none": [],
        "two": [("sport", 0.75), ("news", 0.25)],
        "just enough": many[:COUNTED_CATEGORIES],
        "too many": many,
        "all alike": [(f"c{n:05}", 1 / 5000) for n in reversed(range(5000))],
    }
    items = frame(ITEMS, [{"day": DAY, "item_id": name, "categories": given} for name, given in rows.items()])
    read = items.select("item_id", counted(items["categories"]).alias("counted")).collect()
    return rows, {row["item_id"]: [tuple(one) for one in row["counted"]] for row in read}


@pytest.mark.parametrize("item", ["none", "two", "just enough"])
def test_categories_that_are_not_too_many_stay_as_they_are(found, item):
    given, counts = found
    assert counts[item] == given[item]


def test_of_too_many_the_heaviest_count_and_their_weights_sum_to_1(found):
    given, counts = found
    by_weight = sorted(given["too many"], key=lambda one: (-one[1], one[0]))[:COUNTED_CATEGORIES]
    total = sum(weight for _, weight in by_weight)
    assert counts["too many"] == [(name, pytest.approx(weight / total)) for name, weight in by_weight]
    assert sum(weight for _, weight in counts["too many"]) == pytest.approx(1)


def test_of_categories_alike_the_first_in_the_alphabet_count(found):
    _, counts = found
    expected = [(f"c{n:05}", pytest.approx(1 / COUNTED_CATEGORIES)) for n in range(COUNTED_CATEGORIES)]
    assert counts["all alike"] == expected
