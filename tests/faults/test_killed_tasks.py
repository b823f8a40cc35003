"""SIGKILL to a task at every bad moment, then its retry: the rows of a clean build, and a doctor without work."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest
from ground import CLEAN, HOURS, LANDED, Ground, Rows, at_once, hour, until
from moments import AFTER_THE_COMMIT, BUILD, CHECK, DISCOVERY, PUBLISH, RECORDED

from feedmill.flow.check import check
from feedmill.flow.publish import publish
from feedmill.lake.catalog import branch_name

pytestmark = pytest.mark.faults


@pytest.mark.rule(6)
@pytest.mark.parametrize("moment", DISCOVERY)
def test_killed_while_it_looks_for_files(ground: Ground, clean_rows: Callable[..., Rows], moment: str) -> None:
    expected = clean_rows(LANDED, span=hour(0))
    ground.killed("build", LANDED, hour(0), DISCOVERY[moment])
    assert ground.registered() == (2 * HOURS if moment == "registered, nothing begun" else 0), "all or none"
    ground.make(LANDED, hour(0))
    assert ground.registered() == 2 * HOURS
    assert ground.rows(LANDED) == expected
    assert ground.ills() == []


@pytest.mark.parametrize("moment", BUILD)
def test_killed_while_it_builds(ground: Ground, clean_rows: Callable[..., Rows], moment: str) -> None:
    expected = clean_rows(LANDED, span=hour(0, 2))
    ground.killed("build", LANDED, hour(0, 2), BUILD[moment])
    recorded = moment == "recorded, and its task does not know"
    (dead,) = ground.builds()
    assert dead.state == ("built" if recorded else "running")
    ground.make(LANDED, hour(0, 2))
    assert ground.rows(LANDED) == expected
    assert [build.state for build in ground.builds()] == ["built" if recorded else "interrupted", "built"]
    assert ground.ills(mend=True) == [], "the dead try's branch is dropped by --mend, or by housekeeping"


def test_killed_and_never_retried(ground: Ground) -> None:
    ground.killed("build", LANDED, hour(0), BUILD["written, not recorded"])
    assert [f.ill for f in ground.ills() if f.table == LANDED] == [], "its heartbeat has just stopped"
    ground.forget_heartbeats()
    assert [f.ill for f in ground.ills() if f.table == LANDED] == ["dead claim"]
    assert [f.ill for f in ground.ills(mend=True) if f.table == LANDED] == []
    assert [build.state for build in ground.builds()] == ["interrupted"]


@pytest.mark.parametrize("moment", CHECK)
def test_killed_while_it_checks(ground: Ground, clean_rows: Callable[..., Rows], moment: str) -> None:
    expected = clean_rows(LANDED, span=hour(0))
    build_id = ground.build(LANDED, hour(0))
    with ground.deployment.ledger.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM verdicts")
    ground.killed("check", LANDED, build_id, CHECK[moment])
    assert ground.verdicts() == (1 if moment == "before the page" else 0), "all or none"
    check(ground.table(LANDED), build_id, ground.deployment)
    ground.publish(LANDED, build_id)
    assert ground.rows(LANDED) == expected
    assert ground.ills() == []


@pytest.mark.rule(3)
@pytest.mark.parametrize("moment", PUBLISH)
def test_killed_while_it_publishes(ground: Ground, clean_rows: Callable[..., Rows], moment: str) -> None:
    expected = clean_rows(LANDED, span=hour(0, 2))
    ground.make(CLEAN, hour(0, 2))  # of nothing: stale as soon as something is landed
    build_id = ground.build(LANDED, hour(0, 2))
    ground.killed("publish", LANDED, build_id, PUBLISH[moment])
    both = list(hour(0, 2).partitions())
    assert ground.open_intents() == ([] if moment == "before the intent" or moment in RECORDED else [build_id])
    assert ground.rows(LANDED) == (expected if moment in (*AFTER_THE_COMMIT, *RECORDED) else {LANDED: []})
    assert ground.stale(CLEAN) == (both if moment in RECORDED else [])
    if moment in AFTER_THE_COMMIT:
        assert {f.ill for f in ground.ills()} >= {"unrecorded commit", "open intent"}
    assert ground.publish(LANDED, build_id).published == both
    assert ground.rows(LANDED) == expected
    assert ground.stale(CLEAN) == both, "what was published after it was read"
    assert ground.ills() == []


@pytest.mark.rule(3)
@pytest.mark.parametrize("moment", ["before the commit", "after the commit"])
def test_killed_while_it_publishes_and_never_retried(
    ground: Ground, clean_rows: Callable[..., Rows], moment: str
) -> None:
    clean_rows()
    build_id = ground.build(LANDED, hour(0))
    ground.killed("publish", LANDED, build_id, PUBLISH[moment])
    assert ground.ills() != []
    assert ground.ills(mend=True) == []
    assert ground.rows(LANDED) == (clean_rows(LANDED, span=hour(0)) if moment in AFTER_THE_COMMIT else {LANDED: []})


@pytest.mark.rule(9)
def test_a_retry_while_the_first_try_s_query_still_runs(ground: Ground, clean_rows: Callable[..., Rows]) -> None:
    expected = clean_rows(LANDED, span=hour(0))
    first = ground.start("build", LANDED, hour(0), "--crawl")
    with at_once([first]):
        until(lambda: ground.builds() and ground.builds()[0].pins, 60, "the first try's query")
        time.sleep(1)
        assert first.poll() is None
        first.send_signal(signal.SIGKILL)
        first.wait()
        ground.make(LANDED, hour(0))
    time.sleep(8)  # as long as the first try's query would have taken
    first_try, _ = ground.builds()
    head = ground.deployment.lake.load(ground.table(LANDED)).snapshot_by_name(branch_name(first_try.id))
    wrote = None if head is None or head.summary is None else head.summary["feedmill.wrote"]
    assert wrote is None, "the dead try's query is interrupted, and writes nothing any more"
    assert ground.rows(LANDED) == expected
    assert [build.state for build in ground.builds()] == ["interrupted", "built"]
    assert ground.ills(mend=True) == []


@pytest.mark.rule(3)
def test_the_same_build_published_by_two_processes_at_once(ground: Ground, clean_rows: Callable[..., Rows]) -> None:
    expected = clean_rows(LANDED, span=hour(0, 2))
    build_id = ground.build(LANDED, hour(0, 2))
    children = [ground.start("publish", LANDED, build_id) for _ in range(2)]
    with at_once(children):
        assert publish(ground.table(LANDED), build_id, ground.deployment.ledger, ground.deployment.lake).held == []
        assert [child.wait(600) for child in children] == [0, 0]
    assert ground.rows(LANDED) == expected
    assert ground.ills() == []


def test_four_tables_and_four_ranges_at_once(ground: Ground, clean_rows: Callable[..., Rows]) -> None:
    tables = ",".join(("events.landed", "events.rejected", "events.clean", "rollups.item_engagement_hourly"))
    expected = clean_rows(*tables.split(","))
    children = [ground.start("make", tables, hour(n), "--owner", f"test/{n}") for n in range(HOURS)]
    with at_once(children):
        ends = [(child.wait(600), child.stderr.read() if child.stderr else "") for child in children]
    assert [code for code, _ in ends] == [0] * HOURS, "\n".join(said for _, said in ends)
    # Late events make hours stale that were built before their arrival hour was published: restate until none is.
    for name in tables.split(","):
        for partition in ground.stale(name):
            ground.make(name, ground.table(name).one(partition), "test/restate")
    assert [ground.stale(name) for name in tables.split(",")] == [[]] * 4
    assert ground.rows(*tables.split(",")) == expected
    assert ground.ills() == []
