"""Whole columns give the states that the definitions give one partition at a time, for any facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from feedmill.freshness.facts import Facts, Knowledge, Published
from feedmill.freshness.series import Numbers, any_of, largest
from feedmill.freshness.staleness import frozen_because, history, missing, stale_because
from feedmill.freshness.states import Picture, State, TableStatus
from feedmill.spec import Files, Input, Maintainer, Map, Ripple, Table
from feedmill.timeline import DAY, HOUR, Period, days, hours

TEAM = Maintainer("team", description="tests", link="mailto:team@example.com")
DAY_1 = datetime(2026, 5, 1, tzinfo=UTC)


def table(name: str, every: Period, *inputs: Input | Files) -> Table:
    return Table(name, every, list(inputs), TEAM, 2, days(400))


LANDED = table("e.landed", HOUR, Files("events"))
CLEAN = table("e.clean", HOUR, Input(LANDED, by="touches"))
ITEMS = table("c.items", DAY, Files("items", lookback=days(1)))
ROLL_UP = table("r.hourly", HOUR, Input(CLEAN), Input(ITEMS, as_of=True, optional=True, lag=hours(6)))
BY_DAY = table("r.daily", DAY, Input(ROLL_UP), Input(ITEMS))
WINDOW = table("f.window", DAY, Input(BY_DAY, lookback=days(1)))
LATEST = table("f.latest", DAY, Input(BY_DAY, lookback=days(2), ripple=Ripple.LATEST))
BEFORE = table("f.before", DAY, Input(BY_DAY, lookback=days(2), lag=days(1)), Input(ROLL_UP, ripple=Ripple.NONE))
RANKING = table("s.ranking", HOUR, Input(WINDOW, as_of=True, lag=hours(2)), Input(ROLL_UP, lookback=hours(5)))
LAGGED = table("s.lagged", HOUR, Input(ROLL_UP, lookback=hours(7), lag=hours(3)))
TABLES = Map([LANDED, CLEAN, ITEMS, ROLL_UP, BY_DAY, WINDOW, LATEST, BEFORE, RANKING, LAGGED])
DAYS = 2

HOURS = st.integers(0, DAYS * 24 - 1).map(lambda n: DAY_1 + hours(n))
NUMBERS = st.integers(1, 40)


def every_partition(status: TableStatus) -> list[datetime]:
    return [moment for run in status.runs() for moment in run.span.partitions()]


@st.composite
def facts(draw: Any) -> Facts:
    published: dict[str, dict[datetime, Published]] = {}
    expired: dict[str, set[datetime]] = {}
    for one in TABLES:
        count = DAYS if one.every is DAY else DAYS * 24
        # Most partitions are there, as in life; the rest are missing or have expired.
        gaps = draw(st.sets(st.integers(0, count - 1), max_size=6))
        first, oldest = draw(st.integers(0, count // 2)), draw(st.integers(0, count // 4))
        base, few = draw(NUMBERS), st.dictionaries(st.integers(0, count - 1), NUMBERS, max_size=4)
        numbers, begins = draw(few), draw(few)
        for n in range(first, count):
            moment = DAY_1 + n * one.every.length
            if n < oldest:
                expired.setdefault(one.name, set()).add(moment)
            elif n not in gaps:
                entry = Published(begins.get(n, 20), numbers.get(n, base), "code", n % 2)
                published.setdefault(one.name, {})[moment] = entry
    files = {
        "events": draw(st.dictionaries(HOURS, NUMBERS, max_size=6)),
        "items": draw(st.dictionaries(HOURS, NUMBERS, max_size=6)),
    }
    touches = draw(st.dictionaries(HOURS, st.dictionaries(HOURS, NUMBERS, min_size=1, max_size=3), max_size=8))
    since = draw(st.none() | HOURS)
    return Facts(published, files, {"e.landed": touches}, expired, since)  # type: ignore[arg-type]


@settings(max_examples=30)
@given(facts(), st.integers(0, DAYS * 24 + 30))
def test_whole_columns_agree_with_the_definitions_partition_by_partition(known: Facts, age: int) -> None:
    now = DAY_1 + timedelta(hours=age, minutes=20)
    picture = Picture.of(TABLES, Knowledge(known), now)
    for one in TABLES:
        status = picture.status(one)
        published = known.published.get(one.name, {})
        for n, moment in enumerate(every_partition(status)):
            states = set(status.states(moment))
            where = (one.name, moment)
            stale, frozen = stale_because(one, moment, known), frozen_because(one, moment, known)
            lacks = missing(one, one.one(moment), known)
            assert (State.STALE in states) == bool(stale), where
            assert (State.FROZEN in states) == (frozen is not None), where
            assert status.lacks(moment) == lacks, where
            assert (State.BLOCKED in states) == bool(lacks and moment not in published and not frozen), where
            assert moment in published or moment + one.every.length <= now, where
            if n % 9:
                continue
            # What is said of one partition is computed from the facts around it alone.
            around = picture.facts_of(one, moment)
            assert set(stale_because(one, moment, around)) == set(stale), where
            assert frozen_because(one, moment, around) == frozen, where
        assert published.keys() <= set(every_partition(status)), one


@settings(max_examples=25)
@given(facts(), st.integers(0, DAYS * 24), st.integers(1, 30))
def test_a_range_lacks_what_its_partitions_lack(known: Facts, first: int, length: int) -> None:
    for one in TABLES:
        if any(isinstance(e, Input) and history(e.table, known) is None for e in one.inputs):
            continue  # nobody knows which of them would be the first
        start = one.every.floor(DAY_1 + hours(first))
        span = one.range(start, start + length * one.every.length)
        apart = {spot for partition in span.partitions() for spot in missing(one, one.one(partition), known)}
        # Of a dimension a range says only what its first partition lacks: whoever has that has one for all.
        as_of = {e.table for e in one.inputs if isinstance(e, Input) and e.as_of}
        together = missing(one, span, known)
        assert {spot for spot in together if spot.table not in as_of} == {s for s in apart if s.table not in as_of}
        assert bool(together) == bool(apart), one


@settings(max_examples=25)
@given(facts(), st.integers(0, DAYS * 24 + 30))
def test_roots_are_unpublished_and_not_blocked_and_every_chain_of_what_is_lacking_ends_in_one(
    known: Facts, age: int
) -> None:
    picture = Picture.of(TABLES, Knowledge(known), DAY_1 + hours(age))
    for one in TABLES:
        for run in picture.status(one).runs([State.BLOCKED]):
            cell = picture.status(one).cell(run.span.start)
            roots = picture.blocked_by(one, cell.partition)
            assert roots
            for root in roots:
                assert root.partition not in known.published.get(root.table.name, {})
                assert not picture.status(root.table).is_blocked(root.partition)
            direct = picture.status(one).lacks(cell.partition)
            for lacked in direct:
                blocked = picture.status(lacked.table).is_blocked(lacked.partition)
                through = picture.blocked_by(lacked.table, lacked.partition) if blocked else [lacked]
                assert set(through) <= set(roots)
            assert cell.state is not State.BLOCKED or str(roots[0]) in cell.why


@given(st.lists(st.integers(-1, 50), min_size=1, max_size=60), st.integers(1, 20), st.data())
def test_windows_are_what_a_loop_would_find(values: list[int], width: int, data: Any) -> None:
    import numpy as np

    step = data.draw(st.integers(1, width))
    width = min(width, len(values))
    step = min(step, width)
    count = (len(values) - width) // step + 1
    column = np.array(values[: (count - 1) * step + width])
    expected = [max(values[n * step : n * step + width]) for n in range(count)]
    assert largest(column, width, step, count).tolist() == expected
    flags = [any(v > 25 for v in values[n * step : n * step + width]) for n in range(count)]
    assert any_of(column > 25, width, step, count).tolist() == flags


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 9)), max_size=30))
def test_a_column_holds_what_was_put_last_wherever_it_grows_to(puts: list[tuple[int, int]]) -> None:
    import numpy as np

    column, model = Numbers(), {}
    for place, value in puts:
        column.put(np.array([place]), np.array([value]))
        model[place] = value
    assert column.within(-60, 60).tolist() == [model.get(place, -1) for place in range(-60, 60)]
