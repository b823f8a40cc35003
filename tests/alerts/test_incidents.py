"""Which incidents are open: one for each root cause, on positive evidence, until what is wrong is published."""

from dataclasses import replace
from datetime import timedelta

import pytest

from feedmill.alerts.incident import Ending
from feedmill.alerts.kinds import KINDS
from feedmill.alerts.scene import AirflowReport, BrokenFile, Component, Disk, Health, Origin, TaskFailure
from feedmill.alerts.tables import fingerprint
from tests.alerts.world import TABLES, World, at, clean, feature, keys, landed, only, report, rollup, serving


@pytest.fixture
def world() -> World:
    """9:30: of the hour that ended at 9:00, the landed events are published; the rest is not due yet."""
    made = World(now=at(9.5))
    made.publish_all(at(8))
    made.publish(landed, at(8))
    assert made.round() == []
    return made


def test_nothing_is_wrong_while_everything_is_published_in_time(world):
    for _ in range(24):
        world.publish_all(world.now)
        assert world.round(hours=1) == []
    assert world.messages == []


def test_a_held_partition_is_one_incident_with_its_reason_until_it_is_published(world):
    world.hold(clean, at(8), "17 rows have a negative duration_ms")
    found = only(world.round(minutes=1))
    assert (found.kind, found.condition.subject) == ("held", "events.clean")
    assert found.condition.why == "17 rows have a negative duration_ms"
    assert found.condition.what == "2026-05-04T08 failed the check"
    world.publish(clean, at(8), begin=300)
    assert world.round(minutes=1) == []
    assert only(world.outbox.incidents).ending is Ending.HEALED


def test_being_built_again_heals_nothing(world):
    world.fail(clean, at(8))
    assert len(world.round(minutes=1)) == 1
    world.alive.add("events.clean/run_200")
    world.building = {clean.name: [(clean.one(at(8)), "b201")]}
    assert keys(world.round(minutes=1)) == ["failed/events.clean/failed: ValueError: no"]
    world.building = {}
    world.publish(clean, at(8), begin=100)
    assert len(world.round(minutes=1)) == 1, "an older build heals nothing"
    world.publish(clean, at(8), begin=201)
    assert world.round(minutes=1) == []


def test_an_accept_heals_it(world):
    world.hold(clean, at(8), begin=200)
    world.round(minutes=1)
    world.publish(clean, at(8), begin=200)
    assert world.round(minutes=1) == []


def test_a_retry_that_may_still_succeed_is_none(world):
    world.fail(clean, at(8))
    world.alive.add("events.clean/run_200")
    assert world.round(minutes=1) == []
    world.alive.clear()
    assert len(world.round(minutes=1)) == 1


def test_fifty_partitions_that_fail_alike_are_one_and_two_ways_are_two(world):
    for n in range(50):
        world.published[clean.name].pop(at(8 - 50 + n), None)
        world.fail(clean, at(8 - 50 + n), f"ValueError: row {n} of part-{n}.parquet is broken", begin=200 + n)
    world.since = at(8 - 50)
    world.publish_all(world.now, besides=TABLES[1:])
    for hour in range(8 - 50, 6):
        world.publish(landed, at(hour))
    found = [one for one in world.round(minutes=1) if one.kind == "failed"]
    assert len(found) == 1
    assert sum((part.end - part.start) // timedelta(hours=1) for part in found[0].condition.parts) == 50
    world.fail(clean, at(7), "MemoryError: no", begin=400)
    assert len([one for one in world.round(minutes=1) if one.kind == "failed"]) == 2


def test_the_fingerprint_of_a_message_has_no_numbers_ids_or_values():
    first = fingerprint("failed: ValueError: 17 rows of 'a.json' at 10:15 in build 0f3a9c12")
    assert first == fingerprint("failed: ValueError: 3 rows of 'b.json' at 11:20 in build 77aa1122")
    assert first != fingerprint("failed: KeyError: 3 rows of 'b.json' at 11:20 in build 77aa1122")


def test_a_chain_that_waits_is_one_incident_with_its_impact_and_the_most_urgent_tier(world):
    world.publish(landed, at(9), at(10))
    world.hold(clean, at(8))
    world.publish(clean, at(9), at(10))
    found = world.rounds(at(11.5))
    held = only([one for one in found if one.kind == "held"])
    assert keys([one for one in found if one.condition.subject != "events.landed"]) == [held.alias[5:]]
    assert held.condition.impact[0].table == "serving.hourly"
    assert {one.table for one in held.condition.impact} == {"rollups.hourly", "features.hourly", "serving.hourly"}
    assert held.condition.tier == 1, "of serving.hourly, which is overdue because of it"


def test_before_what_waits_is_overdue_the_incident_has_its_own_tier(world):
    world.hold(clean, at(8))
    assert only(world.round(minutes=1)).condition.tier == 2


def test_a_partition_is_overdue_after_its_deadline_and_heals_when_it_is_published(world):
    world.now = at(11)
    assert world.round() == []
    world.publish_all(at(9))
    assert keys(world.round(minutes=1)) == ["overdue/events.landed"]
    assert only(world.outbox.incidents).condition.since == at(11)
    world.publish(landed, at(9))
    assert world.round(minutes=1) == []


def test_a_table_that_others_are_overdue_because_of_is_one_before_its_own_deadline():
    late = replace(landed, due=timedelta(hours=30))
    reader = replace(clean, inputs=[replace(clean.inputs[0], table=late)])
    world = World(now=at(8.5), tables=(late, reader))
    world.publish_all(at(8))
    found = world.rounds(at(11.5), minutes=30)
    assert keys(found) == ["overdue/events.landed"]
    assert [one.table for one in only(found).condition.impact] == ["events.clean"]


def test_a_paused_dag_with_an_overdue_partition_is_told_as_paused_and_heals_when_it_is_unpaused(world):
    world.paused.add("events.landed")
    assert world.round() == [], "nothing is due"
    world.publish_all(at(9))
    assert keys(world.rounds(at(11.1))) == ["paused though due/events.landed"]
    world.paused.clear()
    assert world.round(minutes=1) == [], "it may be caught up now"
    world.now = at(11.8)
    world.publish_all(at(10))
    assert world.round() == []
    world.publish_all(at(10), besides=[landed])
    assert world.rounds(at(12.7)) == [], "its last publish puts it off"
    assert keys(world.rounds(at(12.95))) == ["overdue/events.landed"]


def test_a_paused_dag_is_no_second_incident_while_airflow_is_silent(world):
    world.paused.add("events.landed")
    world.publish_all(at(9))
    assert keys(world.rounds(at(11.1))) == ["paused though due/events.landed"]
    world.silent.add(Origin.AIRFLOW)
    found = only(world.round(minutes=1))
    assert found.kind == "paused though due"
    assert found.unknown_since == world.now


def test_what_waited_for_a_late_table_is_caught_up_and_no_incident_of_its_own(world):
    world.publish(landed, at(9), at(10))
    world.publish(clean, at(9), at(10))
    world.hold(clean, at(8))
    assert len(world.rounds(at(11.5))) == 1
    world.publish(clean, at(8), begin=300)
    assert world.round(minutes=1) == [], "rollups.hourly is overdue, and may be built at last"
    world.publish(rollup, at(8), at(9), at(10))
    assert world.rounds(at(11.9)) == [], "nor are those that wait for it in turn"


def test_what_is_not_caught_up_in_time_is_overdue(world):
    world.publish(landed, at(9), at(10), at(11), at(12), at(13))
    world.publish(clean, at(9), at(10), at(11), at(12), at(13))
    world.hold(clean, at(8))
    world.rounds(at(11.5))
    world.publish(clean, at(8), begin=300)
    found = world.rounds(at(13.6))
    assert keys(found) == ["overdue/rollups.hourly"]


def test_a_dag_that_is_switched_on_with_a_history_behind_it_has_time_to_build_it(world):
    late = replace(landed, name="events.other", due=timedelta(hours=1))
    world.tables = (*TABLES, late)
    world.paused.add("events.other")
    world.publish(landed, at(9))
    world.round(minutes=1)
    world.paused.clear()
    assert world.round(minutes=1) == []
    for hour in (6, 7):
        world.publish(late, at(hour))
        assert world.round(minutes=40) == []
    found = world.round(minutes=61)
    assert "overdue/events.other" in keys(found)


def test_a_dag_that_was_never_switched_on_is_none():
    world = World(now=at(12), tables=(landed,), paused={"events.landed"})
    assert world.round() == []


def test_a_rebuild_of_a_published_partition_wakes_nobody(world):
    world.hold(clean, at(6))
    assert only(world.round(minutes=1)).condition.wakes is False
    world.hold(clean, at(8))
    assert only(world.round(minutes=1)).condition.wakes is True


def test_while_the_ledger_is_silent_nothing_opens_or_heals(world):
    world.hold(clean, at(8))
    world.round(minutes=1)
    world.silent.add(Origin.LEDGER)
    world.publish(clean, at(8), begin=300)
    (known,) = [one for one in world.round(minutes=1) if one.kind == "held"]
    assert known.unknown_since == world.now
    world.silent.clear()
    assert [one for one in world.round(minutes=1) if one.kind == "held"] == []


def test_without_airflow_a_failure_does_not_open_and_an_open_one_stays(world):
    world.silent.add(Origin.AIRFLOW)
    world.fail(clean, at(8))
    assert [one for one in world.round(minutes=1) if one.kind == "failed"] == []
    world.silent.clear()
    assert len(world.round(minutes=1)) == 1
    world.silent.add(Origin.AIRFLOW)
    assert len(world.round(minutes=1)) == 1


WELL = dict.fromkeys(Component, Health(True))


def test_what_fails_while_a_component_is_down_belongs_to_it_also_after_it_is_back(world):
    world.health = {**WELL, Component.SPARK: Health(False, "refused")}
    world.round(minutes=1)
    for table in (landed, clean, rollup, feature, serving):
        world.fail(table, at(7), "SparkUnavailableError: gone")
        world.published[table.name].pop(at(7))
    assert world.round(minutes=1) == [], "two minutes are not over"
    found = only(world.round(minutes=2))
    assert (found.kind, found.condition.subject, found.maintainer) == ("component down", "Spark", "ops")
    world.health = WELL
    found = only(world.round(minutes=1))
    assert found.condition.what == "was down"
    assert {part.table for part in found.condition.parts} == {"events.landed"}, "the others wait for it"
    for table in (landed, clean, rollup, feature, serving):
        world.publish(table, at(7), begin=500)
    assert world.round(minutes=1) == []


def test_a_short_outage_without_a_failure_is_none(world):
    world.health = {**WELL, Component.SPARK: Health(False, "refused")}
    assert world.round(minutes=1) == []
    world.health = WELL
    assert world.round(minutes=1) == []
    assert world.round(minutes=10) == []
    assert not any(one.opened_at for one in world.outbox.incidents.values())


def test_a_failure_in_a_short_outage_is_told_as_the_outage_and_not_by_table(world):
    world.health = {**WELL, Component.SPARK: Health(False, "refused")}
    world.round(minutes=1)
    world.fail(clean, at(8), "SparkUnavailableError: gone")
    world.health = WELL
    world.round(minutes=1)
    assert keys(world.round(minutes=2)) == ["component down/Spark"]


def test_a_failure_long_before_an_outage_stays_the_table_s(world):
    world.fail(clean, at(8))
    assert len(world.round(minutes=1)) == 1
    world.health = {**WELL, Component.SPARK: Health(False, "refused")}
    world.round(minutes=5)
    assert keys(world.round(minutes=5)) == ["component down/Spark", "failed/events.clean/failed: ValueError: no"]


def test_deadlines_missed_because_of_an_outage_belong_to_it(world):
    world.publish(clean, at(8))
    world.now = at(10.75)
    world.health = {**WELL, Component.SCHEDULER: Health(False, "no heartbeat")}
    world.round()
    world.now = at(11.5)
    world.health = WELL
    assert keys(world.round()) == ["component down/scheduler"]
    assert {part.table for part in only(world.round(minutes=1)).condition.parts} >= {"events.landed"}


def test_what_rests_on_a_component_that_is_down_is_no_incident_of_its_own(world):
    gone = dict.fromkeys((Component.SCHEDULER, Component.API_SERVER, Component.POSTGRES), Health(False, "gone"))
    world.health = {**WELL, **gone}
    world.silent = {Origin.LEDGER, Origin.AIRFLOW}
    world.round()
    assert keys(world.rounds(world.now + timedelta(minutes=10))) == ["component down/PostgreSQL"]
    world.silent = set()
    world.health = {**WELL, Component.SCHEDULER: Health(False, "no heartbeat")}
    world.publish_all(world.now)
    world.round(minutes=1)
    assert keys(world.round(minutes=2)) == ["component down/scheduler"], "it did not come back by itself"


def test_a_component_that_nobody_could_look_at_stays_as_it_was(world):
    world.health = {**WELL, Component.SCHEDULER: Health(False, "no heartbeat")}
    world.round()
    assert len(world.round(minutes=3)) == 1
    world.health = {Component.API_SERVER: Health(True)}
    assert only(world.round(minutes=1)).unknown_since == world.now


def test_an_incident_that_comes_back_within_the_hour_continues_its_row_and_is_damped_from_the_third_time(world):
    for time in (1, 2, 3):
        world.hold(clean, at(8), begin=200 + time)
        found = only(world.round(minutes=1))
        assert found.times == time
        world.publish(clean, at(8), begin=200 + time)
        left = world.round(minutes=1)
        assert len(left) == (1 if time == 3 else 0)
        world.published[clean.name].pop(at(8))
    assert len(world.outbox.incidents) == 1
    world.publish(clean, at(8), begin=300)
    assert len(world.round(minutes=5)) == 1
    assert world.round(minutes=30) == []


def test_after_more_than_an_hour_it_is_a_new_one(world):
    for _ in (1, 2):
        world.hold(report, at(0), "3 rows are bad")
        world.round(minutes=1)
        world.publish(report, at(0), begin=200)
        world.published[report.name].clear()
        world.held.clear()
        world.since = at(0, 5)
        world.round(minutes=1)
        world.since = at(6)
        world.publish_all(world.now)
        world.round(minutes=70)
        world.publish_all(world.now)
    assert [one.times for one in world.outbox.incidents.values() if one.kind == "held"] == [1, 1]


def test_a_table_that_left_the_map_closes_as_withdrawn(world):
    world.hold(report, at(0))
    assert len(world.round(minutes=1)) == 1
    world.tables = TABLES[:-1]
    world.held.clear()
    assert world.round(minutes=1) == []
    assert [one.ending for one in world.outbox.incidents.values()] == [Ending.WITHDRAWN]


def test_a_disk_heals_later_than_it_opens(world):
    def disk(free):
        world.more = {"disks": [Disk("/data", free * 10**9, 100 * 10**9)]}

    disk(4.9)
    assert world.round() == []
    assert keys(world.round(minutes=5)) == ["disk//data"]
    disk(9)
    assert len(world.round(minutes=5)) == 1
    disk(11)
    assert world.round(minutes=5) == []


def test_an_import_error_is_told_to_the_owner_of_the_file_s_tables(world):
    scene = world.scene()
    broken = BrokenFile("f.py", "Traceback\n  File\nNameError: x", at(8))
    world.more = {"airflow": replace(scene.airflow, import_errors=[broken])}
    found = only(world.round(minutes=5))
    assert (found.maintainer, found.condition.tier, found.condition.why) == ("data", 1, "NameError: x")
    world.more = {"airflow": replace(scene.airflow, import_errors=[replace(broken, file="other.py")])}
    assert {one.maintainer for one in world.round(minutes=5)} == {"ops"}


def test_a_failed_task_of_another_team_is_told_to_the_default_maintainer(world):
    scene = world.scene()
    assert isinstance(scene.airflow, AirflowReport)
    task = TaskFailure("their.dag", "run", "load", "someone", at(8))
    world.more = {"airflow": replace(scene.airflow, task_failures=[task])}
    found = only(world.round())
    assert (found.maintainer, found.condition.tier, found.condition.wakes) == ("data", 2, False)
    world.more = {}
    assert world.round(minutes=1) == []


def test_a_broken_map_is_told_after_two_minutes(world):
    world.more = {"map_error": "SyntaxError: no", "map_error_since": world.now}
    assert world.round() == []
    assert keys(world.round(minutes=2)) == ["map broken/include/tables.py"]


def test_every_kind_says_in_one_place_what_it_is_and_how_it_heals():
    assert all("heals" in (kind.find.__doc__ or "").lower() for kind in KINDS.values())
