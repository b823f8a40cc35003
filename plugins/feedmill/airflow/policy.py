"""The cluster policy: each DAG of Feedmill names the maintainers who are told when it fails.

Airflow imports this module while it starts. So nothing is imported here that could fail or that needs Airflow; whatever
fails later is logged, because an error of ours must not stop another team's DAG.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from pluggy import HookimplMarker

if TYPE_CHECKING:
    from airflow.sdk import DAG

REQUIRE = "FEEDMILL_REQUIRE_MAINTAINER"
"""The switch: with ``1`` in the environment, other teams' DAGs must name a maintainer too."""

REMEDY = (
    "Make it with table_dag(), or give each task an owner of include/maintainers.py and the DAG a tag "
    "maintainer:<owner> for each of them; a new team is a block of that file."
)

log = logging.getLogger(__name__)


@HookimplMarker("airflow.policy")
def dag_policy(dag: DAG) -> None:
    """Called by Airflow for each DAG that it parses.

    Raises:
        AirflowClusterPolicyViolation: the DAG lacks a maintainer; Airflow shows the sentence as an import error.
    """
    from airflow.exceptions import AirflowClusterPolicyViolation

    required = os.environ.get(REQUIRE) == "1"
    try:
        lack = _lack(dag, required)
    except Exception as error:
        # Without the map, the files of our own DAGs cannot be parsed either, and Airflow says so.
        level = logging.WARNING if required else logging.INFO
        log.log(level, "DAG %s is loaded unjudged, for Feedmill's map cannot be read: %r", dag.dag_id, error)
        return
    if lack:
        raise AirflowClusterPolicyViolation(lack)


def _lack(dag: DAG, required: bool) -> str | None:
    """What the DAG lacks, and the remedy; None if it is fine, or none of our business."""
    from include.maintainers import MAINTAINERS
    from include.tables import TABLES

    owners = {task.owner for task in dag.tasks}
    tagged = {tag.removeprefix("maintainer:") for tag in dag.tags if tag.startswith("maintainer:")}
    known = ", ".join(sorted(MAINTAINERS.names))
    if not _is_ours(dag, {table.dag_id for table in TABLES}):
        if required and not (owners | tagged) & MAINTAINERS.names:
            return (
                f"DAG {dag.dag_id} names no maintainer that Feedmill knows ({known}), and {REQUIRE}=1 demands one. "
                "Give its tasks an owner of include/maintainers.py, or the DAG a tag maintainer:<name>."
            )
        return None
    for task in dag.tasks:
        if task.owner not in MAINTAINERS.names:
            return (
                f"DAG {dag.dag_id} belongs to Feedmill, but the owner of its task {task.task_id}, {task.owner!r}, is "
                f"no maintainer of include/maintainers.py ({known}). {REMEDY}"
            )
    if missing := sorted(owners - tagged):
        return f"DAG {dag.dag_id} belongs to Feedmill, but has no tag maintainer:{missing[0]}. {REMEDY}"
    return None


def _is_ours(dag: DAG, tables: set[str]) -> bool:
    """Whether it builds a table of the map, or does Feedmill's work. Other teams may have DAGs in the same folder."""
    return dag.dag_id in tables or any(type(task).__module__.startswith("feedmill.") for task in dag.tasks)
