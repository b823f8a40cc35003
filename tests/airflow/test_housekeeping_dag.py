"""The DAG of the daily upkeep, as Airflow parses and runs it."""

from __future__ import annotations

import pytest

from feedmill.deployment import Deployment
from include.tables import TABLES


def test_each_table_has_a_task_of_its_maintainer_in_the_pool_of_spark_and_the_run_succeeds(
    airflow_database: None, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setattr("feedmill.deployment.open_deployment", lambda: deployment)
    monkeypatch.setattr("feedmill.airflow.dag.DEFAULTS", {"retries": 0})
    for table in TABLES.in_schema("events"):
        deployment.lake.ensure(table)
    dag = DagBag(str(deployment.project / "dags")).dags["housekeeping"]
    assert {task.task_id: (task.owner, task.pool) for task in dag.tasks} == {
        table.name: (table.maintainer.name, "spark") for table in TABLES
    }
    assert dag.tags == {"operation:housekeeping", *(f"maintainer:{table.maintainer.name}" for table in TABLES)}
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    run = dag.test()
    assert {ti.task_id: str(ti.state) for ti in run.get_task_instances()} == {t.name: "success" for t in TABLES}
