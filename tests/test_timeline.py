"""Partitions and ranges: names, alignment, and that runs() and partitions() are each other's inverse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedmill.timeline import DAY, HOUR, Period, Range, parse, runs, utc

START = datetime(2026, 5, 1, tzinfo=UTC)
PERIODS = st.sampled_from([HOUR, DAY])


@given(PERIODS, st.sets(st.integers(0, 60), min_size=1))
def test_runs_hold_exactly_the_partitions_in_the_fewest_ranges(period: Period, offsets: set[int]) -> None:
    wanted = [START + offset * period.length for offset in offsets]
    ranges = runs(wanted, period)
    assert [p for span in ranges for p in span.partitions()] == sorted(wanted)
    assert all(left.end < right.start for left, right in pairwise(ranges)), "two could be one"


@given(PERIODS, st.integers(0, 500), st.integers(1, 100))
def test_a_range_is_the_one_run_of_its_partitions(period: Period, offset: int, count: int) -> None:
    start = START + offset * period.length
    span = Range(start, start + count * period.length, period)
    assert runs(list(span.partitions()), period) == [span]
    assert len(span) == count
    assert span.start in span
    assert span.end not in span


def test_no_partitions_are_no_ranges_and_a_repeated_one_counts_once() -> None:
    assert runs([], HOUR) == []
    assert runs([START, START], HOUR) == [Range.one(START, HOUR)]


@given(PERIODS, st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)))
def test_floor_and_ceil_enclose_a_moment_by_at_most_one_partition(period: Period, moment: datetime) -> None:
    floor, ceil = period.floor(moment), period.ceil(moment)
    assert floor <= moment <= ceil
    assert ceil - floor == (timedelta(0) if floor == moment else period.length)
    assert parse(period.name_of(floor)) == floor, "a partition's name reads back as its start"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-05-01", datetime(2026, 5, 1, tzinfo=UTC)),
        ("2026-05-01T13", datetime(2026, 5, 1, 13, tzinfo=UTC)),
        ("2026-05-01T13:30:00Z", datetime(2026, 5, 1, 13, 30, tzinfo=UTC)),
        ("2026-05-01T13:00:00+02:00", datetime(2026, 5, 1, 11, tzinfo=UTC)),
    ],
)
def test_a_text_without_a_zone_is_utc_and_one_with_a_zone_is_turned_into_utc(text: str, moment: datetime) -> None:
    assert parse(text) == moment
    assert parse(text).tzinfo is UTC


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-05-01T25"])
def test_a_text_that_is_no_time_is_an_error_that_shows_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a time; write 2026-05-01 or 2026-05-01T13"):
        parse(text)


def test_a_naive_time_is_refused_since_its_zone_would_be_a_guess() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Range(datetime(2026, 5, 1), datetime(2026, 5, 2), DAY)


@pytest.mark.parametrize(
    ("period", "start", "end", "words"),
    [
        (HOUR, START + timedelta(minutes=1), START + timedelta(hours=1), "whole hourly partitions.*full hours"),
        (HOUR, START, START + timedelta(hours=1, seconds=1), "whole hourly partitions.*full hours"),
        (DAY, START + timedelta(hours=1), START + timedelta(days=1), r"whole daily partitions.*midnights \(UTC\)"),
        (DAY, START, START + timedelta(hours=24, microseconds=1), "whole daily partitions"),
        (HOUR, START, START, "is empty; the end is exclusive"),
        (HOUR, START + timedelta(hours=1), START, "is empty; the end is exclusive"),
    ],
)
def test_a_range_that_is_empty_or_cuts_a_partition_is_refused_in_words(
    period: Period, start: datetime, end: datetime, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Range(start, end, period)


def test_a_day_in_another_zone_is_not_a_utc_day() -> None:
    berlin = timezone(timedelta(hours=2))
    with pytest.raises(ValueError, match="midnights"):
        Range.one(datetime(2026, 5, 1, tzinfo=berlin), DAY)
    assert Range.one(datetime(2026, 5, 1, tzinfo=berlin), HOUR).start == datetime(2026, 4, 30, 22, tzinfo=UTC)


def test_pendulum_times_as_airflow_hands_them_out_become_plain_ones() -> None:
    start = pendulum.datetime(2026, 5, 1, 13, tz="Europe/Berlin")
    span = Range(start, start.add(hours=3), HOUR)
    assert type(span.start) is datetime
    assert type(utc(start)) is datetime
    assert type(span.end - span.start) is timedelta
    assert span == Range(datetime(2026, 5, 1, 11, tzinfo=UTC), datetime(2026, 5, 1, 14, tzinfo=UTC), HOUR)
    assert len(list(span.partitions())) == len(span) == 3


def test_cover_is_the_smallest_range_around_an_interval() -> None:
    span = Range.cover(START + timedelta(hours=1), START + timedelta(hours=25), DAY)
    assert span == Range(START, START + timedelta(days=2), DAY)
    assert Range.cover(START, START + timedelta(days=1), DAY) == Range.one(START, DAY)


def test_one_partition_is_called_by_its_name_and_several_by_both_ends() -> None:
    assert str(Range.one(START, HOUR)) == "2026-05-01T00"
    assert str(Range(START, START + timedelta(days=2), DAY)) == "2026-05-01 to 2026-05-03"
