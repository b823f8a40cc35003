"""A table's DAG: wait_for_inputs >> build >> check >> publish, one run a partition or a range."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, Param, get_parsing_context

from feedmill.airflow.operators import Build, Check, Publish, WaitForInputs
from feedmill.project import project_path
from feedmill.spec import Files, Input, Table, require_files
from feedmill.timeline import parse

DEFAULTS: dict[str, Any] = {
    "retries": 2,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
}
"""Of every task of every table, once."""

FIRST = datetime(2020, 1, 1, tzinfo=UTC)
"""Airflow makes no task instance before a DAG's start, so that it lies before any history that is restated."""

LATEST = True
"""A cleared task runs today's code. Without this, Airflow runs the code of the day when the run was created, wherever
DAGs come from a bundle with versions (Git): somebody fixes a transform, clears ``build``, and it fails as before."""

ACTIVE_RUNS = 32
"""Runs of one table at once: more than the hours of ``WAIT``. A run that waits counts, so that of a table with fewer,
a morning of failures of what it reads would keep out every later hour and whoever restates it. What keeps two builds
apart is the ledger's claim, and what spares Spark is its pool."""


def table_dag(table: Table) -> DAG:
    """The DAG that builds a table, hourly or daily, and restates any range of it on request.

    Raises:
        MapError: one of the table's files is missing.
    """
    require_files(table, project_path())
    since = os.environ.get("FEEDMILL_SINCE")
    with DAG(
        dag_id=table.dag_id,
        # Data intervals, not partitioned assets: docs/decisions/0003-cron-intervals.md
        schedule=CronDataIntervalTimetable(table.every.cron, timezone="UTC"),
        start_date=table.every.floor(parse(since)) if since else FIRST,
        # A given start is an order to build everything from then on; without one the schedule begins with the newest.
        catchup=since is not None,
        max_active_runs=ACTIVE_RUNS,
        rerun_with_latest_version=LATEST,
        default_args={**DEFAULTS, "owner": table.maintainer.name},
        owner_links={table.maintainer.name: table.maintainer.link},
        tags={f"maintainer:{table.maintainer.name}", f"tier:{table.tier}", f"schema:{table.schema}"},
        params={
            "start": _moment(
                "First partition to restate, such as 2026-05-01T13:00:00Z. Empty: the run's own interval."
            ),
            "end": _moment("End of the range, exclusive."),
        },
        doc_md=_doc(table),
    ) as dag:
        inlets = [_asset(entry.table) for entry in table.inputs if isinstance(entry, Input)]
        wait_for_inputs = WaitForInputs(task_id="wait_for_inputs", table=table.name)
        build = Build(task_id="build", table=table.name, inlets=inlets)
        check = Check(task_id="check", table=table.name)
        # Also after a check that held some partitions: the others are published, then this task says what is held.
        publish = Publish(
            task_id="publish",
            table=table.name,
            outlets=[_asset(table)],
            trigger_rule="all_done_min_one_success",
        )
        wait_for_inputs >> build >> check >> publish
        build >> publish
    return dag


def to_parse(tables: Iterable[Table]) -> Iterator[Table]:
    """The tables whose DAGs this process needs: a task's process needs one, not the layer's other hundreds."""
    wanted = get_parsing_context().dag_id
    return (table for table in tables if wanted is None or table.dag_id == wanted)


def _moment(description: str) -> Param:
    return Param(None, type=["null", "string"], format="date-time", description=description)


def _asset(table: Table) -> Asset:
    # x-: for any other scheme Airflow imports all providers' URI handlers, 1 to 3 seconds of each file's parsing.
    return Asset(name=table.name, uri=f"x-feedmill://{table.schema}/{table.short_name}")


def _doc(table: Table) -> str:
    """The generated page of the table, without its links; until `make docs` has made it, what the map alone can say."""
    page = project_path() / "docs" / "tables" / f"{table.name}.md"
    if page.is_file():
        # Its links are relative to docs/tables, and lead nowhere in Airflow.
        return re.sub(r"\[([^\]]+)\]\((?!https?:|mailto:)[^)]*\)", r"\1", page.read_text(encoding="utf-8"))
    reads = ", ".join(f"files of {e.kind}" if isinstance(e, Files) else e.table.name for e in table.inputs)
    return f"**{table.name}**, {table.every.value}, of {table.maintainer.name}. Reads {reads}."
