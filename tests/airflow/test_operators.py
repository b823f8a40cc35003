"""What Airflow does to a task at work."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from feedmill.airflow.operators import Build
from feedmill.deployment import Deployment, project_path
from feedmill.ledger.store import Ledger

CONTEXT: Any = {
    "params": {"start": "2026-05-01T10:00:00+00:00", "end": "2026-05-01T11:00:00+00:00"},
    "dag_run": SimpleNamespace(dag_id="events.landed", run_id="manual"),
}


def test_a_build_that_airflow_ends_knows_so_before_its_query_is_cancelled(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    from include.tables import TABLES

    opened = Deployment(project_path(), TABLES, {}, ledger, None)  # type: ignore[arg-type]
    task = Build(task_id="build", table="events.landed")
    told: list[tuple[str, bool]] = []

    def built(
        _table: object,
        _span: object,
        _deployment: object,
        _owner: str,
        started: Callable[[str], None],
        stopped: Callable[[], bool],
    ) -> Any:
        assert not stopped()
        started("session")
        monkeypatch.setattr("feedmill.spark.session.interrupt", lambda session: told.append((session, stopped())))
        task.on_kill()
        return SimpleNamespace(build_id="done")

    monkeypatch.setattr("feedmill.deployment.open_deployment", lambda: opened)
    monkeypatch.setattr("feedmill.flow.build.build", built)
    assert task.execute(CONTEXT) == "done"
    assert told == [("session", True)]
