"""Processes that are killed, the deployment that they work on, and what is seen there afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update

from feedmill import connections
from feedmill.airflow_api import AirflowApi
from feedmill.deployment import Deployment
from feedmill.doctor import examination, rules
from feedmill.doctor.rule import Finding
from feedmill.flow.build import build
from feedmill.flow.check import check
from feedmill.flow.job import Job
from feedmill.flow.publish import Outcome, publish
from feedmill.freshness.load import load
from feedmill.freshness.staleness import stale_because
from feedmill.ledger.claims import CLAIM_EXPIRES
from feedmill.ledger.models import Build, Claim, File, Intent, Verdict
from feedmill.local.process import Component
from feedmill.spec import Table
from feedmill.timeline import HOUR, Range

START = datetime(2026, 5, 1, 10, tzinfo=UTC)
HOURS = 4
LANDED, CLEAN = "events.landed", "events.clean"
HOURLY = (LANDED, "events.rejected", CLEAN, "rollups.item_engagement_hourly")

Rows = dict[str, list[tuple[str, ...]]]


def hour(first: int, end: int | None = None) -> Range:
    """Hours of the ground, as a range."""
    return Range(START + timedelta(hours=first), START + timedelta(hours=first + 1 if end is None else end), HOUR)


@dataclass
class Ground:
    """A deployment to kill things on."""

    deployment: Deployment

    def table(self, name: str) -> Table:
        return self.deployment.tables[name]

    def connections(self) -> dict[str, str]:
        """The environment in which a process works on this deployment."""
        lake, url = self.deployment.lake, self.deployment.ledger.engine.url
        own = {"extra": {**lake.properties, "landing": lake.landing, "pages": lake.pages}}
        ledger = {"conn_type": "postgres", "host": url.host, "port": url.port, "schema": url.database}
        ledger |= {"login": url.username, "password": url.password}
        return {
            f"AIRFLOW_CONN_{connections.LEDGER.upper()}": json.dumps(ledger),
            f"AIRFLOW_CONN_{connections.ICEBERG.upper()}": json.dumps({"conn_type": "iceberg", **own}),
            "PYTHONPATH": os.pathsep.join([str(self.deployment.project), str(self.deployment.project / "plugins")]),
        }

    def start(self, verb: str, tables: str, what: Range | str, *options: str) -> subprocess.Popen[str]:
        """A child process at work; see ``child.py``."""
        if isinstance(what, Range):
            what = f"{what.start.isoformat()}/{what.end.isoformat()}"
        return subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("child.py")), verb, tables, what, *options],
            env={**os.environ, **self.connections()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def killed(self, verb: str, tables: str, what: Range | str, step: str, *options: str) -> None:
        """Run a child that dies at that step, by its own hand and by SIGKILL."""
        code, said = self._run(verb, tables, what, "--at", step, *options)
        assert code == -signal.SIGKILL, f"it never came to {step}: {said}"

    def robbed(self, verb: str, tables: str, what: Range | str, step: str, server: Component) -> tuple[int, str]:
        """Run a child that kills a server at that step and goes on; its exit code, and what it said."""
        pid = server.pid()
        assert pid is not None
        code, said = self._run(verb, tables, what, "--at", step, "--do", str(pid))
        assert server.pid() != pid, f"it never came to {step}: {said}"
        return code, said

    def _run(self, *arguments: Any) -> tuple[int, str]:
        child = self.start(*arguments)
        with at_once([child]):
            _, said = child.communicate(timeout=600)
        return child.returncode, said

    def build(self, name: str, span: Range, owner: str = "test/run") -> str:
        """Build and check; the build's id."""
        build_id = build(Job(self.table(name), span, self.deployment, owner)).build_id
        check(self.table(name), build_id, self.deployment)
        return build_id

    def publish(self, name: str, build_id: str) -> Outcome:
        return publish(self.table(name), build_id, self.deployment.ledger, self.deployment.lake)

    def make(self, name: str, span: Range, owner: str = "test/run") -> str:
        """Build, check and publish; the build's id."""
        build_id = self.build(name, span, owner)
        self.publish(name, build_id)
        return build_id

    def rows(self, *names: str) -> Rows:
        """What readers of main see."""
        found = {}
        for name in names:
            table = self.deployment.lake.load(self.table(name)).scan().to_arrow().to_pylist()
            found[name] = sorted(tuple(str(value) for value in row.values()) for row in table)
        return found

    def ills(self, mend: bool = False) -> list[Finding]:
        """What the doctor finds, after mending where asked."""
        tables = list(self.deployment.tables)
        if mend:
            rules.mend(self.deployment, tables, datetime.now(UTC))
        return rules.findings(examination.examine(self.deployment, tables, datetime.now(UTC), rows=False))

    def stale(self, name: str) -> list[datetime]:
        with self.deployment.ledger.transaction() as session:
            known = load(session, self.deployment.tables)
        table = self.table(name)
        return [p for p in sorted(known.published.get(name, {})) if stale_because(table, p, known)]

    def builds(self, **wanted: str) -> list[Build]:
        """Builds by columns, oldest first."""
        with self.deployment.ledger.transaction() as session:
            return list(session.scalars(select(Build).filter_by(**wanted).order_by(Build.begin)))

    def registered(self) -> int:
        with self.deployment.ledger.transaction() as session:
            return session.scalar(select(func.count()).select_from(File)) or 0

    def open_intents(self) -> list[str]:
        """Builds whose publish has said what it moves, and has not recorded it."""
        with self.deployment.ledger.transaction() as session:
            return list(session.scalars(select(Intent.build_id).where(Intent.finished_at.is_(None))))

    def verdicts(self) -> int:
        with self.deployment.ledger.transaction() as session:
            return session.scalar(select(func.count()).select_from(Verdict)) or 0

    def forget_heartbeats(self) -> None:
        """Let 45 seconds pass."""
        with self.deployment.ledger.transaction() as session:
            session.execute(update(Claim).values(heartbeat_at=func.now() - CLAIM_EXPIRES - timedelta(seconds=5)))


@contextmanager
def at_once(children: list[subprocess.Popen[str]]) -> Iterator[None]:
    """None of the children outlives the test."""
    try:
        yield
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
            if child.stderr is not None and not child.stderr.closed:
                child.communicate()


def until(true: Callable[[], Any], seconds: float, what: str) -> None:
    """Wait for it, or fail with what was waited for."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"{what} did not come in {seconds} s"
        time.sleep(0.05)


def until_green(api: AirflowApi, table: Table, run_id: str, seconds: float = 240) -> int:
    """Wait until the run is green, clearing what is red; how often that was necessary."""
    for clears in range(3):

        def state() -> str:
            return {run.run_id: run.state for run in api.runs(table)}[run_id]

        until(lambda: state() in ("success", "failed"), seconds, f"the end of {run_id}")
        if state() == "success":
            return clears
        body = {"dry_run": False, "dag_run_id": run_id, "only_failed": True, "include_downstream": True}
        body["run_on_latest_version"] = True
        api._call("POST", f"/api/v2/dags/{table.dag_id}/clearTaskInstances", body)
    raise AssertionError(f"{run_id} is red after two clears: {api.failed_tasks()}")
