"""Builds that take too long or give other rows, and checks that published with a warning."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedmill.alerts.incident import Ending
from feedmill.alerts.scene import Differing, Newest, Warned, Work
from feedmill.alerts.tables import patience
from tests.alerts.world import TABLES, World, at, clean, keys, landed, only, report, rollup

MINUTE = timedelta(minutes=1)


@pytest.fixture
def world() -> World:
    """9:30: of the hour that ended at 9:00, the landed events are published; the rest is not due yet."""
    made = World(now=at(9.5))
    made.publish_all(at(8))
    made.publish(landed, at(8))
    assert made.round() == []
    return made


def works(world: World, table, partition, since, took=10 * MINUTE, build="b9"):
    """A build is at work."""
    world.building.setdefault(table.name, []).append((table.one(partition), build))
    work = Work(f"{table.dag_id}/run", since, [(took, 1)] * 20)
    world.more = {"work": {**world.more.get("work", {}), build: work}}


def test_a_build_that_takes_four_times_as_long_as_usual_and_an_hour_is_stuck_until_it_ends(world):
    works(world, clean, at(8), at(9.1))
    world.now = at(10.1)
    assert world.round() == []
    found = only(world.round(minutes=1))
    assert (found.kind, found.condition.subject, found.maintainer) == ("stuck", "events.clean", "data")
    assert found.condition.what == "2026-05-04T08 takes too long to build"
    assert found.condition.why.endswith("the last 20 builds took about 10 minutes")
    assert found.condition.parts[0].owner == "events.clean/run"
    assert found.condition.wakes
    world.building.clear()
    world.publish(clean, at(8))
    assert world.round(minutes=1) == []


def test_slow_builds_have_four_times_as_long(world):
    works(world, clean, at(8), at(9), took=25 * MINUTE)
    world.now = at(10.6)
    assert world.round() == []
    assert [one.kind for one in world.round(minutes=10)] == ["stuck"]


def test_a_stuck_rebuild_of_published_rows_wakes_nobody(world):
    works(world, clean, at(6), at(8))
    found = only(world.round())
    assert (found.kind, found.condition.wakes) == ("stuck", False)


def test_what_waits_for_a_stuck_build_is_its_impact_and_it_is_one_incident_also_when_it_is_overdue(world):
    world.publish(landed, at(9), at(10), at(11))
    world.publish(clean, at(9), at(10))
    works(world, clean, at(8), at(9.2))
    found = world.rounds(at(12))
    assert keys(found) == ["stuck/events.clean"]
    assert "rollups.hourly" in {one.table for one in only(found).condition.impact}


def test_a_build_that_is_stuck_after_its_partition_is_overdue_is_not_told_twice(world):
    world.publish_all(at(11))
    world.building = {landed.name: [(landed.one(at(11)), "b9")]}
    world.more = {"work": {"b9": Work("events.landed/run", at(12.5), [(MINUTE, 1)])}}
    world.now = at(13.1)
    assert keys(world.round()) == ["overdue/events.landed"]
    world.now = at(13.9)
    assert keys(world.round()) == ["overdue/events.landed"]


@given(st.integers(1, 10_000), st.integers(1, 800), st.integers(1, 30))
def test_a_longer_range_may_take_longer_and_no_build_less_than_an_hour(seconds, partitions, before):
    lately = [(timedelta(seconds=seconds), before)] * 3
    limit = patience(Work("any", at(0), lately), partitions)
    assert limit >= timedelta(hours=1)
    assert limit >= timedelta(seconds=4 * seconds * max(partitions / before, 1)) - timedelta(milliseconds=1)
    assert patience(Work("any", at(0), lately), partitions * 2) >= limit


def test_a_table_that_was_never_built_has_no_measure():
    assert patience(Work("any", at(0), ()), 1) is None


def checks(world: World, table, partition, *warnings):
    """The newest published partition of the table, and the warnings of its check."""
    warned = tuple(Warned(one, f"{one} is low") for one in warnings)
    newest = Newest(table.name, partition, "b1", f"{table.dag_id}/run", world.now, warned)
    world.more = {"newest": {**world.more.get("newest", {}), table.name: newest}}


def test_a_failed_warning_is_told_in_the_digest_until_a_later_partition_passes_it(world):
    checks(world, rollup, at(7), "volume", "nulls")
    found = world.round(minutes=1)
    assert keys(found) == ["warning/rollups.hourly/nulls", "warning/rollups.hourly/volume"]
    assert {(one.maintainer, one.condition.tier, one.condition.wakes) for one in found} == {("ranking", 3, False)}
    assert world.messages == []
    checks(world, rollup, at(8), "nulls")
    found = only(world.round(minutes=1))
    assert found.condition.what == "2026-05-04T08 was published with a failed warning"
    world.more = {}
    assert only(world.round(minutes=1)).unknown_since == world.now, "nothing was checked lately"
    checks(world, rollup, at(8))
    assert world.round(minutes=1) == []


def test_the_warning_of_a_table_that_left_the_map_is_withdrawn(world):
    checks(world, report, at(0), "volume")
    assert len(world.round(minutes=1)) == 1
    world.tables = TABLES[:-1]
    assert world.round(minutes=1) == []
    assert [one.ending for one in world.outbox.incidents.values()] == [Ending.WITHDRAWN]


def test_other_rows_of_the_same_inputs_and_code_are_told_until_other_code_is_published(world):
    found = Differing("rollups.hourly", at(7), "code", ("b1", "b2"), "rollups.hourly/run", world.now)
    world.more = {"differing": {"rollups.hourly": found}}
    one = only(world.round(minutes=1))
    assert (one.kind, one.condition.subject, one.maintainer) == ("not deterministic", "rollups.hourly", "ranking")
    assert (one.condition.tier, one.condition.wakes) == (3, False)
    world.more = {}
    assert only(world.round(minutes=1)).condition.why == "builds b1 and b2 read the same", "nothing says otherwise"
    world.code = "other code"
    world.publish(rollup, at(7), begin=300)
    assert world.round(minutes=1) == []
    world.more = {"differing": {"rollups.hourly": found}}
    assert world.round(minutes=1) == [], "it was of the code before"
