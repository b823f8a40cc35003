"""Airflow in this process: a database of its own, the project's DAGs, the test's deployment behind the operators."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from feedmill.deployment import Deployment


@pytest.fixture(scope="session")
def airflow_database(airflow_home: str) -> None:
    """Airflow's own tables, in SQLite: nothing here runs concurrently."""
    from airflow.models.pool import Pool
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session

    initdb()
    with create_session() as session:
        Pool.create_or_update_pool("spark", 2, "builds", include_deferred=False, session=session)


@pytest.fixture
def run_dag(
    airflow_database: None, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, str]]:
    """Run a table's DAG for a range as a real DAG run; the state of each task, ``dag`` for the run's."""
    monkeypatch.setattr("feedmill.deployment.open_deployment", lambda: deployment)
    # A retry would wait half a minute.
    monkeypatch.setattr("feedmill.airflow.dag.DEFAULTS", {"retries": 0})

    def run(
        name: str,
        start: datetime | None,
        end: datetime | None,
        *,
        marked: str | None = None,
        logical_date: datetime | None = None,
    ) -> dict[str, str]:
        from airflow.dag_processing.dagbag import DagBag

        dag = DagBag(str(deployment.project / "dags")).dags[name]
        conf = {"start": start.isoformat(), "end": end.isoformat()} if start and end else None
        dag_run = dag.test(run_conf=conf, mark_success_pattern=marked, logical_date=logical_date)
        states = {ti.task_id: str(ti.state) for ti in dag_run.get_task_instances()}
        return {**states, "dag": str(dag_run.state)}

    return run
