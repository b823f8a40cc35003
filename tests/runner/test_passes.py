"""Passes: a range is cut so that every partition reads what it would read if it were built alone."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from feedmill.ledger.staleness import Facts, Published, as_of_partition
from feedmill.runner.passes import ROWS_OF_A_PASS, Pass, cut
from feedmill.spec import Files, Input, Maintainer, Table
from feedmill.timeline import DAY, HOUR, Range, days, hours

TEAM = Maintainer("team", description="tests", link="mailto:team@example.com")
DAY_1 = datetime(2026, 5, 1, tzinfo=UTC)


def table(name: str, every: Any, *inputs: Input | Files) -> Table:
    return Table(name, every, list(inputs), TEAM, 2, days(400))


HOURLY = table("a.hourly", HOUR, Files("events"))
CLEAN = table("a.clean", HOUR, Input(HOURLY, by="touches"))
DAILY = table("a.daily", DAY, Files("items"))
ITEMS = table("a.items", DAY, Files("items"))


def published(*offsets: int) -> dict[datetime, Published]:
    return {DAY_1 + days(n): Published(1, 1, "code", 1) for n in offsets}


def spans(passes: list[Pass]) -> list[Range]:
    return [step.span for step in passes]


def test_aligned_inputs_need_no_cut() -> None:
    span = Range(DAY_1, DAY_1 + days(30), DAY)
    assert spans(cut(table("a.x", DAY, Input(HOURLY), Files("events")), span, Facts())) == [span]
    by_touches = table("a.y", HOUR, Input(HOURLY, by="touches"))
    hourly = Range(DAY_1, DAY_1 + hours(30), HOUR)
    assert spans(cut(by_touches, hourly, Facts())) == [hourly]


def test_a_window_over_files_builds_partition_by_partition() -> None:
    span = Range(DAY_1, DAY_1 + days(3), DAY)
    alone = [Range.one(p, DAY) for p in span.partitions()]
    assert spans(cut(table("a.x", DAY, Files("items", lookback=hours(1))), span, Facts())) == alone


def test_windows_over_tables_share_a_pass_as_long_as_their_rows_are_few() -> None:
    span = Range(DAY_1, DAY_1 + days(6), DAY)
    few = {DAY_1 + days(n): Published(1, 1, "code", 10) for n in range(6)}
    windows = table("a.x", DAY, Input(DAILY, lookback=days(28)))
    assert spans(cut(windows, span, Facts({"a.daily": few}))) == [span]
    # The windows of the six days read 1, 2, … 6 of these partitions.
    many = {DAY_1 + days(n): Published(1, 1, "code", ROWS_OF_A_PASS // 6) for n in range(6)}
    three, two, one = (DAY_1 + days(n) for n in (0, 3, 4))
    assert spans(cut(windows, span, Facts({"a.daily": many}))) == [
        Range(three, two, DAY),
        Range(two, one, DAY),
        Range(one, one + days(1), DAY),
        Range.one(DAY_1 + days(5), DAY),
    ]


def test_as_of_cuts_only_where_the_dimension_changes() -> None:
    reader = table("a.x", HOUR, Input(HOURLY), Input(ITEMS, as_of=True))
    span = Range(DAY_1 + days(1), DAY_1 + days(4), HOUR)
    # Day 1 is missing: hours of day 2 go on with day 0. A day has ended for its last hour already.
    passes = cut(reader, span, Facts({"a.items": published(0, 2)}))
    middle = DAY_1 + days(3) - hours(1)
    assert spans(passes) == [Range(span.start, middle, HOUR), Range(middle, span.end, HOUR)]
    assert [step.as_of for step in passes] == [{"a.items": DAY_1}, {"a.items": DAY_1 + days(2)}]
    assert [step.as_of for step in cut(reader, span, Facts())] == [{"a.items": None}]


FORMS = st.lists(
    st.sampled_from(
        [
            lambda: Input(HOURLY),
            lambda: Input(DAILY, as_of=True),
            lambda: Input(ITEMS, as_of=True, lag=hours(5)),
            lambda: Input(CLEAN, lookback=hours(3), lag=hours(2)),
            lambda: Files("events", lookback=hours(2)),
            lambda: Files("items"),
        ]
    ),
    min_size=1,
    max_size=4,
    unique=True,
)


@settings(max_examples=150, deadline=None)
@given(
    FORMS,
    st.integers(0, 60),
    st.integers(1, 40),
    st.sets(st.integers(-2, 4)),
    st.sets(st.integers(-2, 4)),
)
def test_passes_part_the_range_in_order_and_no_partition_sees_its_neighbours(
    forms: list[Any], offset: int, count: int, one: set[int], other: set[int]
) -> None:
    reader = table("a.reader", HOUR, *(form() for form in forms))
    start = DAY_1 + hours(offset)
    span = Range(start, start + hours(count), HOUR)
    facts = Facts({"a.daily": published(*one), "a.items": published(*other)})
    passes = cut(reader, span, facts)
    assert [p for step in passes for p in step.span.partitions()] == list(span.partitions())
    for step in passes:
        for partition in step.span.partitions():
            (alone,) = cut(reader, reader.one(partition), facts)
            assert step.as_of == alone.as_of
            for entry in reader.inputs:
                if isinstance(entry, Input) and entry.as_of:
                    assert step.as_of[entry.table.name] == as_of_partition(entry, reader, partition, facts)
                elif isinstance(entry, Files) and entry.lookback:
                    assert entry.window(step.span) == entry.window(reader.one(partition))
    if not any(isinstance(entry, Files) and entry.lookback for entry in reader.inputs):
        assert all(left.as_of != right.as_of for left, right in pairwise(passes)), "a cut too many"
