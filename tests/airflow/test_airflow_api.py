"""The client of Airflow's API."""

from __future__ import annotations

import re
from typing import Any

import pytest

from feedmill.airflow_api import AirflowApi


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
