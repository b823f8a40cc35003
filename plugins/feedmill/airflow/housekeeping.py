"""The DAG ``housekeeping``: once a day, one task for each table, owned by the table's maintainer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, CronTriggerTimetable

from feedmill.airflow.dag import DEFAULTS, LATEST
from feedmill.airflow.operators import SPARK_POOL, SparkOperator
from feedmill.airflow.timetable import FIRST
from feedmill.spec import Table

if TYPE_CHECKING:
    from airflow.sdk import Context

WHEN = "30 3 * * *"
"""In UTC: after the deadlines of the daily tables, and before most working days begin."""

DOC = """Retention, and the upkeep that keeps publishes and reads fast: one task for each table.

Every step can be killed and repeated. A red task does no harm today: clear it. Its log says what each step did.
"""


class KeepHouse(SparkOperator):
    """One table's housekeeping."""

    ui_color = "#c3bef0"

    def __init__(self, **kwargs: Any):
        super().__init__(pool=SPARK_POOL, **kwargs)

    def execute(self, context: Context) -> list[str]:  # noqa: ARG002 - Airflow's signature
        """Do every step; the task's result says what each step did."""
        from feedmill.housekeeping.house import keep_house

        deployment, table = self.opened()
        return keep_house(table, deployment, datetime.now(UTC), self.started)


def housekeeping_dag(tables: Iterable[Table]) -> DAG:
    """The DAG that keeps house for these tables; the Spark pool limits how many run at the same time."""
    tables = list(tables)
    maintainers = {table.maintainer.name: table.maintainer.link for table in tables}
    with DAG(
        dag_id="housekeeping",
        # No data interval: the run looks at the present, and a missed day needs no run of its own.
        schedule=CronTriggerTimetable(WHEN, timezone="UTC"),
        start_date=FIRST,
        catchup=False,
        max_active_runs=1,
        rerun_with_latest_version=LATEST,
        default_args=DEFAULTS,
        owner_links=maintainers,
        tags={"operation:housekeeping", *(f"maintainer:{name}" for name in maintainers)},
        doc_md=DOC,
    ) as dag:
        for table in tables:
            KeepHouse(task_id=table.name, table=table.name, owner=table.maintainer.name)
    return dag
