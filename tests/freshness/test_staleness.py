"""Staleness is computed: exactly the partitions that read something with a larger number are stale."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from feedmill.freshness.facts import Cause, Facts, Published
from feedmill.freshness.staleness import as_of_partition, missing, reads_the_same, stale_because
from feedmill.spec import Files, Input, Maintainer, Map, Ripple, Table
from feedmill.timeline import DAY, HOUR, Range, days, hours

TEAM = Maintainer("team", description="tests", link="mailto:team@example.com")
DAY_1 = datetime(2026, 5, 1, tzinfo=UTC)


def table(name: str, every: Any, *inputs: Input | Files) -> Table:
    return Table(name, every, list(inputs), TEAM, 2, days(400))


def at(number: int, begin: int | None = None) -> Published:
    return Published(begin if begin is not None else number, number, "code", 1)


def causes(reader: Table, partition: datetime, facts: Facts) -> list[tuple[str, datetime]]:
    return [(cause.input, cause.partition) for cause in stale_because(reader, partition, facts)]


HOURLY = table("a.hourly", HOUR, Files("events"))
DAILY = table("a.daily", DAY, Input(HOURLY))


def test_a_partition_is_stale_when_something_it_reads_has_a_larger_number_than_its_begin_and_not_an_equal_one() -> None:
    for number, expected in ((4, []), (5, []), (6, [Cause("a.hourly", DAY_1, 6)])):
        facts = Facts({"a.hourly": {DAY_1: at(number)}, "a.daily": {DAY_1: at(9, begin=5)}})
        assert stale_because(DAILY, DAY_1, facts) == expected


def test_what_was_never_published_is_missing_and_not_stale() -> None:
    assert stale_because(DAILY, DAY_1, Facts({"a.hourly": {DAY_1: at(6)}})) == []


def test_a_day_reads_its_own_24_hours_and_no_other() -> None:
    readers = {"a.daily": {DAY_1: at(5)}}
    for hour, stale in ((-1, False), (0, True), (23, True), (24, False)):
        moment = DAY_1 + hours(hour)
        found = causes(DAILY, DAY_1, Facts({**readers, "a.hourly": {moment: at(6)}}))
        assert found == ([("a.hourly", moment)] if stale else [])


def test_a_lookback_reaches_back_by_exactly_its_length() -> None:
    reader = table("a.window", DAY, Input(DAILY, lookback=days(2)))
    for day, stale in ((-3, False), (-2, True), (-1, True), (0, True), (1, False)):
        facts = Facts({"a.window": {DAY_1: at(5)}, "a.daily": {DAY_1 + days(day): at(6)}})
        assert bool(causes(reader, DAY_1, facts)) is stale, day


def test_a_lag_leaves_out_the_end_of_a_window_by_exactly_its_length() -> None:
    reader = table("a.window", DAY, Input(DAILY, lookback=days(2), lag=days(1)))
    for day, stale in ((-3, False), (-2, True), (-1, True), (0, False), (1, False)):
        facts = Facts({"a.window": {DAY_1: at(5)}, "a.daily": {DAY_1 + days(day): at(6)}})
        assert bool(causes(reader, DAY_1, facts)) is stale, day


def test_as_of_reads_the_newest_partition_that_ended_with_its_lag_before_the_readers_end() -> None:
    entry = Input(DAILY, as_of=True, lag=hours(6))
    reader = table("a.reader", HOUR, entry)
    both = {DAY_1: at(6), DAY_1 + days(1): at(7)}
    for hour, newest in ((5, None), (24 + 4, None), (24 + 5, DAY_1), (48 + 4, DAY_1), (48 + 5, DAY_1 + days(1))):
        partition = DAY_1 + hours(hour)
        facts = Facts({"a.daily": both, "a.reader": {partition: at(5)}})
        assert as_of_partition(entry, reader, partition, facts) == newest, hour
        assert causes(reader, partition, facts) == ([] if newest is None else [("a.daily", newest)]), hour


def test_an_as_of_reader_is_stale_only_by_the_partition_it_would_read_now() -> None:
    reader = table("a.reader", DAY, Input(DAILY, as_of=True))
    before, last = DAY_1 - days(1), DAY_1
    facts = Facts({"a.daily": {before: at(9), last: at(4)}, "a.reader": {DAY_1: at(5)}})
    assert causes(reader, DAY_1, facts) == [], "an older day changed, which nobody would read"
    facts = Facts({"a.daily": {before: at(3), last: at(6)}, "a.reader": {DAY_1: at(5)}})
    assert causes(reader, DAY_1, facts) == [("a.daily", last)], "a newer day came"


def test_an_optional_dimension_is_not_waited_for_and_makes_its_readers_stale_when_it_comes() -> None:
    waits, reads_none = Input(DAILY, as_of=True), Input(DAILY, as_of=True, optional=True)
    assert [str(m) for m in missing(table("a.reader", DAY, waits), Range.one(DAY_1, DAY), Facts())] == [
        "a.daily 2026-05-01"
    ]
    reader = table("a.reader", DAY, reads_none)
    assert missing(reader, Range.one(DAY_1, DAY), Facts()) == []
    mine = {"a.reader": {DAY_1: at(5)}}
    assert causes(reader, DAY_1, Facts(mine)) == []
    assert causes(reader, DAY_1, Facts({**mine, "a.daily": {DAY_1: at(6)}})) == [("a.daily", DAY_1)]


def test_by_touches_reads_every_arrival_hour_that_ever_touched_it_however_late_and_no_other() -> None:
    reader = table("a.clean", HOUR, Input(HOURLY, by="touches"))
    much_later = DAY_1 + days(40)
    published = {"a.clean": {DAY_1: at(5)}, "a.hourly": {DAY_1: at(9)}}
    facts = Facts(published, touches={"a.hourly": {DAY_1: {DAY_1: 4, much_later: 6}, DAY_1 + hours(1): {DAY_1: 8}}})
    assert causes(reader, DAY_1, facts) == [("a.hourly", much_later)]
    assert causes(reader, DAY_1, Facts(published)) == [], "the same arrival hour, without rows for this one"


def test_files_count_by_their_kind_and_arrival_hour() -> None:
    reader = table("a.items", DAY, Files("items", lookback=days(1)))
    mine = {"a.items": {DAY_1: at(5)}}
    for hour, stale in ((-25, False), (-24, True), (23, True), (24, False)):
        facts = Facts(mine, files={"items": {DAY_1 + hours(hour): 6}, "events": {DAY_1: 9}})
        assert bool(causes(reader, DAY_1, facts)) is stale, hour
    assert causes(reader, DAY_1, Facts(mine, files={"items": {DAY_1: 6}})) == [("files of items", DAY_1)]


def test_a_ripple_reaches_all_readers_or_the_latest_or_none() -> None:
    expected = {Ripple.ALL: [0, 1, 2], Ripple.LATEST: [2], Ripple.NONE: []}
    for ripple, stale in expected.items():
        reader = table("a.window", DAY, Input(DAILY, lookback=days(56), ripple=ripple))
        facts = Facts({"a.daily": {DAY_1: at(6)}, "a.window": {DAY_1 + days(n): at(5) for n in range(3)}})
        assert [n for n in range(3) if causes(reader, DAY_1 + days(n), facts)] == stale, ripple
        # Whether a rebuild must give the same rows is another question: it reads what did not ripple too.
        assert not any(reads_the_same(reader, DAY_1 + days(n), facts) for n in range(3))
        later = Facts({**facts.published, "a.window": {DAY_1 + days(n): at(6) for n in range(3)}})
        assert all(reads_the_same(reader, DAY_1 + days(n), later) for n in range(3))


LANDED = table("e.landed", HOUR, Files("events"))
CLEAN = table("e.clean", HOUR, Input(LANDED, by="touches"))
ROLL_UP = table("r.hourly", HOUR, Input(CLEAN))
BY_DAY = table("r.daily", DAY, Input(ROLL_UP))
WINDOW = table("f.window", DAY, Input(BY_DAY, lookback=days(1)))
LATEST = table("f.latest", DAY, Input(BY_DAY, lookback=days(1), ripple=Ripple.LATEST))
BEFORE = table("f.before", DAY, Input(BY_DAY, lookback=days(2), lag=days(1)), Input(ROLL_UP))
RANKING = table("s.ranking", HOUR, Input(WINDOW, as_of=True, lag=hours(2)), Input(ROLL_UP, lookback=hours(3)))
HOPEFUL = table("s.hopeful", HOUR, Input(ROLL_UP), Input(LATEST, as_of=True, optional=True, lag=hours(6)))
TABLES = Map([LANDED, CLEAN, ROLL_UP, BY_DAY, WINDOW, LATEST, BEFORE, RANKING, HOPEFUL])
DAYS = 3
PARTITIONS = [(t, DAY_1 + n * t.every.length) for t in TABLES for n in range(DAYS if t.every is DAY else DAYS * 24)]
ALL = st.sampled_from(PARTITIONS)
SOURCES = st.sampled_from([DAY_1 + hours(n) for n in range(DAYS * 24)])


class Model:
    """A ledger in memory, with the same counter, that knows who reads what by its own, plain arithmetic."""

    def __init__(self, touches: dict[datetime, set[datetime]]):
        self.touches = touches
        self.value = 0
        self.facts = Facts({t.name: {} for t in TABLES}, {"events": {}}, {"e.landed": {}})
        for subject, partition in PARTITIONS:
            self.build(subject, partition)

    def next(self) -> int:
        self.value += 1
        return self.value

    def build(self, subject: Table, partition: datetime) -> None:
        begin, number = self.next(), self.next()
        self.facts.published[subject.name][partition] = Published(begin, number, "code", 1)  # type: ignore[index]
        if subject is LANDED:
            for touched in self.touches.get(partition, set()) | {partition}:
                self.facts.touches["e.landed"].setdefault(touched, {})[partition] = number  # type: ignore

    def file(self, hour: datetime) -> None:
        self.facts.files["events"][hour] = self.next()  # type: ignore[index]

    def stale(self) -> list[tuple[Table, datetime]]:
        return [(t, p) for t, p in PARTITIONS if stale_because(t, p, self.facts)]

    def readers(self, subject: Table, partition: datetime) -> set[tuple[Table, datetime]]:
        return {(t, p) for t, p in PARTITIONS if self._reads(t, p, subject, partition)}

    def _reads(self, reader: Table, mine: datetime, subject: Table, partition: datetime) -> bool:
        day = timedelta(days=1)
        match reader.name, subject.name:
            case "e.clean", "e.landed":
                return mine == partition or mine in self.touches.get(partition, set())
            case "r.hourly", "e.clean":
                return mine == partition
            case "r.daily" | "f.before", "r.hourly":
                return mine == partition.replace(hour=0)
            case "f.before", "r.daily":
                return partition in (mine - 2 * day, mine - day)
            case "f.window", "r.daily":
                return partition in (mine - day, mine)
            case "f.latest", "r.daily":
                return partition in (mine - day, mine) and mine == DAY_1 + day * (DAYS - 1)
            case "s.ranking", "f.window":
                ended = (mine + hours(1) - hours(2)).replace(hour=0) - day
                return partition == ended and mine + hours(1) >= ended + day + hours(2)
            case "s.hopeful", "r.hourly":
                return mine == partition
            case "s.hopeful", "f.latest":
                # Before the first day has ended with its lag there is none, and nothing to be stale by.
                return partition == (mine + hours(1) - hours(6)).replace(hour=0) - day
            case "s.ranking", "r.hourly":
                return mine - hours(3) <= partition <= mine
        return False


TOUCHES = st.dictionaries(SOURCES, st.sets(SOURCES, max_size=3), max_size=6)


@settings(max_examples=40, deadline=None)
@given(TOUCHES, ALL)
def test_a_change_makes_exactly_the_partitions_that_read_it_stale(
    touches: dict[datetime, set[datetime]], changed: tuple[Table, datetime]
) -> None:
    model = Model(touches)
    assert model.stale() == []
    model.build(*changed)
    assert set(model.stale()) == model.readers(*changed)


@settings(max_examples=25, deadline=None)
@given(TOUCHES, st.lists(ALL | SOURCES, min_size=1, max_size=6), st.booleans())
def test_rebuilding_what_is_stale_in_lineage_order_ends_with_nothing_stale(
    touches: dict[datetime, set[datetime]], changes: list[Any], backwards: bool
) -> None:
    model = Model(touches)
    for change in changes:
        model.file(change) if isinstance(change, datetime) else model.build(*change)
    for subject in TABLES:
        stale = [(t, p) for t, p in model.stale() if t is subject]
        for entry in reversed(stale) if backwards else stale:
            model.build(*entry)
    assert model.stale() == []


def test_an_input_published_while_the_reader_is_built_leaves_the_reader_stale() -> None:
    facts = Facts({"a.hourly": {DAY_1: at(6)}, "a.daily": {DAY_1: at(7, begin=5)}})
    assert causes(DAILY, DAY_1, facts) == [("a.hourly", DAY_1)], "its own number is larger, but it began before"
    assert replace(facts.published["a.daily"][DAY_1], begin=6).begin == 6
