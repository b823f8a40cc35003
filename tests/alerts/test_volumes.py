"""When a source is silent, and when too many rows are rejected."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedmill.alerts.scene import Landed
from feedmill.alerts.volumes import newest
from feedmill.spec import Files, Table
from feedmill.timeline import HOUR, days, hours
from tests.alerts.world import OWNERS, TABLES, World, at, data, keys, landed, only

WEEK = days(7)
HOUR_8 = at(8)


def flow(weeks: float, usual: int = 1000, night: int | None = None, until=HOUR_8):
    """What a source landed in each hour before ``until``; at night, from 0 to 6, another amount."""
    start = until - int(weeks * 7 * 24) * hours(1)
    every = [start + n * hours(1) for n in range((until - start) // hours(1))]
    return {hour: usual if night is None or hour.hour >= 6 else night for hour in every}


def judged(by_hour, now, complete=None):
    return newest(Landed(by_hour, complete or now), now)


def test_an_hour_with_less_than_a_tenth_of_the_same_hour_of_earlier_weeks_is_silent():
    known = {**flow(4), HOUR_8 - 2 * WEEK: 9000}
    assert judged({**known, HOUR_8: 99}, at(9.5)).silent_since == at(9)
    assert judged({**known, HOUR_8: 100}, at(9.5)).silent_since is None
    assert judged(known, at(9.5)).silent_since == at(9)


def test_it_is_judged_half_an_hour_after_its_end():
    assert judged(flow(4), at(9.4)).hour == at(7)
    assert judged(flow(4), at(9.5)).hour == at(8)


def test_an_hour_that_nobody_has_looked_for_is_not_judged():
    assert judged(flow(4), at(20), complete=at(8)).hour == at(7)


def test_without_two_weeks_the_last_day_is_the_measure_and_without_a_day_there_is_none():
    assert judged(flow(1.5), at(9.5)).silent_since == at(9)
    assert judged(flow(1.5), at(9.5)).usual == 1000
    assert judged(flow(23 / 168), at(9.5)) is None
    assert judged({}, at(9.5)) is None


def test_a_quiet_night_is_no_silence_and_no_sign_that_a_silence_is_over():
    quiet = flow(4, night=0, until=at(0))
    assert judged(quiet, at(4.5)).silent_since is None
    assert judged(quiet, at(7.5)).silent_since == at(7)
    assert judged(quiet, at(4.5, 5)).silent_since == at(7)


def test_a_source_that_stays_silent_never_becomes_usual():
    for gone in (2, 30, 24 * 7 * 3):
        assert judged(flow(4), at(8) + hours(gone)).silent_since == at(9)


@given(st.integers(1, 10**12), st.floats(0.2, 5))
def test_a_source_that_lands_about_as_much_as_usual_is_not_silent(usual, factor):
    assert judged({**flow(3, usual), HOUR_8: max(int(usual * factor), 1)}, at(9.5)).silent_since is None


@pytest.fixture
def world() -> World:
    made = World(now=at(9.25))
    made.publish_all(at(8))
    made.publish(landed, at(8))
    return made


def sees(world: World, by_hour) -> None:
    world.more = {
        "landed": {"events_jsonl": Landed(by_hour, world.now)},
        "owners": replace(OWNERS, expected=frozenset({"events_jsonl"})),
    }


def test_a_silent_source_is_told_to_its_maintainer_until_an_hour_is_as_usual(world):
    sees(world, flow(4))
    assert world.round() == []
    world.now = at(9.5)
    sees(world, flow(4))
    found = only(world.round())
    assert (found.kind, found.condition.subject, found.maintainer) == ("source silent", "events_jsonl", "data")
    assert (found.condition.tier, found.condition.since) == (1, at(9))
    world.more = {**world.more, "landed": {}}
    assert only(world.round(minutes=1)).unknown_since == world.now
    world.now = at(10.5)
    sees(world, {**flow(4), at(9): 500})
    world.publish_all(at(9))
    assert world.round() == []


def test_a_source_of_which_nothing_is_expected_may_be_silent(world):
    world.now = at(9.6)
    world.more = {"landed": {"events_jsonl": Landed(flow(4), world.now)}}
    assert world.round() == []


rejected = Table("events.rejected", HOUR, [Files("events")], data, 3, days(90))


def lands(world: World, hour: float, good: int, bad: int) -> None:
    for table, count in ((landed, good), (rejected, bad)):
        world.publish(table, at(hour))
        world.rows[table.name, at(hour)] = count


@pytest.mark.parametrize(("good", "bad", "is_much"), [(1000, 101, True), (1000, 100, False), (10_000, 500, False)])
def test_more_than_a_twentieth_and_more_than_a_hundred_rejected_rows_are_told(world, good, bad, is_much):
    world.tables = (*TABLES, rejected)
    world.publish_all(at(8))
    lands(world, 8, good, bad)
    assert keys(world.round()) == (["rows rejected/events.rejected"] if is_much else [])


def test_rejected_rows_heal_when_a_later_hour_is_below(world):
    world.tables = (*TABLES, rejected)
    world.publish_all(at(8))
    lands(world, 8, 1000, 900)
    found = only(world.round())
    assert (found.maintainer, found.condition.tier) == ("data", 2)
    assert found.condition.why == "they are 47% of the 1,900 rows that arrived in that hour"
    lands(world, 9, 0, 0)
    assert len(world.round(minutes=1)) == 1, "an hour without rows shows nothing"
    lands(world, 10, 1000, 3)
    assert world.round(minutes=1) == []
