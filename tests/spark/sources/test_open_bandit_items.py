"""Open Bandit's items: one category each, by campaign."""

from datetime import UTC, datetime

import pytest

from include.spark.sources import open_bandit_items

HEADER = ",item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3"


@pytest.fixture(scope="module")
def records(text_rows):
    """What becomes of a file's lines, by line number; one Spark job."""
    lines = [HEADER, "0,5,-0.4,shoes,a,b", "1,x,-0.4,shoes,a,b", "2,6,-0.4,,a,b", "3,7,-0.4"]
    return {r["line"]: r for r in open_bandit_items.read(text_rows("women.csv", lines)).collect()}


def test_an_item_has_its_first_hashed_feature_as_its_one_category(records):
    item = records[2]
    assert (item["reason"], item["item_id"], item["source"]) == (None, "women:5", "open_bandit_items")
    assert [entry.asDict() for entry in item["categories"]] == [{"category": "shoes", "weight": 1.0}]


def test_malformed_rows_are_rejected_with_field_and_value(records):
    assert {number: row["reason"] for number, row in records.items() if number > 2} == {
        3: "item_id: 'x' is not a number",
        4: "item_feature_1 is missing",
        5: "raw: the row has 3 columns, not 6",
    }


def test_a_file_lands_whole_in_the_hour_that_the_caller_says(tmp_path):
    path = tmp_path / "random" / "men" / "item_context.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"any\n")
    hour = datetime(2026, 5, 1, tzinfo=UTC)
    assert list(open_bandit_items.replay(path, hour)) == [(hour, "men.csv", b"any\n")]


def test_a_path_without_campaign_is_refused(tmp_path):
    with pytest.raises(ValueError, match="does not say its campaign"):
        list(open_bandit_items.replay(tmp_path / "item_context.csv", datetime(2026, 5, 1, tzinfo=UTC)))
