"""The demo builds the tables that it names, in an order that keeps nobody waiting, and leaves the rest alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from feedmill.airflow_api import Run
from feedmill.demo import week
from feedmill.demo.week import TABLES as DEMO
from feedmill.demo.week import DemoError
from feedmill.spec import Files, Input
from feedmill.timeline import HOUR, Range, hours
from include.tables import TABLES

START = datetime(2026, 5, 1, tzinfo=UTC)
FIRST_HOURS = Range(START, START + hours(2), HOUR)


def test_the_demo_s_tables_are_of_the_map_and_read_nothing_that_the_demo_does_not_build():
    for name in DEMO:
        inputs = [entry for entry in TABLES[name].inputs if not isinstance(entry, Files)]
        assert {entry.table.name for entry in inputs if isinstance(entry, Input)} <= set(DEMO), name


def test_the_first_hours_go_one_by_one_and_one_range_holds_all_that_follows() -> None:
    now = START + hours(180)
    assert week._split(Range(START, now, HOUR), FIRST_HOURS) == (FIRST_HOURS, [Range(START + hours(2), now, HOUR)])
    later = Range(START + hours(9), now, HOUR)
    assert week._split(later, FIRST_HOURS) == (None, [later])
    assert week._split(later, None) == (None, [later]), "a daily table"


def test_the_table_that_all_others_wait_for_is_the_demo_s_and_reads_files_alone() -> None:
    assert week.FIRST in DEMO
    assert all(isinstance(entry, Files) for entry in TABLES[week.FIRST].inputs)


def test_scheduled_runs_and_those_of_before_are_not_waited_for() -> None:
    before = {("events.landed", "demo__1")}
    runs = [Run("events.landed", f"{kind}__1", "running") for kind in ("demo", "scheduled", "backfill")]
    assert [run.run_id for run in runs if week._is_ours(run, before)] == ["backfill__1"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time that passes with every sleep alone."""
    clock = [0.0]
    monkeypatch.setattr("feedmill.demo.week.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("feedmill.demo.week.time.sleep", lambda _seconds: clock.__setitem__(0, clock[0] + 600))
    return clock


def test_the_demo_is_patient_as_long_as_runs_end(impatient: list[float]) -> None:
    def runs_of() -> list[Run]:
        over = int(impatient[0] // 700)
        return [Run("events.landed", str(n), "success" if n < over else "running") for n in range(5)]

    said: list[str] = []
    week.finish(runs_of, None, said.append)  # type: ignore[arg-type]
    assert said[-1] == "5 of 5 runs are done"
    assert impatient[0] > week.PATIENCE.total_seconds()


def test_the_demo_gives_up_when_nothing_ends_any_more(impatient: list[float]) -> None:
    with pytest.raises(DemoError, match=r"2 runs are not done, and none has ended for 15 minutes"):
        week.finish(lambda: [Run("events.landed", str(n), "running") for n in range(2)], None, lambda _: None)  # type: ignore[arg-type]
