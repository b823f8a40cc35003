"""The bounds of include/bounds.py hold what docs/sources.md promises."""

from pathlib import Path

import pytest

from feedmill.landing.footer import LONGEST_FOOTER
from feedmill.landing.inspect import LONGEST_SEEN
from feedmill.landing.names import LONGEST
from include import bounds
from include.bounds import EVENTS_A_YEAR, MEASURES, amount
from include.events import VALUE_COLUMNS

DOCS = (Path(__file__).resolve().parents[1] / "docs/sources.md").read_text()
BIGINT = 2**63 - 1


@pytest.mark.parametrize("name", MEASURES)
def test_no_sum_over_a_year_of_the_largest_feed_overflows(name: str) -> None:
    assert EVENTS_A_YEAR * MEASURES[name] <= BIGINT
    assert f"{EVENTS_A_YEAR:,} × {MEASURES[name]:,} = {EVENTS_A_YEAR * MEASURES[name]:,}" in DOCS


def test_whatever_is_summed_has_a_bound() -> None:
    assert set(VALUE_COLUMNS) <= MEASURES.keys()


@pytest.mark.parametrize(
    "written",
    [
        f"| a line | {amount(bounds.LINE_BYTES)} |",
        f"each other | {bounds.NESTING} |",
        f"any text: ids, names, categories | {bounds.TEXT_LENGTH:,} |",
        f"written as text | {bounds.NUMBER_LENGTH},",
        f"`position` | 0 to {MEASURES['position']:,} |",
        f"0 to {MEASURES['duration_ms']:,}: a week |",
        f"0 to {MEASURES['revenue_micros']:,}: a thousand units |",
        f"0 to {bounds.ITEM_DURATION_MS:,}: a year |",
        f"from {bounds.PUBLISHED[0]:%Y} to {bounds.PUBLISHED[1].year - 1} |",
        f"categories of an item | {bounds.CATEGORIES:,} |",
        f"for the {bounds.COUNTED_CATEGORIES} heaviest |",
        f"{bounds.WEIGHTS[0]:.9f} to {bounds.WEIGHTS[1]:,.0f} |",
        f"what it unpacks to | {amount(bounds.FILE_BYTES)} |",
        f"its lines or rows | {bounds.FILE_ROWS:,} |",
        f"by each page | {amount(bounds.ROW_GROUP_BYTES)} |",
        f"a Parquet footer | {amount(LONGEST_FOOTER)} |",
        f"a line of more than {amount(LONGEST_SEEN)}",
        f"its path | {LONGEST:,} bytes",
    ],
)
def test_each_bound_stands_in_the_docs(written: str) -> None:
    assert written in DOCS


def test_a_line_that_the_contract_allows_is_one_that_spark_may_see() -> None:
    assert bounds.LINE_BYTES <= LONGEST_SEEN


def test_amounts_are_written_in_the_unit_that_people_use() -> None:
    assert [amount(n) for n in (1000, 1 << 20, 3 << 19, 4 << 30, 700 << 20)] == [
        "1,000 bytes",
        "1 MiB",
        "1.5 MiB",
        "4 GiB",
        "700 MiB",
    ]
