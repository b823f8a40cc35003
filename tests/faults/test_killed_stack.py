"""Whatever of the local stack is killed, one ``make up`` repairs it, also while builds run; and no log holds a secret.

One stack for all kills: each part alone, then pairs. The seed of the order and of the pairs is printed;
``FEEDMILL_FAULT_SEED`` repeats it.
"""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from ground import LANDED, START, Ground, hour, until, until_green

from feedmill.airflow_api import AirflowApi
from feedmill.deployment import Deployment
from feedmill.lake.catalog import Lake
from feedmill.ledger.store import Ledger
from feedmill.local import stack
from feedmill.local.airflow import COMMANDS, LOGIN
from feedmill.local.home import Home, free_ports
from feedmill.local.postgres import Postgres
from feedmill.local.process import Component, leftovers
from feedmill.timeline import HOUR

log = logging.getLogger(__name__)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]

PARTS = ("postgres", "spark-supervisor", "spark", *COMMANDS, "watch")
PAIRS = 3
EVENTS = 400
AT_WORK = {"postgres", "spark", "scheduler"}
"""Parts that are killed in the middle of a build."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A whole stack of its own."""
    for name in [name for name in os.environ if name.startswith(("AIRFLOW_CONN_", "FEEDMILL_PORT_"))]:
        monkeypatch.delenv(name)
    # An hour that ends meanwhile would have a run of its own.
    monkeypatch.setenv("FEEDMILL_SINCE", "2100-01-01T00:00:00Z")
    made = Home(tmp_path / "home").prepare(ports=free_ports())
    try:
        stack.up(made, say=log.info)
        yield made
    finally:
        stack.down(made, say=log.info)
        left = leftovers(made)
        Postgres(made).delete()
    assert left == {}


@pytest.fixture
def ground(home: Home) -> Iterator[Ground]:
    """The stack's ledger and lake, and an hour of events for each kill."""
    from include.spark.sources import SOURCES
    from include.tables import TABLES

    for number in range(len(PARTS) + PAIRS):
        at = START + timedelta(hours=number)
        folder = home.landing / "events_jsonl" / HOUR.name_of(at)
        folder.mkdir(parents=True)
        event = {"event_time": at.isoformat(), "event_type": "impression", "item_id": "i", "user_id": "u"}
        lines = [json.dumps({"event_id": f"{number}-{n}", **event}) for n in range(EVENTS)]
        (folder / "a.jsonl").write_text("\n".join(lines))
    ledger = Ledger(Postgres(home).url("ledger"))
    properties = home.connections()["iceberg_default"].catalog_properties
    lake = Lake(properties, home.landing.as_uri(), home.pages.as_uri(), home.project)
    yield Ground(Deployment(home.project, TABLES, SOURCES, ledger, lake))
    ledger.engine.dispose()
    lake.catalog.close()


def test_whatever_is_killed_one_up_repairs_it(home: Home, ground: Ground) -> None:
    seed = int(os.environ.get("FEEDMILL_FAULT_SEED", random.SystemRandom().randrange(10**6)))
    sys.stdout.write(f"FEEDMILL_FAULT_SEED={seed}\n")
    draw = random.Random(seed)
    kills = [(part,) for part in draw.sample(PARTS, len(PARTS))]
    # Nobody is left to start the server, and its port is held for a moment.
    kills += [("spark", "spark-supervisor"), *(tuple(draw.sample(PARTS, 2)) for _ in range(PAIRS - 1))]
    table = ground.table(LANDED)
    airflow = stack.Airflow(home)
    api = AirflowApi(airflow.url, LOGIN, airflow.password)
    until(lambda: table.dag_id in api.known_dags(), 120, "the DAG")
    api.unpause([table])
    for number, parts in enumerate(kills):
        api.restate(table, hour(number), f"round-{number}")
        if AT_WORK & set(parts):
            until(lambda: ground.builds(state="running"), 120, f"a build at work, before {parts}")
        hung = _stop(home, "triggerer") if parts == ("postgres",) else None
        _kill(home, parts)
        begun = time.monotonic()
        stack.up(home, say=log.info)
        assert hung is None or Component(home, "triggerer").pid() != hung, "it lives, and does not answer"
        log.info("%s: up again after %.0f s", " and ".join(parts), time.monotonic() - begun)
        # On a busy machine one request for Airflow's health may take more than its five seconds.
        until(lambda: _conditions(home) == dict.fromkeys(PARTS, "running"), 30, f"a whole stack after {parts}")
    api.restate(table, hour(0, len(kills)), "all")
    # Builds that were killed with their scheduler hold the pool until Airflow misses their heartbeats, five minutes.
    until_green(api, table, "all", 600)
    assert len(ground.rows(LANDED)[LANDED]) == len(kills) * EVENTS
    until(lambda: ground.ills(mend=True) == [], 60, "a well deployment")
    _no_secret_anywhere(home)


def _conditions(home: Home) -> dict[str, str]:
    return {one.component: one.condition for one in stack.status(home)}


def _stop(home: Home, name: str) -> int:
    """Let it hang, as a scheduler does that waits for the end of a task."""
    pid = Component(home, name).pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    return pid


def _kill(home: Home, parts: tuple[str, ...]) -> None:
    for name in parts:
        # Of Spark and its supervisor, the one that is killed first may bring the other back.
        until(lambda name=name: Component(home, name).pid(), 60, name)
        pid = Component(home, name).pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda name=name, pid=pid: Component(home, name).pid() != pid, 10, f"the end of {name}")


def _no_secret_anywhere(home: Home) -> None:
    """Neither in a log, a task's included, nor on a command line."""
    logs = [path for path in home.logs.rglob("*") if path.is_file()]
    assert {"spark.log", "scheduler.log", "postgres.log"} <= {path.name for path in logs}
    assert any("attempt=1.log" in path.name for path in logs)
    texts = {str(path): path.read_text(errors="replace") for path in logs}
    for process in psutil.process_iter():
        if process.is_running():
            texts[f"command line of {process.pid}"] = " ".join(_arguments(process))
    found = [(where, secret[:4]) for secret in home.secrets() for where, text in texts.items() if secret in text]
    assert found == []


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
