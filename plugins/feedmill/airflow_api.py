"""A small client of Airflow's REST API, for the demo and for scripts that restate. It does not import Airflow."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.spec import Table
from feedmill.timeline import Range


class AirflowApiError(FeedmillError, code=Exit.UNREACHABLE, retry=True, turn=Turn.OPERATOR):
    """Airflow does not answer, or refused a request; the message says which request and why."""

    status: int | None = None
    """The HTTP status of a refusal; None: there was no answer."""


@dataclass(frozen=True)
class Run:
    """A DAG run."""

    dag_id: str
    run_id: str
    state: str

    @property
    def is_scheduled(self) -> bool:
        """Whether Airflow's schedule made it, by itself."""
        return self.run_id.startswith("scheduled__")

    @property
    def is_over(self) -> bool:
        """Whether it has succeeded or failed."""
        return self.state in ("success", "failed")


class AirflowApi:
    """Airflow's REST API, logged in."""

    def __init__(self, url: str, user: str, password: str, *, attempts: int = 5, timeout: float = 60):
        """Log in at ``url``. A request is tried ``attempts`` times and waits ``timeout`` seconds for an answer.

        Raises:
            AirflowApiError: Airflow does not answer, or rejects the login.
        """
        self._attempts = attempts
        self._http = httpx.Client(base_url=url, timeout=timeout)
        self._http.headers["Authorization"] = f"Bearer {self._login(user, password)}"

    def _login(self, user: str, password: str) -> str:
        token = self._call("POST", "/auth/token", {"username": user, "password": password})["access_token"]
        return str(token)

    def unpause(self, tables: Iterable[Table]) -> None:
        """Unpause the tables' DAGs."""
        for table in tables:
            self._call("PATCH", f"/api/v2/dags/{table.dag_id}", {"is_paused": False})

    def known_dags(self) -> set[str]:
        """The ids of the DAGs that Airflow has parsed."""
        return {dag["dag_id"] for dag in self.dags()}

    def dags(self) -> list[dict[str, Any]]:
        """The DAGs that Airflow has parsed, as it describes them."""
        return list(self._pages("/api/v2/dags?order_by=dag_id", "dags"))

    def health(self) -> dict[str, Any]:
        """Airflow's own report on its parts."""
        return self._call("GET", "/api/v2/monitor/health")

    def import_errors(self) -> list[dict[str, Any]]:
        """The DAG files that Airflow cannot parse."""
        return list(self._pages("/api/v2/importErrors?order_by=id", "import_errors"))

    def tasks_failed_since(self, moment: datetime) -> list[dict[str, Any]]:
        """The task instances of all DAGs that have failed since then, as Airflow describes them."""
        query = f"state=failed&end_date_gte={moment:%Y-%m-%dT%H:%M:%SZ}&order_by=id"
        return list(self._pages(f"/api/v2/dags/~/dagRuns/~/taskInstances?{query}", "task_instances"))

    def newest_ends(self, dag_id: str, task_id: str, count: int = 1) -> list[dict[str, Any]]:
        """The runs of one task that ended last, whether it succeeded or failed; newest first."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/~/taskInstances"
        query = f"task_id={quote(task_id)}&state=success&state=failed&order_by=-end_date&limit={count}"
        return list(self._call("GET", f"{path}?{query}")["task_instances"])

    def paused_dags(self) -> set[str]:
        """The ids of the DAGs that are paused."""
        return {dag["dag_id"] for dag in self._pages("/api/v2/dags?paused=true&order_by=dag_id", "dags")}

    def runs_in(self, states: Iterable[str], ended_after: datetime | None = None) -> list[dict[str, Any]]:
        """The runs of all DAGs that are in one of these states, as Airflow describes them, oldest first."""
        query = "".join(f"&state={state}" for state in states)
        if ended_after is not None:
            query += f"&end_date_gte={ended_after:%Y-%m-%dT%H:%M:%SZ}"
        return list(self._pages(f"/api/v2/dags/~/dagRuns?order_by=id{query}", "dag_runs"))

    def _pages(self, path: str, what: str) -> Iterator[dict[str, Any]]:
        """All entries of a list, page by page."""
        offset, more = 0, True
        while more:
            # A page has at most a hundred, even if more are asked for.
            page = self._call("GET", f"{path}&limit=100&offset={offset}")
            yield from page[what]
            offset += len(page[what])
            more = bool(page[what]) and offset < page["total_entries"]

    def restate(self, table: Table, span: Range, run_id: str) -> None:
        """Trigger the table's DAG for a range, as its trigger form does."""
        conf = {"start": span.start.isoformat(), "end": span.end.isoformat()}
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        self._call("POST", f"/api/v2/dags/{table.dag_id}/dagRuns", body)

    def backfill(self, table: Table, span: Range) -> None:
        """Ask Airflow for one run for each partition of the range."""
        body = {
            "dag_id": table.dag_id,
            "from_date": span.start.isoformat(),
            # Airflow includes the interval that starts at to_date.
            "to_date": (span.end - table.every.length).isoformat(),
            "reprocess_behavior": "failed",
            "max_active_runs": 8,
            # A failed run that is cleared runs today's code too, whatever Airflow's configuration says.
            "run_on_latest_version": True,
        }
        self._call("POST", "/api/v2/backfills", body)

    def runs(self, table: Table) -> list[Run]:
        """The newest runs of a table's DAG, at most a hundred."""
        found = self._call("GET", f"/api/v2/dags/{table.dag_id}/dagRuns?limit=100&order_by=-run_after")["dag_runs"]
        return [Run(run["dag_id"], run["dag_run_id"], run["state"]) for run in found]

    def newest_runs(self, tables: Iterable[Table]) -> list[Run]:
        """The runs of these tables' DAGs that were made last, a hundred at most, in one request."""
        body = {"dag_ids": [table.dag_id for table in tables], "order_by": "-id", "page_limit": 100}
        found = self._call("POST", "/api/v2/dags/~/dagRuns/list", body)["dag_runs"]
        return [Run(run["dag_id"], run["dag_run_id"], run["state"]) for run in found]

    def has_started(self, table: Table, run_id: str, task_id: str) -> bool:
        """Whether this task of the run has begun."""
        task = self._call("GET", f"/api/v2/dags/{table.dag_id}/dagRuns/{run_id}/taskInstances/{task_id}")
        return task["state"] in ("running", "success", "failed")

    def failed_tasks(self) -> list[str]:
        """``<dag> <run> <task>`` of every failed task instance."""
        body = {"state": ["failed"]}
        found = self._call("POST", "/api/v2/dags/~/dagRuns/~/taskInstances/list", body)["task_instances"]
        return [f"{task['dag_id']} {task['dag_run_id']} {task['task_id']}" for task in found]

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        for attempt in range(self._attempts):
            try:
                answer = self._http.request(method, path, json=body)
                break
            except httpx.TransportError as error:
                if attempt == self._attempts - 1:
                    raise AirflowApiError(
                        f"Airflow does not answer at {self._http.base_url} ({error}); "
                        "`feedmill stack status` shows what runs"
                    ) from error
                time.sleep(2)
        if answer.is_error:
            refusal = AirflowApiError(f"Airflow refused {method} {path}: {answer.status_code} {answer.text[:300]}")
            refusal.status = answer.status_code
            raise refusal
        try:
            return dict(answer.json())
        except ValueError as error:
            raise AirflowApiError(f"What answers {method} {path} at {self._http.base_url} is no Airflow") from error
