"""Every partition's state, from facts and a given now."""

from datetime import UTC, datetime, timedelta

from feedmill.freshness.facts import Facts, Held, Knowledge, Published
from feedmill.freshness.states import State, status_of
from feedmill.spec import Files, Input, Maintainer, Table
from feedmill.timeline import DAY, HOUR, days, hours

TEAM = Maintainer("team", "a team", "mailto:team@example.com")
LANDED = Table("events.landed", HOUR, [Files("events")], TEAM, 1, days(90), due=hours(1))
ROLLUP = Table("rollups.daily", DAY, [Input(LANDED)], TEAM, 2, days(90), due=hours(4))


def at(hour, day=1):
    return datetime(2026, 5, day, hour, tzinfo=UTC)


def published(begin=5, number=6, identity="code", rows=10):
    return Published(begin, number, identity, rows)


def states(partitions, now, files=None, **known):
    facts = Facts({LANDED.name: partitions}, {"events": files or {}})
    found = status_of(LANDED, Knowledge(facts, identities={LANDED.name: "code"}, **known), now)
    return {cell.partition.hour: cell.states for cell in found.cells}


def test_nothing_is_missing_before_the_first_published_partition():
    assert states({at(3): published()}, at(4)) == {3: (State.PUBLISHED,)}


def test_a_table_without_history_has_no_partitions():
    assert states({}, at(4)) == {}


def test_a_gap_is_overdue_after_its_deadline_and_missing_before():
    now = at(7) + timedelta(minutes=30)
    assert states({at(3): published()}, now) == {
        3: (State.PUBLISHED,),
        4: (State.OVERDUE,),
        5: (State.OVERDUE,),
        6: (State.MISSING,),
    }


def test_the_hour_that_goes_on_is_not_missing():
    assert 4 not in states({at(3): published()}, at(4) + timedelta(minutes=59))


def test_a_published_partition_without_rows_is_empty():
    assert states({at(3): published(rows=0)}, at(4))[3] == (State.EMPTY,)


def test_a_file_registered_after_the_begin_makes_it_stale_and_is_named():
    facts = Facts({LANDED.name: {at(3): published(begin=5)}}, {"events": {at(3): 7}})
    (cell,) = status_of(LANDED, Knowledge(facts), at(4)).cells
    assert cell.state is State.STALE
    assert cell.why == "files of events of 2026-05-01T03 were registered, ruled out or readmitted after it was built"


def test_an_input_published_after_the_begin_is_named_with_how_many_more():
    facts = Facts(
        {LANDED.name: {at(3): published(number=7), at(4): published(number=8)}, ROLLUP.name: {at(0): published()}}
    )
    (cell,) = status_of(ROLLUP, Knowledge(facts), at(0, day=2)).cells
    assert cell.why == "events.landed 2026-05-01T03 was published after it was built, and 1 more"


def test_other_code_than_todays_makes_it_outdated():
    assert states({at(3): published(identity="old")}, at(4))[3] == (State.OUTDATED,)


def test_a_stale_partition_of_other_code_is_both_and_shows_as_stale():
    assert states({at(3): published(identity="old")}, at(4), files={at(3): 9})[3] == (State.STALE, State.OUTDATED)


def test_a_held_partition_is_held_before_anything_else_but_building():
    held = {LANDED.name: {at(4): Held("b1", "3 rows have a negative duration_ms")}}
    assert states({at(3): published()}, at(7), held=held)[4] == (State.HELD, State.OVERDUE)
    building = {LANDED.name: [(LANDED.range(at(4), at(6)), "b2")]}
    assert states({at(3): published()}, at(7), held=held, building=building)[4][0] is State.BUILDING


def test_a_first_build_that_is_held_is_seen_though_nothing_was_ever_published():
    held = {LANDED.name: {at(4): Held("b1", "x")}}
    assert states({}, at(5), held=held)[4][0] is State.HELD


def test_counts_are_of_the_shown_state():
    facts = Facts({LANDED.name: {at(3): published(), at(4): published(rows=0)}})
    assert status_of(LANDED, Knowledge(facts), at(5)).counts == {State.PUBLISHED: 1, State.EMPTY: 1}
