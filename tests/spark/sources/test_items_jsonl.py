"""The contract's items as JSON lines."""

import json

import pytest
from pyspark.sql import functions as F

from include.spark.sources import items_jsonl
from include.spark.sources.rules import FIELDS, PLACE

NOT_CATEGORY = "is not a name, or an object with a category and a weight above 0"


def line(**fields):
    return json.dumps({"item_id": "i1"} | fields)


BAD = {
    "no item_id": ('{"author_id": "a"}', "item_id is missing"),
    "no JSON": ("item", "raw: not one JSON object with each field once"),
    "categories as a string": (line(categories="news"), "categories: 'news' is not a list"),
    "a weight of zero": (
        line(categories=[{"category": "news", "weight": 0}]),
        f'categories: \'{{"category":"news","weight":0}}\' {NOT_CATEGORY}',
    ),
    "a weight of words": (
        line(categories=["a", {"category": "news", "weight": "much"}]),
        f'categories: \'{{"category":"news","weight":"much"}}\' {NOT_CATEGORY}',
    ),
    "a category without name": (line(categories=[{"weight": 1}]), f"categories: '{{\"weight\":1}}' {NOT_CATEGORY}"),
    "a null category": (line(categories=[None]), f"categories: null {NOT_CATEGORY}"),
    "any category": (
        line(categories=["news", "*"]),
        "categories: '*' means any in Feedmill's tables; give it another name",
    ),
    "a negative duration": (line(duration_ms=-1), "duration_ms: -1 is negative"),
    "a wrong published_at": (
        line(published_at="May"),
        "published_at: 'May' is not an ISO 8601 time with a zone or a number of epoch milliseconds",
    ),
}

READ = {
    "weighted categories": (
        line(categories=[{"category": "news", "weight": 3}, {"category": "sport"}, "arts"]),
        "categories",
        [("news", 3.0), ("sport", 1.0), ("arts", 1.0)],
    ),
    "no categories": (line(), "categories", None),
    "an old item": (line(published_at="1995-01-01T00:00:00Z"), "seconds", 788918400),
    "a numbered item": (line(item_id=5), "item_id", "5"),
    "an author": (line(author_id="a1"), "author_id", "a1"),
    "a duration": (line(duration_ms=90000), "duration_ms", 90000),
}


@pytest.fixture(scope="module")
def records(text_rows):
    """What becomes of every line above, by the line's name; one Spark job."""
    cases = {name: case[0] for name, case in (BAD | READ).items()}
    read = items_jsonl.read(text_rows("items.jsonl", list(cases.values())))
    rows = {row["line"]: row for row in read.withColumn("seconds", F.unix_seconds("published_at")).collect()}
    return dict(zip(cases, (rows[number] for number in sorted(rows)), strict=True))


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_line_is_rejected_with_field_and_value(records, name):
    assert records[name]["reason"] == BAD[name][1]


@pytest.mark.parametrize("name", READ)
def test_a_well_formed_line_is_read(records, name):
    _, field, expected = READ[name]
    assert records[name]["reason"] is None
    found = records[name][field]
    assert ([tuple(entry) for entry in found] if isinstance(found, list) else found) == expected


def test_records_have_all_columns_in_order(text_rows):
    assert items_jsonl.read(text_rows("items.jsonl", [])).columns == [*PLACE, *FIELDS["items"]]
