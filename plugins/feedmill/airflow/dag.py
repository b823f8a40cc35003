"""A table's DAG: wait_for_inputs >> build >> check >> publish, one run for each partition or range."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, Param, chain, get_parsing_context

from feedmill.airflow.operators import Build, Check, Publish, WaitForInputs
from feedmill.airflow.timetable import FIRST, SinceTimetable
from feedmill.flow.verbs import Verb
from feedmill.project import project_path
from feedmill.spec import Files, Input, Table, require_files
from feedmill.timeline import parse

DEFAULTS: dict[str, Any] = {
    "retries": 2,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    # The task's own weight. Airflow's default adds those of the tasks after it, so that a build of tier 3 would have
    # that of a publish of tier 1.
    "weight_rule": "absolute",
}
"""The settings of every task of every table."""

PRIORITY = {1: 30, 2: 20, 3: 10}
"""By tier: who gets the next free slot. Among tasks of one tier Airflow takes the oldest logical date first, and last
those of runs without one, as restatements are."""

LATEST = True
"""A cleared task runs today's code. Without this, Airflow runs the code of the day when the run was created, wherever
DAGs come from a bundle with versions (Git): somebody fixes a transform, clears ``build``, and it fails as before."""

ACTIVE_RUNS = 32
"""How many runs of one table may be active: more than ``WAIT`` has hours. A waiting run counts as active. With fewer,
one morning of failures upstream would block every later hour and every restatement of the table. The ledger's claim
keeps two builds apart, and the pool limits the work in Spark."""


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
        # Not the start_date: a run of an earlier hour must build it.
        schedule=SinceTimetable(table.every.cron, table.every.floor(parse(since)) if since else None),
        start_date=FIRST,
        # With a start, the schedule builds everything from then on; without one it begins with the newest interval.
        catchup=since is not None,
        max_active_runs=ACTIVE_RUNS,
        rerun_with_latest_version=LATEST,
        default_args={**DEFAULTS, "owner": table.maintainer.name, "priority_weight": PRIORITY[table.tier]},
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
        tasks = {
            Verb.WAIT_FOR_INPUTS: WaitForInputs(task_id=Verb.WAIT_FOR_INPUTS, table=table.name),
            Verb.BUILD: Build(task_id=Verb.BUILD, table=table.name, inlets=inlets),
            Verb.CHECK: Check(task_id=Verb.CHECK, table=table.name),
            # It runs also after a check that held some partitions: it publishes the others and names the held ones.
            Verb.PUBLISH: Publish(
                task_id=Verb.PUBLISH,
                table=table.name,
                outlets=[_asset(table)],
                trigger_rule="all_done_min_one_success",
            ),
        }
        chain(*(tasks[verb] for verb in Verb))
        tasks[Verb.BUILD] >> tasks[Verb.PUBLISH]
    return dag


def to_parse(tables: Iterable[Table]) -> Iterator[Table]:
    """The tables whose DAGs this process needs. A task's process needs only its own."""
    wanted = get_parsing_context().dag_id
    return (table for table in tables if wanted is None or table.dag_id == wanted)


def _moment(description: str) -> Param:
    return Param(None, type=["null", "string"], format="date-time", description=description)


def _asset(table: Table) -> Asset:
    # x-: for any other scheme Airflow imports the URI handlers of all providers, 1 to 3 seconds for each DAG file.
    return Asset(name=table.name, uri=f"x-feedmill://{table.schema}/{table.short_name}")


def _doc(table: Table) -> str:
    """The table's generated page without its links; if `make docs` has not made it, the facts of the map."""
    page = project_path() / "docs" / "tables" / f"{table.name}.md"
    if page.is_file():
        # Its links are relative to docs/tables and do not work in Airflow.
        return re.sub(r"\[([^\]]+)\]\((?!https?:|mailto:)[^)]*\)", r"\1", page.read_text(encoding="utf-8"))
    reads = ", ".join(f"files of {e.kind}" if isinstance(e, Files) else e.table.name for e in table.inputs)
    return f"**{table.name}**, {table.every.value}, maintained by {table.maintainer.name}. Reads {reads}."
