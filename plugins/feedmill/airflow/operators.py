"""The operators of a table's flow, one for each verb: wait_for_inputs, build, check, publish.

They are thin: each finds its range and calls the module that does the work. Heavy modules are imported when a task
runs, never when a DAG is parsed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.exceptions import AirflowFailException

from feedmill.airflow.triggers import LedgerTrigger
from feedmill.errors import FeedmillError
from feedmill.flow.verbs import Verb
from feedmill.timeline import Range, parse

if TYPE_CHECKING:
    from airflow.sdk import Context

    from feedmill.deployment import Deployment
    from feedmill.flow.wait import Wait
    from feedmill.spec import Table

SPARK_POOL = "spark"
"""The pool that limits how many builds work in Spark at the same time."""

WAIT = timedelta(hours=24)
"""How long a run waits for its inputs. The time is long, because waiting holds no slot and ends by itself when the
input is published. The ledger says that a partition is overdue; this task need not fail to say so."""


class CheckPage(BaseOperatorLink):
    """The button on a check's task that opens its page."""

    name = "Check page"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """The page of the check that has just run; empty if the check did not get that far."""
        return getattr(operator, "page_link", "")


class TableOperator(BaseOperator):
    """The base of the operators: a table of the map."""

    ui_fgcolor = "#1a1a1a"

    def __init__(self, *, table: str, **kwargs: Any):
        """``table`` is its name in the map."""
        super().__init__(**kwargs)
        self.table = table

    def opened(self) -> tuple[Deployment, Table]:
        """The deployment and this operator's table."""
        from feedmill.deployment import open_deployment

        deployment = open_deployment()
        return deployment, deployment.tables[self.table]


def range_of(table: Table, context: Context) -> Range:
    """The run's range: its params ``start`` and ``end`` if they are given, else its data interval.

    Raises:
        AirflowFailException: only one of the two is given, or they are not whole partitions; or neither, and the run
            has no data interval.
    """
    start, end = context["params"].get("start"), context["params"].get("end")
    try:
        if start is None and end is None:
            # A run without a logical date does not even have these keys.
            start, end = context.get("data_interval_start"), context.get("data_interval_end")
            if start is None or end is None:
                raise ValueError("the run has no data interval; give start and end")
            return table.range(start, end)
        if start is None or end is None:
            raise ValueError(f"give both start and end, or neither; start is {start}, end is {end}")
        return table.range(parse(start), parse(end))
    except ValueError as error:
        raise AirflowFailException(f"{table.name}: {error}") from error


def owner_of(context: Context) -> str:
    """The run's name in the ledger. All tries of the run share it, so that a retry takes over from the try before."""
    run = context["dag_run"]
    return f"{run.dag_id}/{run.run_id}"


@contextmanager
def no_vain_retry() -> Iterator[None]:
    """Fail the task at once on an error of ours that a retry cannot help.

    Raises:
        AirflowFailException: the same input and the same code would fail in the same way.
    """
    try:
        yield
    except FeedmillError as error:
        if error.retry:
            raise
        raise AirflowFailException(str(error)) from error


class SparkOperator(TableOperator):
    """An operator that works in Spark, and leaves nothing at work there when its task is ended."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.session_id: str | None = None
        self.killed = False

    def on_kill(self) -> None:
        """Stop the Spark queries too when the running task is cleared, marked or timed out."""
        self.killed = True
        if self.session_id is not None:
            from feedmill.spark.session import interrupt

            interrupt(self.session_id)

    def started(self, session_id: str) -> None:
        """Note the Spark session that is to be stopped."""
        self.session_id = session_id


class WaitForInputs(TableOperator):
    """Returns at once if all inputs of the range are published; else waits in the triggerer."""

    ui_color = "#e8e4d9"

    def execute(self, context: Context) -> None:
        """Look once, and defer if something is missing."""
        from feedmill.flow.wait import Never, Wait, not_ready

        deployment, table = self.opened()
        span = range_of(table, context)
        wait = Wait(table, span, owner_of(context), datetime.now(UTC))
        with deployment.ledger.transaction() as session:
            why = not_ready(session, [wait])[wait]
        if why is None:
            self.log.info("%s %s: all inputs are published", table.name, span)
            return
        if isinstance(why, Never):
            raise AirflowFailException(why)
        self.log.info("%s", why)
        _defer(self, wait, "resume")

    def resume(self, context: Context, event: dict[str, Any]) -> None:
        """Look once more, because the map may have new inputs by now. At the time-out, fail with what is missing."""
        if not event["ready"]:
            raise AirflowFailException(event["why"])
        self.execute(context)


class Build(SparkOperator):
    """Builds the range on its own branch; the task's result is the build's id."""

    ui_color = "#f2c14e"

    def __init__(self, **kwargs: Any):
        super().__init__(pool=SPARK_POOL, **kwargs)

    def execute(self, context: Context) -> str:
        """Build; if another build works on these partitions, wait for it without holding a slot."""
        from feedmill.flow.build import build
        from feedmill.flow.job import Job
        from feedmill.flow.wait import Wait
        from feedmill.ledger.builds import ClaimedError

        deployment, table = self.opened()
        span = range_of(table, context)
        try:
            with no_vain_retry():
                built = build(Job(table, span, deployment, owner_of(context)), self.started, lambda: self.killed)
        except ClaimedError as error:
            self.log.info("%s", error)
            _defer(self, Wait(table, span, owner_of(context), datetime.now(UTC)), "resume")
            raise AssertionError("a deferred task does not come here") from error
        return built.build_id

    def resume(self, context: Context, event: dict[str, Any]) -> str:
        """Try again once the other build has ended."""
        if not event["ready"]:
            raise AirflowFailException(event["why"])
        return self.execute(context)


class Check(SparkOperator):
    """Judges the build's branch. Fails if it holds a partition; `publish` still publishes the others."""

    ui_color = "#9bc53d"
    operator_extra_links = (CheckPage(),)

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.page_link = ""

    def execute(self, context: Context) -> None:
        """Judge; log the findings and the page's address."""
        from feedmill.flow.check import check

        deployment, table = self.opened()
        build_id = build_of(context)
        with no_vain_retry():
            checked = check(table, build_id, deployment, self.started)
        self.page_link = page_link(table, build_id)
        self.log.info("%s Page: %s", checked.sentence, self.page_link)
        if evidence := checked.evidence():
            self.log.warning("%s", evidence)
        if checked.held:
            raise AirflowFailException(f"{checked.sentence} Page: {self.page_link}")


class Publish(TableOperator):
    """Moves the partitions that passed to ``main``. Fails if a partition of the build is held."""

    ui_color = "#5bc0eb"

    def execute(self, context: Context) -> None:
        """Publish, and log what happened to each partition."""
        from feedmill.flow.publish import publish

        deployment, table = self.opened()
        build_id = build_of(context)
        with no_vain_retry():
            outcome = publish(table, build_id, deployment.ledger, deployment.lake)
        self.log.info("%s", outcome.describe(table.every))
        if outcome.held:
            raise AirflowFailException(
                f"{outcome.describe(table.every)} The check's page says why: {page_link(table, build_id)}"
            )


def build_of(context: Context) -> str:
    """The id of the run's build.

    Raises:
        AirflowFailException: the run has no build: ``build`` was marked as success, or has not run.
    """
    build_id = context["ti"].xcom_pull(task_ids=Verb.BUILD)
    if not build_id:
        raise AirflowFailException(
            "this run has no build: `build` was marked as success, or never ran; clear `build` to run it"
        )
    return str(build_id)


def page_link(table: Table, build_id: str) -> str:
    """The check's page in the Airflow UI."""
    from airflow.configuration import conf

    from feedmill.checks import pages

    return pages.link(conf.get("api", "base_url", fallback=""), table.name, build_id)


def _defer(operator: BaseOperator, wait: Wait, method: str) -> None:
    operator.defer(
        trigger=LedgerTrigger(wait.packed(), (wait.since + WAIT).isoformat()),
        method_name=method,
        # The trigger ends by itself; this time-out is for a trigger that is lost.
        timeout=WAIT + timedelta(minutes=10),
    )
