"""SIGKILL to Airflow's scheduler while its tasks build, check and publish; then it is started again.

The tasks of LocalExecutor are processes of their own and survive their scheduler. What then becomes of them depends on
who starts the next one. ``make up`` ends them first. Where nobody does, Airflow runs the same task again beside the
first, once the dead scheduler's heartbeat is old: the retry must cope with a first try that still works.

Nothing is slowed down or mocked: a lock on one table of PostgreSQL makes a task stand still where it would write there.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg2
import pytest
from ground import HOURS, LANDED, Ground, Rows, hour, until, until_green

from feedmill.airflow_api import AirflowApi
from feedmill.local.airflow import LOGIN, Airflow
from feedmill.local.home import Home
from feedmill.local.postgres import Postgres
from feedmill.local.process import kill, leftovers

log = logging.getLogger(__name__)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

# Airflow's own, shorter: 30 s until a scheduler is dead, 300 s until somebody looks.
HASTE = {
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
}

# An hour that ends meanwhile would have a run of its own, which waits at the same locks.
NO_SCHEDULE = {"FEEDMILL_SINCE": "2100-01-01T00:00:00Z"}


@dataclass
class Stack:
    """Airflow on the test's deployment."""

    airflow: Airflow
    postgres: Postgres
    ledger: str
    """The name of the ledger's database."""
    api: AirflowApi

    @contextmanager
    def locked(self, table: str) -> Iterator[Callable[[], bool]]:
        """Nobody writes to this table; tells whether somebody waits to."""
        database = "iceberg" if table == "iceberg_tables" else self.ledger
        connection = psycopg2.connect(self.postgres.url(database).replace("+psycopg2", ""))
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")

                def waits() -> bool:
                    cursor.execute(
                        "SELECT count(*) FROM pg_locks WHERE relation = %s::regclass AND NOT granted "
                        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                        (table,),
                    )
                    return bool(cursor.fetchone()[0])

                yield waits
        finally:
            connection.close()

    def kill_scheduler(self) -> dict[int, str]:
        """SIGKILL to the scheduler alone; who of its processes goes on."""
        component = self.airflow.components["scheduler"]
        pid = component.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: component.pid() is None, 10, "the scheduler's end")
        return leftovers(self.airflow.home)


@pytest.fixture
def stack(
    ground: Ground, home: Home, postgres: Postgres, clean_rows: Callable[..., Rows], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stack]:
    """Airflow's four processes as ``make up`` starts them, on the ground's ledger and lake."""
    clean_rows()
    for name, value in {**ground.connections(), **HASTE, **NO_SCHEDULE}.items():
        monkeypatch.setenv(name, value)
    home.prepare()
    airflow = Airflow(home)
    try:
        airflow.set_up()
        airflow.launch()
        airflow.wait(240)
        api = AirflowApi(airflow.url, LOGIN, airflow.password)
        table = ground.table(LANDED)
        until(lambda: table.dag_id in api.known_dags(), 120, "the DAG")
        api.unpause([table])
        database = ground.deployment.ledger.engine.url.database
        assert database is not None
        yield Stack(airflow, postgres, database, api)
    finally:
        airflow.stop()
        kill(leftovers(home))


@dataclass(frozen=True)
class Moment:
    """When the scheduler is killed: while its task of an hour waits to write to a table."""

    name: str
    hour: int
    locked: tuple[str, ...]
    """The ledger's or catalog's tables that are locked, one after the other: the task passes all but the last."""
    survivors: str
    """What becomes of the dead scheduler's tasks."""


END_THEM, LET_THEM_LIVE = "make up ends them", "they live on"

MOMENTS = (
    Moment("discovery", 0, ("files",), END_THEM),
    Moment("the build's first commit", 1, ("iceberg_tables",), LET_THEM_LIVE),
    Moment("the check, before its verdicts", 2, ("verdicts",), END_THEM),
    Moment("the publish, before its intent", 3, ("intents",), END_THEM),
    # From here on hours that are published already: the same rows, by the same steps.
    Moment("the publish's commit", 0, ("intents", "iceberg_tables"), LET_THEM_LIVE),
    Moment("the publish, after its commit, before the ledger's rows", 1, ("publishes",), END_THEM),
    Moment("the publish, before the branch is dropped", 2, ("publishes", "iceberg_tables"), END_THEM),
)


def test_the_scheduler_is_killed_and_started_again(
    ground: Ground, stack: Stack, clean_rows: Callable[..., Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.deployment.lake.ensure(ground.table(LANDED))
    for number, moment in enumerate(MOMENTS):
        begun = time.monotonic()
        run_id = f"killed-{number}"
        _kill_and_start_again(ground, stack, run_id, moment)
        clears = until_green(stack.api, ground.table(LANDED), run_id)
        log.info(
            "%s, %s: green after %.0f s, %d clears", moment.name, moment.survivors, time.monotonic() - begun, clears
        )
        assert clears <= 1, moment.name
        assert ground.rows(LANDED) == clean_rows(LANDED, span=hour(0, min(number + 1, HOURS))), moment.name
        with monkeypatch.context() as patch:
            # To the doctor, files from before the history would be files that no schedule reads.
            patch.delenv("FEEDMILL_SINCE")
            assert ground.ills(mend=True) == [], moment.name
    states = [build.state for build in ground.builds()]
    assert states == ["built", "interrupted", "built", *["built"] * (len(MOMENTS) - 2)]


def _kill_and_start_again(ground: Ground, stack: Stack, run_id: str, moment: Moment) -> None:
    table = ground.table(LANDED)
    with ExitStack() as last:
        waits = last.enter_context(stack.locked(moment.locked[0]))
        stack.api.restate(table, hour(moment.hour), run_id)
        until(waits, 120, f"{run_id}, {moment.name}: the task at {moment.locked[0]}")
        for name in moment.locked[1:]:
            with last.pop_all():
                waits = last.enter_context(stack.locked(name))
            until(waits, 120, f"{run_id}, {moment.name}: the task at {name}")
        orphans = stack.kill_scheduler()
        assert orphans, "LocalExecutor's tasks outlive it"
        assert waits(), "the task is still at it"
        if moment.survivors == END_THEM:
            kill(orphans)
        stack.airflow.launch("scheduler")
        if moment.locked == ("iceberg_tables",):
            owner = f"{table.dag_id}/{run_id}"
            until(lambda: len(ground.builds(owner=owner)) == 2, 180, "the retry beside the first try")
            assert waits(), "the first try's statement still runs"
