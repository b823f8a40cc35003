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
    "a weight that would vanish": (
        line(categories=[{"category": "a", "weight": 1e-10}]),
        "categories: the weight 1.0E-10 is not between 1e-09 and 1e+09",
    ),
    "a weight that would leave nothing for others": (
        line(categories=["a", {"category": "news", "weight": 1e10}]),
        "categories: the weight 1.0E10 is not between 1e-09 and 1e+09",
    ),
    "an endless weight": (
        line(categories=[{"category": "news", "weight": "1" * 10_000}]),
        f'categories: \'{{"category":"news","weight":"{"1" * 51}…\' {NOT_CATEGORY}',
    ),
    "more categories than an item has": (
        line(categories=[f"c{n}" for n in range(10_001)]),
        "categories: 10001 are more than 10000",
    ),
    "NUL in a category": (
        line(categories=["a", "b\0"]),
        "categories: 'b\u2400' holds a NUL or half of a surrogate pair",
    ),
    "a category that is too long": (
        line(categories=["x" * 1025]),
        f"categories: '{'x' * 80}…' has 1025 characters, more than 1024",
    ),
    "a category of white space": (line(categories=["\u3000"]), f"categories: '\u3000' {NOT_CATEGORY}"),
    "an item as long as a century": (
        line(duration_ms=100 * 366 * 86_400_000),
        "duration_ms: 3162240000000 is more than 31622400000",
    ),
    "a date that stands for none": (
        line(published_at="0001-01-01T00:00:00Z"),
        "published_at: 0001-01-01T00:00:00Z is not between 1700 and 2200; a time that is not known is left out",
    ),
    "a date before all calendars": (
        line(published_at=-253_402_300_799_999),
        "published_at: -6060-01-02T00:00:00Z is not between 1700 and 2200; a time that is not known is left out",
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
    "as many categories as an item may have": (line(categories=["c"] * 10_000), "categories", [("c", 1.0)] * 10_000),
    "the smallest weight": (line(categories=[{"category": "a", "weight": 1e-9}]), "categories", [("a", 1e-9)]),
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
