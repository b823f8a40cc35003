"""The client of Airflow's API."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from feedmill.airflow_api import AirflowApi
from feedmill.freshness.ask_airflow import ask, read
from include.tables import TABLES


def test_all_dags_are_known_though_airflow_gives_a_hundred_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    dags = [f"dag_{n:03}" for n in range(250)]
    pages: list[int] = []

    def asked(_api: AirflowApi, _method: str, path: str) -> dict[str, Any]:
        limit, offset = (int(re.search(rf"{name}=(\d+)", path)[1]) for name in ("limit", "offset"))  # type: ignore[index]
        page = dags[offset : offset + min(limit, 100)]
        if not pages:
            dags.insert(0, "a_dag_that_is_parsed_meanwhile")
        pages.append(offset)
        return {"dags": [{"dag_id": dag} for dag in page], "total_entries": len(dags)}

    monkeypatch.setattr(AirflowApi, "_call", asked)
    known = AirflowApi.__new__(AirflowApi).known_dags()
    assert pages == [0, 100, 200]
    assert known == set(dags) - {"a_dag_that_is_parsed_meanwhile"}


class Answers(AirflowApi):
    """An API that gives prepared answers, and remembers what it was asked."""

    def __init__(self, answers: dict[str, list[dict[str, Any]]]):
        self.answers, self.asked = answers, []

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        self.asked.append(path)
        what = "dag_runs" if "dagRuns" in path else "dags"
        state = re.search(r"(?:state|paused)=(\w+)", path)
        found = self.answers.get(state[1] if state else "", [])
        return {what: found, "total_entries": len(found)}


def test_what_only_airflow_knows_is_which_dags_are_paused_which_runs_live_and_which_ranges_failed() -> None:
    clean, daily = TABLES["events.clean"], TABLES["rollups.item_engagement_daily"]
    hour = {"data_interval_start": "2026-05-01T03:00:00Z", "data_interval_end": "2026-05-01T04:00:00Z"}
    over = {"end_date": "2026-05-01T04:10:00Z", "conf": {}}
    api = Answers(
        {
            "true": [{"dag_id": clean.dag_id}, {"dag_id": "somebody_elses"}],
            "queued": [{"dag_id": clean.dag_id, "dag_run_id": "scheduled__1"}],
            "failed": [
                {"dag_id": clean.dag_id, "dag_run_id": "scheduled__2", **hour, **over},
                {
                    "dag_id": daily.dag_id,
                    "dag_run_id": "manual__3",
                    "data_interval_start": None,
                    "data_interval_end": None,
                    **over,
                    "conf": {"start": "2026-04-01T00:00:00Z", "end": "2026-04-03T00:00:00Z"},
                },
                {"dag_id": "somebody_elses", "dag_run_id": "x", **hour, **over},
                {"dag_id": clean.dag_id, "dag_run_id": "wrong", **over, "conf": {"start": "2026-05-01T03:30:00Z"}},
            ],
        }
    )
    found = read(api, TABLES, datetime(2026, 5, 2, tzinfo=UTC))
    assert found.paused == {clean.dag_id}
    assert found.alive == {f"{clean.dag_id}/scheduled__1"}
    assert {dag: [str(run.span) for run in runs] for dag, runs in found.failed.items()} == {
        clean.dag_id: ["2026-05-01T03"],
        daily.dag_id: ["2026-04-01 to 2026-04-03"],
    }
    assert any("end_date_gte=2026-04-29T00:00:00Z" in path for path in api.asked), "old failures are not read"


def test_an_airflow_that_does_not_answer_leaves_its_facts_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_FEEDMILL_AIRFLOW", '{"conn_type": "http", "host": "127.0.0.1", "port": 9, "login": "admin"}'
    )
    assert ask(TABLES, datetime(2026, 5, 2, tzinfo=UTC)) is None
