"""Looking: gathers the facts of one round, from the ledger, Airflow's API and the components themselves.

Nothing here decides anything. What does not answer is left out of the scene's ``answered``.
"""

from __future__ import annotations

import logging
import shutil
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import fsspec
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from feedmill import connections
from feedmill.airflow_api import AirflowApi, AirflowApiError
from feedmill.alerts import ledger_facts, sender
from feedmill.alerts.incident import Outbox
from feedmill.alerts.ledger_facts import LedgerFacts
from feedmill.alerts.scene import (
    AirflowReport,
    BrokenFile,
    Component,
    Dag,
    Disk,
    Health,
    Origin,
    Owners,
    Quarantine,
    Scene,
    TaskFailure,
    Undeliverable,
)
from feedmill.alerts.services import Services
from feedmill.connections import Connection, ConnectionNotDefinedError
from feedmill.freshness import ask_airflow
from feedmill.freshness.facts import AirflowFacts
from feedmill.freshness.load import Look
from feedmill.freshness.states import Picture
from feedmill.ledger.models import Build, File
from feedmill.ledger.store import Ledger
from feedmill.spec import Map
from feedmill.timeline import parse

PATIENCE = 10.0
"""Seconds that anything asked has for an answer: a round must not wait for what hangs."""

REPORTS = timedelta(seconds=30)
"""How often DAGs, files and tasks are asked for: with many DAGs that is work for Airflow's API. Runs are each round."""

FAILURES_OF = timedelta(days=14)
"""How far back failed tasks are read."""

_PARTS: Mapping[str, Component] = {
    "scheduler": Component.SCHEDULER,
    "triggerer": Component.TRIGGERER,
    "dag_processor": Component.DAG_PROCESSOR,
}
"""Airflow's parts, by their names in its health report."""

log = logging.getLogger(__name__)


@dataclass
class Lookout:
    """What looks: it keeps the facts of the round before, so that a round reads only what has changed."""

    tables: Map
    owners: Owners
    ledger: Ledger
    services: Services = field(default_factory=Services)
    _look: Look = field(init=False)
    _api: AirflowApi | None = None
    _report: AirflowReport | None = None
    _reported_at: datetime | None = None
    _facts: LedgerFacts | None = None

    def __post_init__(self) -> None:
        self._look = Look(self.tables)

    def scene(self, now: datetime, outbox: Outbox) -> Scene:
        """Everything that can be known now."""
        looks: dict[Component, Health] = {}
        answered = {Origin.COMPONENTS, Origin.DELIVERIES, Origin.MAP, Origin.SERVICES}
        report, facts = self._ask_airflow(now, looks)
        if report is not None:
            answered.add(Origin.AIRFLOW)
        made = Scene(now, self.owners, frozenset(answered), airflow=report)
        try:
            picture, quarantines, has_built, more = self._read_ledger(now, facts)
        except SQLAlchemyError as error:
            looks[Component.POSTGRES] = Health(False, _first_line(error))
        else:
            looks.setdefault(Component.POSTGRES, Health(True))
            answered.add(Origin.LEDGER)
            made = replace(made, picture=picture, quarantines=quarantines)
            made = replace(made, landed=more.landed, work=more.work, newest=more.newest, differing=more.differing)
            if report is not None and not report.dags and has_built:
                looks[Component.API_SERVER] = Health(False, "it knows no DAG, though builds of the last day exist")
                answered.discard(Origin.AIRFLOW)
        self._look_at_spark(looks)
        disks = self._look_at_storage(looks)
        return replace(
            made,
            answered=frozenset(answered),
            components=looks,
            disks=disks,
            services=self.services.look(now),
            undeliverable=undeliverable(outbox),
            airflow=made.airflow if Origin.AIRFLOW in answered else None,
        )

    def _ask_airflow(
        self, now: datetime, looks: dict[Component, Health]
    ) -> tuple[AirflowReport | None, AirflowFacts | None]:
        try:
            api = self._api = self._api or _api(connections.get(connections.AIRFLOW))
            health = api.health()
            if (health.get("metadatabase") or {}).get("status") == "unhealthy":
                # In production it may be another server than the ledger's.
                looks[Component.POSTGRES] = Health(False, "Airflow's database does not answer")
            for name, component in _PARTS.items():
                part = health.get(name) or {}
                if part.get("status") is not None:
                    beat = part.get(f"latest_{name}_heartbeat") or "never"
                    looks[component] = Health(part["status"] == "healthy", f"its last heartbeat: {beat}")
            facts = ask_airflow.read(api, self.tables, now)
            if self._report is None or self._reported_at is None or now - self._reported_at >= REPORTS:
                self._report, self._reported_at = _report(api, self.tables, now), now
        except ConnectionNotDefinedError as error:
            log.info("Airflow is not asked: %s", error)
            return None, None
        except AirflowApiError as error:
            # The login may have expired: the next round logs in anew.
            self._api = self._report = None
            looks[Component.API_SERVER] = Health(False, _first_line(error))
            return None, None
        looks[Component.API_SERVER] = Health(True)
        return self._report, facts

    def _read_ledger(
        self, now: datetime, facts: AirflowFacts | None
    ) -> tuple[Picture, list[Quarantine], bool, LedgerFacts]:
        with self.ledger.transaction() as session:
            # First: a look takes the transaction's snapshot.
            picture = self._look.again(session, {}, now, facts)
            recent = select(Build.id).where(Build.started_at > now - timedelta(days=1), Build.owner.not_like("cli/%"))
            if self._facts is None or not self._facts.is_fresh(now):
                self._facts = ledger_facts.read(session, self.owners.expected, picture)
            return picture, _quarantines(session), session.scalar(recent.limit(1)) is not None, self._facts

    def _look_at_spark(self, looks: dict[Component, Health]) -> None:
        try:
            found = connections.get(connections.SPARK)
        except ConnectionNotDefinedError:
            return
        if found.conn_type != connections.SPARK_CONNECT_TYPE:
            return  # an application for each build: there is nothing to look at
        host, port = found.host or "localhost", found.port or 15002
        try:
            with socket.create_connection((host, port), timeout=PATIENCE):
                looks[Component.SPARK] = Health(True)
        except OSError as error:
            looks[Component.SPARK] = Health(False, f"{host}:{port} does not answer: {error}")

    def _look_at_storage(self, looks: dict[Component, Health]) -> list[Disk]:
        try:
            found = connections.get(connections.ICEBERG)
            landing = found.landing
        except ConnectionNotDefinedError:
            return []
        try:
            fs, path = fsspec.core.url_to_fs(landing)
            fs.invalidate_cache()
            fs.ls(path, detail=False)
            looks[Component.LANDING_ZONE] = Health(True)
        except FileNotFoundError:
            looks[Component.LANDING_ZONE] = Health(False, f"{landing} does not exist")
        except Exception as error:  # of the storage's own library
            looks[Component.LANDING_ZONE] = Health(False, f"{landing}: {_first_line(error)}")
        return _disks([landing, found.extra.get("warehouse", "")])


def undeliverable(outbox: Outbox) -> list[Undeliverable]:
    """The channels that take nothing."""
    return [
        Undeliverable(channel, mine[0].first_tried_at or mine[0].decided_at, mine[-1].error, len(mine))
        for channel, mine in sender.stuck(outbox.deliveries.values()).items()
    ]


def _api(found: Connection) -> AirflowApi:
    url = f"{found.conn_type}://{found.host}:{found.port}"
    return AirflowApi(url, found.login or "", found.password or "", attempts=1, timeout=PATIENCE)


def _report(api: AirflowApi, tables: Map, now: datetime) -> AirflowReport:
    dags = {
        dag["dag_id"]: Dag(
            dag["dag_id"],
            tuple(dag.get("owners") or ()),
            tuple(tag["name"] for tag in dag.get("tags") or ()),
            str(dag.get("relative_fileloc") or dag["fileloc"]),
        )
        for dag in api.dags()
    }
    errors = [
        BrokenFile(str(one["filename"]), str(one["stack_trace"]), parse(str(one["timestamp"])))
        for one in api.import_errors()
    ]
    return AirflowReport(dags, _task_failures(api, tables, dags, now), errors)


def _task_failures(api: AirflowApi, tables: Map, dags: Mapping[str, Dag], now: datetime) -> list[TaskFailure]:
    """The tasks without a partition whose newest end is a failure."""
    owners = {table.dag_id: table.maintainer.name for table in tables}
    failed = {
        (task["dag_id"], task["task_id"])
        for task in api.tasks_failed_since(now - FAILURES_OF)
        if task["dag_id"] not in owners
    }
    found = []
    for dag_id, task_id in sorted(failed):
        newest = next(iter(api.newest_ends(dag_id, task_id)), None)
        if newest is None or newest["state"] != "failed" or not newest.get("end_date"):
            continue
        owner = _owner(task_id, owners, dags.get(dag_id))
        ended = parse(str(newest["end_date"]))
        found.append(TaskFailure(dag_id, newest["dag_run_id"], task_id, owner, ended))
    return found


def _owner(task_id: str, owners: Mapping[str, str], dag: Dag | None) -> str:
    """A task of housekeeping is named after the table that it keeps; any other one belongs to its DAG's first owner."""
    if dag is not None and "operation:housekeeping" in dag.tags and task_id in owners:
        return owners[task_id]
    return dag.owners[0] if dag is not None and dag.owners else ""


def _quarantines(session: Session) -> list[Quarantine]:
    unread = (File.defect.is_not(None), File.disowned_by.is_(None))
    grouped = select(File.source, func.count(), func.min(File.registered_at), func.max(File.path)).where(*unread)
    found = []
    for source, count, since, path in session.execute(grouped.group_by(File.source).order_by(File.source)).tuples():
        reason = session.scalar(select(File.defect).where(File.path == path))
        found.append(Quarantine(source, count, since, path, reason or ""))
    return found


def _disks(urls: Iterable[str]) -> list[Disk]:
    """The disks below these folders, each once."""
    found: dict[tuple[int, int], Disk] = {}
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("", "file") or not parts.path:
            continue
        try:
            usage = shutil.disk_usage(parts.path)
        except OSError:
            continue
        # Two folders of one disk have the same size and, at one moment, nearly the same free space.
        found.setdefault((usage.total, usage.free // (1 << 20)), Disk(parts.path, usage.free, usage.total))
    return list(found.values())


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]
