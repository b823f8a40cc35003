"""The DAG ``watch``: one round of ``feedmill watch`` a minute, where no process of its own can run."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, BaseOperator, CronTriggerTimetable

from feedmill.airflow.dag import DEFAULTS, LATEST
from feedmill.airflow.timetable import FIRST
from feedmill.spec import Maintainer

if TYPE_CHECKING:
    from airflow.sdk import Context

DOC = """Tells maintainers what is wrong, once a minute. It does what `feedmill watch` does.

Prefer the process: this DAG cannot tell anybody that the scheduler is down, since it does not run then. Both at once do
no harm. Switch it on by unpausing it.
"""


class WatchOnce(BaseOperator):
    """One round."""

    ui_color = "#f9d5d5"

    def execute(self, context: Context) -> list[str]:  # noqa: ARG002 - Airflow's signature
        """Look, judge and send; the task's result names what opened and what closed."""
        from feedmill.alerts.open_watch import open_watch

        watch = open_watch()
        watch.waits = timedelta(0)
        said = watch.round()
        watch.stop()
        opened = [f"opened: {one.alias}" for one in said.opened]
        return [*opened, *(f"closed: {one.alias}" for one in said.closed)]


def watch_dag(maintainer: Maintainer) -> DAG:
    """The DAG; it belongs to whoever runs the installation."""
    arguments: dict[str, Any] = {**DEFAULTS, "owner": maintainer.name}
    with DAG(
        dag_id="watch",
        schedule=CronTriggerTimetable("* * * * *", timezone="UTC"),
        start_date=FIRST,
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=True,
        rerun_with_latest_version=LATEST,
        default_args=arguments,
        owner_links={maintainer.name: maintainer.link},
        tags={"operation:watch", f"maintainer:{maintainer.name}"},
        doc_md=DOC,
    ) as dag:
        WatchOnce(task_id="watch")
    return dag
