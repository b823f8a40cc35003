"""Passes: a range is cut so that every partition reads what it would read if it were built alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from feedmill.flow.rows.passes import ROWS_OF_A_PASS, WINDOWS_OF_FILES, Pass, cut
from feedmill.freshness.facts import Facts, Published
from feedmill.freshness.staleness import as_of_partition
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


def test_windows_over_files_share_a_pass_a_few_at_a_time() -> None:
    span = Range(DAY_1, DAY_1 + days(WINDOWS_OF_FILES + 2), DAY)
    split = DAY_1 + days(WINDOWS_OF_FILES)
    reader = table("a.x", DAY, Files("items", lookback=hours(1)))
    assert spans(cut(reader, span, Facts())) == [Range(DAY_1, split, DAY), Range(split, span.end, DAY)]


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


def test_each_partition_of_a_pass_has_its_own_day_of_a_dimension() -> None:
    reader = table("a.x", HOUR, Input(HOURLY), Input(ITEMS, as_of=True))
    start = DAY_1 + days(3) - hours(3)
    span = Range(start, start + hours(4), HOUR)
    # Day 1 is missing: hours of day 2 go on with day 0. A day has ended for its last hour already.
    (one,) = cut(reader, span, Facts({"a.items": published(0, 2)}))
    zero, two = DAY_1, DAY_1 + days(2)
    read = {start: zero, start + hours(1): zero, start + hours(2): two, start + hours(3): two}
    assert one.as_of == {"a.items": read}
    assert [step.as_of for step in cut(reader, span, Facts())] == [{"a.items": {}}]


def test_rows_of_a_dimension_count_once_for_each_partition_that_reads_them() -> None:
    reader = table("a.x", HOUR, Input(ITEMS, as_of=True))
    span = Range(DAY_1 + days(1), DAY_1 + days(1) + hours(3), HOUR)
    half = {DAY_1: Published(1, 1, "code", ROWS_OF_A_PASS // 2)}
    middle = span.start + hours(2)
    assert spans(cut(reader, span, Facts({"a.items": half}))) == [
        Range(span.start, middle, HOUR),
        Range(middle, span.end, HOUR),
    ]


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


@settings(max_examples=150)
@given(
    FORMS,
    st.integers(0, 60),
    st.integers(1, 40),
    st.sets(st.integers(-2, 4)),
    st.sets(st.integers(-2, 4)),
)
def test_passes_part_the_range_in_order_and_say_what_each_partition_reads_of_a_dimension(
    forms: list[Any], offset: int, count: int, one: set[int], other: set[int]
) -> None:
    reader = table("a.reader", HOUR, *(form() for form in forms))
    start = DAY_1 + hours(offset)
    span = Range(start, start + hours(count), HOUR)
    facts = Facts({"a.daily": published(*one), "a.items": published(*other)})
    passes = cut(reader, span, facts)
    assert [p for step in passes for p in step.span.partitions()] == list(span.partitions())
    for step in passes:
        for entry in reader.inputs:
            if isinstance(entry, Input) and entry.as_of:
                read = {p: as_of_partition(entry, reader, p, facts) for p in step.span.partitions()}
                assert step.as_of[entry.table.name] == {p: day for p, day in read.items() if day is not None}
    few = any(isinstance(entry, Files) and entry.lookback for entry in reader.inputs)
    assert len(passes) == (-(-count // WINDOWS_OF_FILES) if few else 1), "a cut too many, or too few"
