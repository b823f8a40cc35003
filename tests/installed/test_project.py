"""A project that has the wheel, as a Git repository from which a real Airflow takes its DAGs.

Nobody's PYTHONPATH names the project: each task imports ``include`` from the version of the repository that its run
has, and ``feedmill`` from the wheel.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text

from feedmill import connections
from feedmill.airflow_api import AirflowApi
from feedmill.connections import Connection
from feedmill.deployment import Deployment
from feedmill.freshness.load import load
from feedmill.lake.catalog import Lake
from feedmill.ledger.store import Ledger
from feedmill.local.airflow import LOGIN, Airflow
from feedmill.local.home import Home, free_ports
from feedmill.local.postgres import Postgres
from feedmill.local.process import kill, leftovers, wait_until
from feedmill.timeline import HOUR, Range
from include.tables import TABLES, clean, landed, rejected

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

START = datetime(2026, 5, 1, 10, tzinfo=UTC)
GUARDED, UNGUARDED = landed, rejected

UNGUARD = f"""
if "{UNGUARDED.name}" in globals():
    globals()["{UNGUARDED.name}"].rerun_with_latest_version = None
"""

MISTAKE = """

def transform(*_, **__):
    raise ValueError("the mistake of the second commit")
"""


def hour(number: int) -> Range:
    return Range.one(START + timedelta(hours=number), HOUR)


class Installed(Airflow):
    """Airflow with the wheel, a Git bundle, and neither a DAGs nor a plugins folder."""

    def __init__(self, home: Home, python: str, **env: str):
        super().__init__(home, python)
        self.env = env

    def environment(self) -> dict[str, str]:
        return {**super().environment(), **self.env}


@dataclass
class Site:
    """The repository, the Airflow that reads it, and what its tasks work on."""

    repository: Path
    api: AirflowApi
    url: str
    deployment: Deployment

    def commit(self, message: str) -> str:
        """Everything as it is now; its id."""
        _git(self.repository, "add", "--all")
        _git(self.repository, "commit", "--quiet", "--message", message)
        return _git(self.repository, "rev-parse", "HEAD")

    def wait_for_version(self, commit: str) -> None:
        """Until new runs of both tables begin with this commit."""

        def known() -> bool:
            for table in (GUARDED, UNGUARDED):
                dag = self.ask(f"/api/v2/dags/{table.dag_id}")
                versions = self.ask(f"/api/v2/dags/{table.dag_id}/dagVersions?order_by=-version_number")
                newest = versions["dag_versions"][0]["bundle_version"]
                if (dag["bundle_version"], newest) != (commit, commit):
                    return False
            return True

        assert wait_until(known, 180), f"Airflow did not read {commit}"

    def ask(self, path: str) -> dict[str, Any]:
        return self.api._call("GET", path)

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return self.ask(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")

    def task(self, dag_id: str, run_id: str, task: str) -> dict[str, Any]:
        return self.ask(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task}")

    def ended(self, dag_id: str, run_id: str) -> str:
        """The run's state at its end."""
        assert wait_until(lambda: self.run(dag_id, run_id)["state"] in ("success", "failed"), 400, every=1)
        return str(self.run(dag_id, run_id)["state"])

    def clear_build(self, dag_id: str, run_id: str, **how: bool) -> None:
        """What a person does in the grid; the versions are left to Airflow and the DAG where ``how`` says nothing."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": ["build"], "only_failed": False}
        self.api._call("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", {**body, "include_downstream": True, **how})

    def published(self, name: str) -> list[datetime]:
        with self.deployment.ledger.transaction() as session:
            return sorted(load(session, [self.deployment.tables[name]]).published.get(name, {}))


def _git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def _land(folder: Path) -> None:
    for number in range(3):
        events = folder / "events_jsonl" / HOUR.name_of(hour(number).start)
        events.mkdir(parents=True)
        row = {"event_id": f"e{number}", "event_time": hour(number).start.isoformat(), "event_type": "click"}
        (events / "a.jsonl").write_text(json.dumps({**row, "item_id": "i1"}) + "\n{broken\n")


def _variables(ledger: Ledger, lake: Lake) -> dict[str, str]:
    """The connections, as Airflow takes them from its environment."""
    url = ledger.engine.url
    fields = {"conn_type": "postgres", "host": url.host, "port": url.port, "schema": url.database}
    fields |= {"login": url.username, "password": url.password}
    extra = {**lake.properties, "landing": lake.landing, "pages": lake.pages}
    return {
        f"AIRFLOW_CONN_{connections.LEDGER.upper()}": json.dumps(fields),
        f"AIRFLOW_CONN_{connections.ICEBERG.upper()}": json.dumps({"conn_type": "iceberg", "extra": extra}),
    }


@pytest.fixture(scope="module")
def site(
    python: str,
    project: Path,
    postgres: Postgres,
    spark_connection: Connection,
    new_ledger: Callable[[], AbstractContextManager[Ledger]],
    new_lake: Callable[[Path], AbstractContextManager[Lake]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """All four processes of Airflow; Spark and PostgreSQL are those of the other tests."""
    folder = tmp_path_factory.mktemp("site")
    _land(folder / "landing")
    with (project / "dags" / "events.py").open("a") as file:
        file.write(UNGUARD)
    _git(project, "init", "--quiet", "--initial-branch", "main")
    database = f"airflow_{uuid.uuid4().hex[:8]}"
    admin = create_engine(postgres.url("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {database}"))
    bundle = {"tracking_ref": "main", "repo_url": str(project), "refresh_interval": 3}
    classpath = "airflow.providers.git.bundles.git.GitDagBundle"
    home = Home(folder / "home").prepare(ports=free_ports())
    with new_ledger() as ledger, new_lake(folder) as lake:
        airflow = Installed(
            home,
            python,
            **_variables(ledger, lake),
            PYTHONPATH="",
            # No hour is built by itself.
            FEEDMILL_SINCE="2100-01-01T00:00:00Z",
            AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=postgres.url(database),
            AIRFLOW__CORE__DAGS_FOLDER=str(folder / "no-dags"),
            AIRFLOW__CORE__PLUGINS_FOLDER=str(folder / "no-plugins"),
            AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL="0",
            AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL="10",
            AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL="2",
            AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH=str(folder / "bundles"),
            AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST=json.dumps(
                [{"name": "project", "classpath": classpath, "kwargs": bundle}]
            ),
        )
        opened = Site(project, None, airflow.url, Deployment(project, TABLES, {}, ledger, lake))  # type: ignore[arg-type]
        first = opened.commit("The project")
        try:
            airflow.set_up()
            airflow.launch()
            airflow.wait(300)
            opened = replace(opened, api=AirflowApi(airflow.url, LOGIN, airflow.password))
            dags = {"housekeeping", "watch", *(table.dag_id for table in TABLES)}
            assert wait_until(lambda: opened.api.known_dags() >= dags, 240), home.log_tail("dag-processor")
            opened.wait_for_version(first)
            opened.api.unpause([landed, rejected, clean])
            yield opened
        finally:
            airflow.stop()
            kill(leftovers(home))
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {database} WITH (FORCE)"))
    admin.dispose()


def test_airflow_lists_the_dags_without_import_errors_and_takes_the_plugin_from_the_wheel(site: Site) -> None:
    assert site.ask("/api/v2/importErrors")["import_errors"] == []
    assert site.api.known_dags() == {"housekeeping", "watch", *(table.dag_id for table in TABLES)}
    plugins = {plugin["name"]: plugin for plugin in site.ask("/api/v2/plugins")["plugins"]}
    assert "EntryPoint" in plugins["feedmill"]["source"]
    assert [app["url_prefix"] for app in plugins["feedmill"]["fastapi_apps"]] == ["/feedmill"]
    assert site.ask("/api/v2/plugins/importErrors")["total_entries"] == 0


def test_a_run_waits_in_the_triggerer_builds_checks_and_publishes_and_its_page_is_served(site: Site) -> None:
    site.api.restate(clean, hour(0), "waits")

    def deferred() -> bool:
        return site.task(clean.dag_id, "waits", "wait_for_inputs")["state"] == "deferred"

    assert wait_until(deferred, 120), site.task(clean.dag_id, "waits", "wait_for_inputs")
    trigger = site.task(clean.dag_id, "waits", "wait_for_inputs")["trigger"]
    assert trigger["classpath"] == "feedmill.airflow.triggers.LedgerTrigger"
    site.api.restate(landed, hour(0), "first")
    assert site.ended(landed.dag_id, "first") == "success"
    assert site.ended(clean.dag_id, "waits") == "success"
    assert hour(0).start in site.published(landed.name)
    assert hour(0).start in site.published(clean.name)
    links = site.ask(f"/api/v2/dags/{clean.dag_id}/dagRuns/waits/taskInstances/check/links")["extra_links"]
    with httpx.Client(base_url=site.url, headers=site.api._http.headers) as client:
        page = client.get(links["Check page"])
        assert (page.status_code, clean.name in page.text, "2026-05-01T10" in page.text) == (200, True, True)
        client.headers.pop("Authorization")
        assert client.get(links["Check page"]).status_code == 401


def test_a_cleared_build_runs_the_fixed_code_and_without_the_flag_the_old_code(site: Site) -> None:
    transforms = [site.repository / table.transform_path for table in (GUARDED, UNGUARDED)]
    good = [path.read_text() for path in transforms]
    for path in transforms:
        path.write_text(path.read_text() + MISTAKE)
    broken = site.commit("A mistake in both transforms")
    site.wait_for_version(broken)
    for table in (GUARDED, UNGUARDED):
        site.api.restate(table, hour(2), "mistaken")
    for table in (GUARDED, UNGUARDED):
        assert site.ended(table.dag_id, "mistaken") == "failed"
        assert site.task(table.dag_id, "mistaken", "build")["state"] == "failed"
        assert site.run(table.dag_id, "mistaken")["bundle_version"] == broken
    for path, text_before in zip(transforms, good, strict=True):
        path.write_text(text_before)
    fixed = site.commit("The mistake is fixed")
    site.wait_for_version(fixed)
    for table in (GUARDED, UNGUARDED):
        site.clear_build(table.dag_id, "mistaken")
    assert site.ended(GUARDED.dag_id, "mistaken") == "success"
    assert site.run(GUARDED.dag_id, "mistaken")["bundle_version"] == fixed
    assert site.published(GUARDED.name)[-1] == hour(2).start
    # Airflow's default, which is why each DAG has the flag.
    assert site.ended(UNGUARDED.dag_id, "mistaken") == "failed"
    assert site.task(UNGUARDED.dag_id, "mistaken", "build")["try_number"] == 2
    assert site.run(UNGUARDED.dag_id, "mistaken")["bundle_version"] == broken
    assert site.published(UNGUARDED.name) == []
    site.clear_build(UNGUARDED.dag_id, "mistaken", run_on_latest_version=True)
    assert site.ended(UNGUARDED.dag_id, "mistaken") == "success"
    assert site.published(UNGUARDED.name) == [hour(2).start]
