"""Frozen partitions: what needs an expired input is never stale, never rebuilt, and says which input it is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedmill.flow.wait import FrozenError, refuse_frozen
from feedmill.freshness.facts import Facts, Held, Knowledge, Published
from feedmill.freshness.staleness import frozen_because, missing, reads, stale_because
from feedmill.freshness.states import NEEDS_A_BUILD, State, status_of
from feedmill.spec import Files, Input, Maintainer, Map, MapError, Ripple, Table
from feedmill.timeline import DAY, HOUR, Period, Range, days, hours

TEAM = Maintainer("team", description="tests", link="mailto:team@example.com")
DAY_1 = datetime(2026, 5, 1, tzinfo=UTC)


def table(name: str, every: Period, *inputs: Input | Files) -> Table:
    return Table(name, every, list(inputs), TEAM, 2, days(90))


LANDED = table("e.landed", HOUR, Files("events"))
CLEAN = table("e.clean", HOUR, Input(LANDED, by="touches"))
DAILY = table("r.daily", DAY, Input(CLEAN))
WINDOW = table("f.window", DAY, Input(DAILY, lookback=days(2)))
RANKING = table("s.ranking", HOUR, Input(WINDOW, as_of=True))


def at(begin: int, number: int | None = None) -> Published:
    return Published(begin, begin if number is None else number, "code", 1)


def hours_of(day: datetime) -> dict[datetime, Published]:
    return {day + hours(n): at(1) for n in range(24)}


def test_a_partition_with_an_expired_input_is_frozen_and_names_the_oldest_one() -> None:
    published = hours_of(DAY_1)
    gone = {DAY_1 + hours(3), DAY_1 + hours(2)}
    facts = Facts({"e.clean": {h: p for h, p in published.items() if h not in gone}}, expired={"e.clean": gone})
    assert str(frozen_because(DAILY, DAY_1, facts)) == "e.clean 2026-05-01T02"
    assert frozen_because(DAILY, DAY_1 + days(1), facts) is None
    with pytest.raises(
        FrozenError, match=r"^r\.daily 2026-05-01 is frozen: it needs e\.clean 2026-05-01T02, .* of 90 days"
    ):
        refuse_frozen(DAILY, Range(DAY_1, DAY_1 + days(2), DAY), facts)
    refuse_frozen(DAILY, Range.one(DAY_1 + days(1), DAY), facts)


def test_a_window_that_looks_back_into_the_expired_is_frozen_and_not_shortened() -> None:
    facts = Facts({"r.daily": {DAY_1 + days(n): at(1) for n in (1, 2, 3)}}, expired={"r.daily": {DAY_1}})
    assert [frozen_because(WINDOW, DAY_1 + days(n), facts) is not None for n in range(5)] == [1, 1, 1, 0, 0]
    assert missing(WINDOW, Range.one(DAY_1 + days(2), DAY), facts) == [], "history alone would begin later"
    with pytest.raises(FrozenError, match=r"needs r\.daily 2026-05-01"):
        refuse_frozen(WINDOW, Range.one(DAY_1 + days(2), DAY), facts)


def test_before_history_begins_nothing_is_needed_so_nothing_is_frozen() -> None:
    facts = Facts({"r.daily": {DAY_1 + days(1): at(1)}})
    assert frozen_because(WINDOW, DAY_1 + days(1), facts) is None


def test_a_dimension_that_expired_freezes_who_read_it_and_not_who_reads_a_newer_one() -> None:
    facts = Facts({"f.window": {DAY_1 + days(1): at(1)}}, expired={"f.window": {DAY_1}})
    assert str(frozen_because(RANKING, DAY_1 + hours(30), facts)) == "f.window 2026-05-01"
    assert frozen_because(RANKING, DAY_1 + hours(47), facts) is None


def test_an_expired_arrival_hour_freezes_the_hours_it_touched_and_is_no_longer_to_be_read() -> None:
    later = DAY_1 + hours(5)
    facts = Facts(
        {"e.landed": {later: at(9)}, "e.clean": {DAY_1: at(2), DAY_1 + hours(1): at(2)}},
        touches={"e.landed": {DAY_1: {DAY_1: 8, later: 9}, DAY_1 + hours(1): {later: 9}}},
        expired={"e.landed": {DAY_1}},
    )
    assert str(frozen_because(CLEAN, DAY_1, facts)) == "e.landed 2026-05-01T00"
    assert stale_because(CLEAN, DAY_1, facts) == []
    assert [cause.partition for cause in stale_because(CLEAN, DAY_1 + hours(1), facts)] == [later]


def test_a_frozen_partition_is_neither_stale_nor_outdated_nor_overdue_and_a_held_one_stays_held() -> None:
    facts = Facts(
        {"r.daily": {DAY_1: Published(1, 2, "old", 5)}, "e.clean": {DAY_1 + hours(1): at(9)}},
        expired={"e.clean": {DAY_1, DAY_1 + days(1)}},
    )
    known = Knowledge(facts, held={"r.daily": {DAY_1 + days(1): Held("b1", "3 rows")}}, identities={"r.daily": "code"})
    status = status_of(DAILY, known, DAY_1 + days(60))
    first, second = status.cells[:2]
    assert (first.states, first.rows) == ((State.FROZEN,), 5)
    assert not status.is_by_today(DAY_1), "it is not outdated, and its rows may have other columns all the same"
    assert first.why == "it needs e.clean 2026-05-01T00, which has passed its retention"
    assert second.states == (State.HELD, State.FROZEN)
    assert State.FROZEN not in NEEDS_A_BUILD
    unpublished = Facts({}, expired={"e.clean": {DAY_1}})
    (cell,) = status_of(DAILY, Knowledge(unpublished, building={"r.daily": [(DAILY.one(DAY_1), "b")]}), DAY_1).cells
    assert cell.states == (State.BUILDING, State.FROZEN)


def test_what_expired_itself_is_no_longer_shown_and_history_begins_after_it() -> None:
    facts = Facts({"e.landed": {DAY_1 + hours(2): at(1)}}, expired={"e.landed": {DAY_1}})
    known = Knowledge(facts, held={"e.landed": {DAY_1: Held("b1", "3 rows")}})
    cells = status_of(LANDED, known, DAY_1 + hours(3)).cells
    assert [cell.partition for cell in cells] == [DAY_1 + hours(2)]


def test_of_a_partition_that_was_thawed_alone_the_expired_ones_after_it_are_not_overdue() -> None:
    gone = {DAY_1 + hours(n) for n in range(1, 40)}
    published = {DAY_1: at(9), **{DAY_1 + hours(n): at(1) for n in range(40, 48)}}
    cells = status_of(
        LANDED, Knowledge(Facts({"e.landed": published}, expired={"e.landed": gone})), DAY_1 + days(2)
    ).cells
    assert [cell.partition for cell in cells] == sorted(published)


READERS = [
    DAILY,
    WINDOW,
    RANKING,
    table("x.before", DAY, Input(DAILY, lookback=days(2), lag=days(1))),
    table("x.hours", HOUR, Input(CLEAN, lookback=hours(3))),
    table("x.latest", DAY, Input(DAILY, lookback=days(1), ripple=Ripple.LATEST)),
]


@given(
    st.sampled_from(READERS),
    st.integers(0, 24 * 6),
    st.sets(st.integers(0, 24 * 7)),
    st.integers(0, 24 * 7),
)
def test_frozen_is_exactly_who_reads_something_expired(
    reader: Table, offset: int, published: set[int], boundary: int
) -> None:
    """Retention expires the oldest: everything that was published and began before the boundary."""
    entry = reader.inputs[0]
    assert isinstance(entry, Input)
    every = entry.table.every
    moments = {every.floor(DAY_1 + hours(n)) for n in published}
    gone = {m for m in moments if m < DAY_1 + hours(boundary)}
    partition = reader.every.floor(DAY_1 + hours(offset))
    before = Facts({entry.table.name: dict.fromkeys(moments, at(1))})
    after = Facts(
        {entry.table.name: dict.fromkeys(moments - gone, at(9)), reader.name: {partition: at(2)}},
        expired={entry.table.name: gone},
    )
    was_read = set(reads(entry, reader, partition, before))
    frozen = frozen_because(reader, partition, after)
    assert (frozen.partition if frozen else None) == min(was_read & gone, default=None)
    if frozen:
        assert stale_because(reader, partition, after) == []
    else:
        assert set(reads(entry, reader, partition, after)) == was_read, "what is not frozen reads what it always did"


@given(
    st.sampled_from([HOUR, DAY]),
    st.sampled_from([HOUR, DAY]),
    st.integers(0, 5),
    st.booleans(),
    st.integers(0, 30),
    st.integers(0, 200),
    st.integers(0, 30),
    st.integers(0, 23),
)
def test_a_map_that_is_taken_feeds_every_reader_until_its_deadline(
    every: Period, theirs: Period, back: int, as_of: bool, lag: int, keep: int, due: int, hour: int
) -> None:
    source = Table("a.source", theirs, [Files("events")], TEAM, 2, hours(keep))
    entry = Input(source, as_of=True, lag=hours(lag)) if as_of else Input(source, lookback=back * source.every.length)
    reader = Table("a.reader", every, [entry], TEAM, 2, days(400), due=hours(due))
    try:
        Map([source, reader])
    except MapError:
        return
    partition = reader.every.floor(DAY_1 + days(30) + hours(hour))
    deadline = partition + reader.every.length + reader.due
    history = {theirs.floor(DAY_1 + hours(n)): at(1) for n in range(24 * 33)}
    needed = reads(entry, reader, partition, Facts({"a.source": history}))
    assert needed
    assert all(moment + theirs.length + source.keep >= deadline for moment in needed)
