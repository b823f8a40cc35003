"""What only Airflow knows, read through its API: which DAGs are paused, which runs live, and which have failed."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from feedmill import connections
from feedmill.airflow_api import AirflowApi, AirflowApiError
from feedmill.freshness.facts import AirflowFacts, FailedRun
from feedmill.spec import Table
from feedmill.timeline import Range, parse

ALIVE = ("queued", "running")
"""States of a run that is not over."""

FAILURES_OF = timedelta(days=3)
"""How far back failed runs are read. Older ones whose partitions are still missing are overdue all the same."""

PATIENCE = 10.0
"""Seconds that Airflow has for an answer: whoever asks for the status must not wait for an Airflow that hangs."""

log = logging.getLogger(__name__)


def ask(tables: Iterable[Table], now: datetime) -> AirflowFacts | None:
    """Airflow's facts by the connection ``feedmill_airflow``; None where there is none, or Airflow does not answer."""
    try:
        found = connections.get(connections.AIRFLOW)
        url = f"{found.conn_type}://{found.host}:{found.port}"
        api = AirflowApi(url, found.login or "", found.password or "", attempts=1, timeout=PATIENCE)
        return read(api, tables, now)
    except (connections.ConnectionNotDefinedError, AirflowApiError) as error:
        log.info("Airflow was not asked: %s", error)
        return None


def read(api: AirflowApi, tables: Iterable[Table], now: datetime) -> AirflowFacts:
    """Airflow's facts of these tables.

    Raises:
        AirflowApiError: Airflow does not answer.
    """
    by_dag = {table.dag_id: table for table in tables}
    failed: defaultdict[str, list[FailedRun]] = defaultdict(list)
    for run in api.runs_in(["failed"], now - FAILURES_OF):
        table = by_dag.get(run["dag_id"])
        span = _range(table, run) if table is not None else None
        if span is not None and run.get("end_date"):
            failed[run["dag_id"]].append(FailedRun(span, run["dag_run_id"], parse(run["end_date"])))
    return AirflowFacts(
        paused=frozenset(api.paused_dags() & by_dag.keys()),
        alive=frozenset(f"{run['dag_id']}/{run['dag_run_id']}" for run in api.runs_in(ALIVE)),
        failed=dict(failed),
    )


def _range(table: Table, run: Mapping[str, Any]) -> Range | None:
    """The range that the run was for, as its tasks find it; None: it had none."""
    given = run.get("conf") or {}
    start, end = given.get("start"), given.get("end")
    if not (start and end):
        start, end = run.get("data_interval_start"), run.get("data_interval_end")
    try:
        return table.range(parse(start), parse(end)) if start and end else None
    except ValueError:
        return None
