"""Waiting: by the map of the task that waits, in a triggerer that may have begun with another one."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow._shared.module_loading import import_string
from airflow.sdk.exceptions import TaskDeferred

from feedmill.airflow import triggers
from feedmill.airflow.operators import WaitForInputs
from feedmill.airflow.triggers import LedgerTrigger
from feedmill.deployment import Deployment, project_path
from feedmill.flow.wait import Wait
from feedmill.ledger import builds, publishes
from feedmill.ledger.publishes import Moved
from feedmill.ledger.store import Ledger
from feedmill.spec import Files, Input, Maintainer, Map, Table
from feedmill.timeline import HOUR, Range, days

TEAM = Maintainer("team", description="tests", link="mailto:team@example.com")
START = datetime(2026, 5, 1, 10, tzinfo=UTC)
SPAN = Range.one(START, HOUR)
OLD = Table("a.old", HOUR, [Files("events")], TEAM, 2, days(90))
NEW = Table("a.new", HOUR, [Files("items")], TEAM, 2, days(90))
READER = Table("a.reader", HOUR, [Input(OLD), Input(NEW)], TEAM, 2, days(90))
CONTEXT: Any = {
    "params": {"start": SPAN.start.isoformat(), "end": SPAN.end.isoformat()},
    "dag_run": SimpleNamespace(dag_id=READER.name, run_id="manual"),
}


@pytest.fixture
def task(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> WaitForInputs:
    """The reader's task, whose map has the new input; the triggerer has the ledger, and no map."""
    opened = Deployment(project_path(), Map([OLD, NEW, READER]), {}, ledger, None)  # type: ignore[arg-type]
    monkeypatch.setattr("feedmill.deployment.open_deployment", lambda: opened)
    monkeypatch.setattr("feedmill.ledger.store.open_ledger", lambda: ledger)
    monkeypatch.setattr(triggers, "SHORTEST_PAUSE", 0.1)
    return WaitForInputs(task_id="wait_for_inputs", table=READER.name)


def publish(ledger: Ledger, table: Table) -> None:
    with ledger.transaction() as session:
        build = builds.begin(session, table, SPAN, "test/run", "code")
        publishes.record(session, build, [Moved(START, 1, "1", None)], 1)


async def event(trigger: LedgerTrigger, seconds: float) -> Any:
    """What the trigger fires with; None where it does not."""
    try:
        async with asyncio.timeout(seconds):
            return (await anext(trigger.run())).payload
    except TimeoutError:
        return None


def test_an_input_that_the_map_has_gained_since_the_task_began_to_wait_is_waited_for(
    task: WaitForInputs, ledger: Ledger
) -> None:
    publish(ledger, OLD)
    # The trigger of a task that knew the old input only has fired.
    with pytest.raises(TaskDeferred) as deferred:
        task.resume(CONTEXT, {"ready": True})
    assert deferred.value.method_name == "resume"
    _, arguments = deferred.value.trigger.serialize()
    trigger = LedgerTrigger(**json.loads(json.dumps(arguments)))
    assert asyncio.run(event(trigger, 1)) is None, "task and triggerer would send each other back and forth"
    publish(ledger, NEW)
    assert asyncio.run(event(trigger, 10)) == {"ready": True}
    task.resume(CONTEXT, {"ready": True})


def test_a_task_that_the_version_before_deferred_resumes(task: WaitForInputs, ledger: Ledger) -> None:
    # What that version stored in Airflow's database: the trigger's old path, and the wait as it was packed then.
    def packed(name: str) -> dict[str, Any]:
        return {"name": name, "every": "hourly", "maintainer": "team", "keep": 7776000.0}

    asked = {"lookback": 0.0, "lag": 0.0, "as_of": False, "optional": False, "by": "interval"}
    wait = {
        "table": packed("a.reader"),
        "inputs": [{"table": packed("a.old"), **asked}, {"table": packed("a.new"), **asked}],
        "start": "2026-05-01T10:00:00+00:00",
        "end": "2026-05-01T11:00:00+00:00",
        "owner": "a.reader/manual",
        "since": "2026-05-01T11:05:00+00:00",
    }
    kwargs = json.loads(json.dumps({"wait": wait, "until": "2100-01-01T00:00:00+00:00"}))
    trigger = import_string("feedmill.triggers.LedgerTrigger")(**kwargs)
    publish(ledger, OLD)
    assert asyncio.run(event(trigger, 1)) is None
    publish(ledger, NEW)
    fired = asyncio.run(event(trigger, 10))
    assert fired == {"ready": True}
    task.resume(CONTEXT, fired)


def test_one_poller_asks_the_ledger_for_all_who_wait(
    task: WaitForInputs, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    look = triggers._look

    def counted(ledger: Ledger, waits: list[Wait]) -> Any:
        asked.append(len(waits))
        return look(ledger, waits)

    monkeypatch.setattr(triggers, "_look", counted)
    monkeypatch.setattr(triggers, "SHORTEST_PAUSE", 1)
    monkeypatch.setattr(triggers, "PAUSE_PER_LOOK", 0)
    waits = [Wait(READER, SPAN, f"dag/{n}", START) for n in range(5)]

    async def all_events() -> list[Any]:
        # Their time is up, so that each is answered by the first look.
        return await asyncio.gather(*(event(LedgerTrigger(w.packed(), START.isoformat()), 10) for w in waits))

    for fired in asyncio.run(all_events()):
        assert fired["ready"] is False
        assert "waiting for a.old 2026-05-01T10 and 1 more since 10:00. It belongs to team" in fired["why"]
    assert sum(asked) == 5
    assert len(asked) <= 2, "whoever comes between two rounds is asked for with the others"


def test_a_look_that_takes_long_is_followed_by_a_longer_pause(
    task: WaitForInputs, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def slow(ledger: Ledger, waits: list[Wait]) -> Any:
        asked.append(len(waits))
        time.sleep(0.2)
        return {}

    monkeypatch.setattr(triggers, "_look", slow)
    trigger = LedgerTrigger(Wait(READER, SPAN, "dag/1", START).packed(), START.isoformat())
    assert asyncio.run(event(trigger, 1.5)) is None
    assert asked == [1], "a tenth of one processor is the poller's, at most"
