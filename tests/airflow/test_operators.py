"""What Airflow does to a task at work."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from feedmill.airflow.operators import Build, no_vain_retry
from feedmill.deployment import Deployment, project_path
from feedmill.flow.wait import FrozenError
from feedmill.lake.schema import DdlError
from feedmill.landing.listing import LandingUnavailableError
from feedmill.ledger.store import Ledger
from feedmill.spark.failures import SparkUnavailableError

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

    def built(_job: object, started: Callable[[str], None], stopped: Callable[[], bool]) -> Any:
        assert not stopped()
        started("session")
        monkeypatch.setattr("feedmill.spark.session.interrupt", lambda session: told.append((session, stopped())))
        task.on_kill()
        return SimpleNamespace(build_id="done")

    monkeypatch.setattr("feedmill.deployment.open_deployment", lambda: opened)
    monkeypatch.setattr("feedmill.flow.build.build", built)
    assert task.execute(CONTEXT) == "done"
    assert told == [("session", True)]


@pytest.mark.parametrize("error", [DdlError("no comment"), FrozenError("input expired")])
def test_an_error_that_would_come_again_fails_the_task_at_once(error: Exception) -> None:
    with pytest.raises(AirflowFailException, match=str(error)) as caught, no_vain_retry():
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [SparkUnavailableError("no answer"), LandingUnavailableError("no list"), OSError()])
def test_an_error_that_a_retry_may_help_is_left_to_airflow(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, no_vain_retry():
        raise error
    assert caught.value is error
