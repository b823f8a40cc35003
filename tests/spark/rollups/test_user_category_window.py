"""rollups.user_category_window: days added up by age."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.spark.credibility import SUMS
from include.spark.decay import HORIZONS
from include.spark.rollups.user_category_window import COLUMNS, ONCE, transform
from include.tables import user_category_window
from tests.spark.plans import faults, shuffles

DAY = date(2026, 5, 1)
SCHEMA = (
    "day date, read_day date, user_id string, category string, segment string, impressions decimal(18,10), "
    "engaged decimal(18,10), " + ", ".join(f"{name} decimal(18,10)" for name in SUMS)
)


def row(user, age, value=1, category="news", segment="DE", day=DAY):
    facts = {"day": day, "read_day": day - timedelta(days=age), "user_id": user, "category": category}
    return facts | {"segment": segment} | dict.fromkeys((*COLUMNS, "engaged"), Decimal(value))


ROWS = [
    row("today", 0, 3),
    row("a half-life ago", 3, 8),
    row("two days", 0, 2),
    row("two days", 28, 4),
    *[row("edge", age, category=f"{age} days") for age in (13, 14, 55)],
    row("moved", 5, segment="DE"),
    row("moved", 2, category="sport", segment="FR"),
    row("two readers", 1, 1),
    row("two readers", 0, 5, day=DAY + timedelta(days=1)),
]


@pytest.fixture(scope="module")
def built(frame):
    return transform(frame(SCHEMA, ROWS))


@pytest.fixture(scope="module")
def rows(built):
    """Rows by day, horizon, user and category; one Spark job."""
    found = built.collect()
    assert len({tuple(row)[:4] for row in found}) == len(found)
    return {tuple(row)[:4]: row for row in found}


def test_a_day_counts_by_its_age_and_squares_by_its_square(rows):
    today = rows[DAY, "short", "today", "news"]
    assert {today[name] for name in COLUMNS} == {3}
    ago = rows[DAY, "short", "a half-life ago", "news"]
    assert {name: ago[name] for name in COLUMNS} == {name: 4 if name in ONCE else 2 for name in COLUMNS}
    both = rows[DAY, "long", "two days", "news"]
    assert {name: both[name] for name in COLUMNS} == {name: 4 if name in ONCE else 3 for name in COLUMNS}


def test_a_horizon_ends_exactly_after_its_days(rows):
    kept = {(key[1], key[3]) for key in rows if key[2] == "edge"}
    assert kept == {("long", "13 days"), ("long", "14 days"), ("long", "55 days"), ("short", "13 days")}
    window = user_category_window.inputs[0]
    assert window.lookback == timedelta(days=max(horizon.days for horizon in HORIZONS) - 1)


def test_the_segment_is_that_of_the_user_s_latest_day(rows):
    assert {row["segment"] for key, row in rows.items() if key[2] == "moved"} == {"FR"}


def test_each_reader_s_day_has_its_own_window(rows):
    assert rows[DAY, "long", "two readers", "news"]["impressions"] < 1
    assert rows[DAY + timedelta(days=1), "long", "two readers", "news"]["impressions"] == 5


def test_rows_are_shuffled_once_by_user(built):
    assert shuffles(built) == ["user_id"]
    assert faults(built) == []


@settings(max_examples=3, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 10**6), st.booleans()), min_size=2, max_size=12),
    st.integers(1, 5),
)
def test_sums_over_any_split_of_the_days_equal_the_whole_in_any_partitions(frame, days, parts):
    """As rows of one user apart, and as the same rows given to two users whose windows are added."""
    whole = [row("whole", age, Decimal(value) / 1000) for age, value, _ in days]
    split = [row("left" if left else "right", age, Decimal(value) / 1000) for age, value, left in days]
    found = {}
    for built in (transform(frame(SCHEMA, whole + split)), transform(frame(SCHEMA, split + whole).repartition(parts))):
        sums = {}
        for r in built.collect():
            key = (r["horizon"], "whole" if r["user_id"] == "whole" else "split")
            for name in COLUMNS:
                sums[*key, name] = sums.get((*key, name), 0) + r[name]
        found[len(found)] = sums
    assert found[0] == found[1]
    for (horizon, which, name), value in found[0].items():
        if which == "whole":
            assert found[0][horizon, "split", name] == value
