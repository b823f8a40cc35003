"""Where a table's history begins, what failed, and what waits for what: the design's words as rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from feedmill.freshness.facts import AirflowFacts, Facts, FailedRun, Held, Knowledge, Published, Try
from feedmill.freshness.staleness import missing
from feedmill.freshness.states import NEEDS_A_BUILD, NEEDS_A_PERSON, Cell, Picture, State, status_of
from feedmill.spec import Files, Input, Maintainer, MapError, Table
from feedmill.timeline import DAY, HOUR, days, hours

TEAM = Maintainer("team", "a team", "mailto:team@example.com")
OTHERS = Maintainer("others", "another team", "mailto:others@example.com")
LANDED = Table("e.landed", HOUR, [Files("events")], TEAM, 1, days(90), due=hours(1))
CLEAN = Table("e.clean", HOUR, [Input(LANDED, by="touches")], TEAM, 1, days(90), due=hours(1))
HOURLY = Table("r.hourly", HOUR, [Input(CLEAN)], OTHERS, 2, days(90), due=hours(2))
DAILY = Table("r.daily", DAY, [Input(HOURLY)], OTHERS, 2, days(90))
WINDOW = Table("f.window", DAY, [Input(DAILY, lookback=days(27))], OTHERS, 2, days(90))
ALL = [LANDED, CLEAN, HOURLY, DAILY, WINDOW]
DAY_1 = datetime(2026, 5, 1, tzinfo=UTC)


def at(begin: int = 5, number: int | None = None) -> Published:
    return Published(begin, begin if number is None else number, "code", 1)


def fresh(*moments: datetime) -> dict[datetime, Published]:
    return dict.fromkeys(moments, at())


def cells(table: Table, known: Knowledge, now: datetime) -> dict[datetime, Cell]:
    return {cell.partition: cell for cell in status_of(table, known, now).cells}


def test_from_since_on_every_partition_is_due_even_if_none_was_ever_published() -> None:
    known = Knowledge(Facts(since=DAY_1 + hours(2)))
    found = cells(LANDED, known, DAY_1 + hours(5))
    assert {moment.hour: cell.state for moment, cell in found.items()} == {
        2: State.OVERDUE,
        3: State.MISSING,
        4: State.MISSING,
    }


def test_a_tables_own_since_goes_before_the_default_one() -> None:
    own = Table("e.own", HOUR, [Files("events")], TEAM, 1, days(90), since=DAY_1 + hours(3))
    assert list(cells(own, Knowledge(Facts(since=DAY_1)), DAY_1 + hours(5))) == [DAY_1 + hours(3), DAY_1 + hours(4)]


def test_a_since_without_a_time_zone_is_refused() -> None:
    with pytest.raises(MapError, match=r"e\.own has a since without a time zone"):
        Table("e.own", HOUR, [Files("events")], TEAM, 1, days(90), since=datetime(2026, 5, 1))


def test_a_history_that_is_longer_than_the_retention_is_due_only_as_far_as_it_is_kept() -> None:
    short = Table("e.short", HOUR, [Files("events")], TEAM, 1, hours(3))
    assert len(cells(short, Knowledge(Facts(since=DAY_1 - days(400))), DAY_1)) == 3


def test_what_late_events_touch_before_the_history_was_never_built_and_is_no_work_that_is_due() -> None:
    since, old = DAY_1, DAY_1 - days(20)
    facts = Facts(
        {LANDED.name: {DAY_1: at(9)}, CLEAN.name: {DAY_1: at(10)}},
        touches={LANDED.name: {DAY_1: {DAY_1: 9}, old: {DAY_1: 9}}},
        since=since,
    )
    picture = Picture.of(ALL, Knowledge(facts), DAY_1 + hours(1))
    for table, partition in ((CLEAN, old), (HOURLY, old), (DAILY, DAY_1 - days(20))):
        states = picture.status(table).states(partition)
        assert states[0] is State.NEVER_BUILT, f"{table}: what must be there first comes second"
        assert not set(states) & (NEEDS_A_BUILD | NEEDS_A_PERSON), table
    why = "it lies before the table's history, but its inputs have rows for it; if needed, restate "
    assert picture.status(CLEAN).cell(old).why == f"{why}e.landed 2026-04-11T00 first"
    roots = {table: [str(root) for root in picture.blocked_by(table, old)] for table in (CLEAN, HOURLY)}
    assert roots == {CLEAN: ["e.landed 2026-04-11T00"], HOURLY: ["e.landed 2026-04-11T00"]}, "inputs come first"
    assert picture.status(CLEAN).states(old + hours(1)) == (), "nothing touches its neighbour"


def test_old_hours_that_are_restated_wait_for_their_arrival_hours_though_their_history_begins_later() -> None:
    old = DAY_1 - days(3)
    lacks = missing(CLEAN, CLEAN.one(old), Facts(since=DAY_1))
    assert [str(spot) for spot in lacks] == ["e.landed 2026-04-28T00"]
    assert missing(CLEAN, CLEAN.one(old), Facts({LANDED.name: fresh(old)}, since=DAY_1)) == []


def test_a_registered_file_of_an_hour_before_the_history_is_listed() -> None:
    old = DAY_1 - days(3)
    found = cells(LANDED, Knowledge(Facts(files={"events": {old: 4}}, since=DAY_1)), DAY_1)
    assert [(moment, cell.state) for moment, cell in found.items()] == [(old, State.NEVER_BUILT)]


def test_an_old_day_that_was_restated_alone_is_no_gap_for_windows() -> None:
    since = DAY_1 + days(22)
    published = fresh(DAY_1 + days(9), *(DAY_1 + days(n) for n in range(22, 30)))
    window = WINDOW.one(DAY_1 + days(29))
    assert missing(WINDOW, window, Facts({DAILY.name: published}, since=since)) == []
    lacks = missing(WINDOW, window, Facts({DAILY.name: published}))
    assert len(lacks) == 12, "without a since, nobody knows that the days between are none of its history"


def test_the_first_day_of_an_installation_waits_for_its_hours_from_since_on_and_for_no_earlier_one() -> None:
    since, now = DAY_1 + hours(5), DAY_1 + days(1) + timedelta(minutes=30)
    later = [DAY_1 + hours(n) for n in range(5, 24)]
    facts = Facts(
        {LANDED.name: fresh(*later), CLEAN.name: fresh(*later), HOURLY.name: fresh(*later)},
        touches={LANDED.name: {since - hours(1): {since: 5}}},
        since=since,
    )
    assert missing(DAILY, DAILY.one(DAY_1), facts) == []
    picture = Picture.of(ALL, Knowledge(facts), now)
    assert picture.status(DAILY).states(DAY_1) == (State.MISSING,)
    for table in (CLEAN, HOURLY):
        assert list(picture.status(table).within([State.NEVER_BUILT])) == [picture.status(table).cell(since - hours(1))]
        assert not picture.status(table).has(NEEDS_A_BUILD | NEEDS_A_PERSON)
    published = {**facts.published, HOURLY.name: fresh(*later[1:])}
    lacks = missing(DAILY, DAILY.one(DAY_1), Facts(published, since=since))
    assert [str(spot) for spot in lacks] == ["r.hourly 2026-05-01T05"]
    whole_day = missing(DAILY, DAILY.one(DAY_1 - days(1)), facts)
    assert len(whole_day) == 24, "whoever restates an earlier day restates its hours first"


def test_a_gap_within_the_history_is_waited_for() -> None:
    since = DAY_1 + days(22)
    published = fresh(*(DAY_1 + days(n) for n in range(22, 30) if n != 25))
    lacks = missing(WINDOW, WINDOW.one(DAY_1 + days(29)), Facts({DAILY.name: published}, since=since))
    assert [str(spot) for spot in lacks] == ["r.daily 2026-05-26"]


def tries(*given: tuple[int, str | None], table: Table = LANDED) -> dict[str, list[Try]]:
    return {table.name: [Try(table.one(DAY_1), begin, f"b{begin}", "dag/run", ended) for begin, ended in given]}


def failing(known: Knowledge) -> bool:
    return State.FAILED in cells(LANDED, known, DAY_1 + hours(3))[DAY_1].states


def test_a_partition_has_failed_when_its_newest_try_ended_in_an_error() -> None:
    nothing = Facts(since=DAY_1)
    assert failing(Knowledge(nothing, tries=tries((5, "failed: no"))))
    assert not failing(Knowledge(nothing, tries=tries((5, "failed: no"), (7, None)))), "a later one was built"
    assert failing(Knowledge(nothing, tries=tries((7, "failed: no"), (5, None)))), "in whatever order they are told"


def test_a_red_try_whose_partition_is_fresh_by_now_is_history_and_one_of_a_stale_partition_is_not() -> None:
    earlier = tries((9, "failed: no"))
    assert not failing(Knowledge(Facts({LANDED.name: {DAY_1: at(10)}}), tries=earlier))
    assert not failing(Knowledge(Facts({LANDED.name: {DAY_1: at(5)}}), tries=earlier)), "it is fresh all the same"
    stale = Facts({LANDED.name: {DAY_1: at(5)}}, files={"events": {DAY_1: 8}})
    assert failing(Knowledge(stale, tries=earlier))


def test_while_a_retry_is_coming_nothing_has_failed() -> None:
    earlier = tries((5, "failed: no"))
    nothing = Facts(since=DAY_1)
    assert not failing(Knowledge(nothing, tries=earlier, airflow=AirflowFacts(alive=frozenset({"dag/run"}))))
    assert failing(Knowledge(nothing, tries=earlier, airflow=AirflowFacts(alive=frozenset({"dag/other"}))))
    cell = cells(LANDED, Knowledge(nothing, tries=earlier), DAY_1 + hours(3))[DAY_1]
    assert cell.why == "build b5 of dag/run failed: no; whether a retry is coming is not known"


def test_a_run_that_failed_without_a_build_has_failed_its_range_until_something_newer_is_known() -> None:
    run = FailedRun(LANDED.one(DAY_1), "scheduled__1", DAY_1 + hours(2))
    airflow = AirflowFacts(failed={LANDED.dag_id: [run]})
    known = Knowledge(Facts(since=DAY_1), airflow=airflow)
    assert failing(known)
    assert cells(LANDED, known, DAY_1 + hours(3))[DAY_1].why == "run scheduled__1 of its DAG failed at 02:00"
    assert not failing(Knowledge(Facts({LANDED.name: {DAY_1: at(3)}}), airflow=airflow)), "it is published and fresh"
    assert not failing(Knowledge(Facts(since=DAY_1), airflow=airflow, tries=tries((5, None)))), "built after it"


def test_a_paused_dag_is_named_and_one_that_was_never_switched_on_owes_nothing() -> None:
    paused = AirflowFacts(paused=frozenset({LANDED.dag_id}))
    assert cells(LANDED, Knowledge(Facts(since=DAY_1), airflow=paused), DAY_1 + hours(3)) == {}
    once = Facts({LANDED.name: fresh(DAY_1)}, since=DAY_1)
    found = cells(LANDED, Knowledge(once, airflow=paused), DAY_1 + hours(4))
    assert found[DAY_1 + hours(1)].why == "not published, and it was due at 2026-05-01 03:00; its DAG is paused"


def test_what_waits_names_the_root_and_its_owner_through_any_number_of_tables() -> None:
    now = DAY_1 + days(1) + hours(4)
    held = {LANDED.name: {DAY_1 + hours(5): Held("b1", "17 rows")}}
    hours_of = [DAY_1 + hours(n) for n in range(24)]
    others = fresh(*(hour for hour in hours_of if hour.hour != 5))
    facts = Facts({LANDED.name: others, CLEAN.name: others, HOURLY.name: others}, since=DAY_1)
    picture = Picture.of(ALL, Knowledge(facts, held=held), now)
    for table, partition in ((CLEAN, hours_of[5]), (HOURLY, hours_of[5]), (DAILY, DAY_1), (WINDOW, DAY_1)):
        assert [str(root) for root in picture.blocked_by(table, partition)] == ["e.landed 2026-05-01T05"], table
    assert picture.blocked_by(LANDED, hours_of[5]) == []
    cell = picture.status(DAILY).cell(DAY_1)
    assert cell.states == (State.BLOCKED, State.OVERDUE)
    assert cell.why == "it waits for e.landed 2026-05-01T05, which is held; team owns it"


def test_runs_are_the_fewest_ranges_of_equal_states() -> None:
    known = Knowledge(Facts({LANDED.name: fresh(*(DAY_1 + hours(n) for n in (0, 1, 2, 5)))}, since=DAY_1))
    status = status_of(LANDED, known, DAY_1 + timedelta(hours=6, minutes=30))
    assert [(str(run.span), run.states) for run in status.runs()] == [
        ("2026-05-01T00 to 2026-05-01T03", (State.PUBLISHED,)),
        ("2026-05-01T03 to 2026-05-01T05", (State.OVERDUE,)),
        ("2026-05-01T05", (State.PUBLISHED,)),
    ]
    assert [str(run.span) for run in status.runs([State.OVERDUE])] == ["2026-05-01T03 to 2026-05-01T05"]
