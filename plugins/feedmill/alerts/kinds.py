"""The kinds of incident: a registry. Each kind is one function that finds what holds now.

A condition is an incident once it has held for the kind's delay, and heals when the function no longer finds it. Where
a kind heals later than it opens, its function asks whether the incident is open. :class:`Silent` says that nothing is
known of a subject: its incident stays as it is. ``docs/alert-policy.md`` has the same kinds in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from feedmill.alerts import burn_rates, tables, volumes
from feedmill.alerts.burn_rates import ALARMS, Alarm
from feedmill.alerts.incident import Condition, Part
from feedmill.alerts.scene import Component, Dag, Origin, RedFlag, Requests, Scene
from feedmill.alerts.tables import Troubles
from feedmill.freshness.series import Series, newest_code
from feedmill.spec import Service, Tier
from feedmill.timeline import HOUR

AT_ONCE = timedelta(0)
GB = 10**9
CODE = "Code"
LANDED, REJECTED = "events.landed", "events.rejected"


@dataclass(frozen=True)
class Silent:
    """Nothing is known of this subject in this round."""

    subject: str


Found: TypeAlias = Iterator[Condition | Silent]


@dataclass(frozen=True)
class Kind:
    """One kind of incident."""

    name: str
    origin: Origin
    """Where its evidence comes from: while that says nothing, its incidents neither open nor heal."""
    delay: timedelta
    """How long the condition must hold before it is an incident."""
    find: Callable[[Scene, Troubles], Found]


KINDS: dict[str, Kind] = {}
"""All kinds by name, in the order in which they are judged."""


def kind(
    name: str, origin: Origin, delay: timedelta = AT_ONCE
) -> Callable[[Callable[[Scene, Troubles], Found]], Callable[[Scene, Troubles], Found]]:
    """Register a kind."""

    def register(find: Callable[[Scene, Troubles], Found]) -> Callable[[Scene, Troubles], Found]:
        KINDS[name] = Kind(name, origin, delay, find)
        return find

    return register


# Tables


@kind(tables.HELD, Origin.LEDGER)
def held(_: Scene, troubles: Troubles) -> Found:
    """A partition failed a critical expectation. It heals when a build that passes, or an accept, is published."""
    yield from troubles.conditions.get(tables.HELD, ())


@kind(tables.FAILED, Origin.LEDGER)
def failed(_: Scene, troubles: Troubles) -> Found:
    """The newest try ended in an error and no retry is coming. It heals when the partition is published."""
    yield from troubles.conditions.get(tables.FAILED, ())


@kind(tables.STUCK, Origin.LEDGER)
def stuck(_: Scene, troubles: Troubles) -> Found:
    """A build is at work for four times what the last builds took, and an hour at least. It heals when it ends."""
    yield from troubles.conditions.get(tables.STUCK, ())


@kind(tables.OVERDUE, Origin.LEDGER)
def overdue(_: Scene, troubles: Troubles) -> Found:
    """A partition is past its deadline, or others are because they wait for it. It heals when it is published."""
    yield from troubles.conditions.get(tables.OVERDUE, ())


@kind(tables.PAUSED, Origin.AIRFLOW)
def paused_though_due(_: Scene, troubles: Troubles) -> Found:
    """A DAG is paused while a partition is overdue. It heals when it is unpaused, or nothing is due."""
    yield from troubles.conditions.get(tables.PAUSED, ())


@kind(tables.WARNING, Origin.LEDGER)
def warning(scene: Scene, _: Troubles) -> Found:
    """A partition was published with a failed warning. It heals when a later partition passes that expectation."""
    assert scene.picture is not None
    for table in scene.picture.tables.values():
        newest = scene.newest.get(table.name)
        if newest is None:
            yield Silent(table.name)
            continue
        part = Part(
            table.name, newest.partition, newest.partition + table.every.length, 0, newest.build_id, newest.owner
        )
        for one in newest.warnings:
            yield Condition(
                table.name,
                newest.judged_at,
                table.maintainer.name,
                3,
                f"{table.every.name_of(newest.partition)} was published with a failed warning",
                one.message,
                one.expectation,
                wakes=False,
                parts=(part,),
            )


@kind(tables.DIFFERS, Origin.LEDGER)
def not_deterministic(scene: Scene, _: Troubles) -> Found:
    """The same inputs and code gave other rows. It heals when a build with other code is published."""
    assert scene.picture is not None
    known = {one.condition.subject: one.condition for one in scene.open if one.kind == tables.DIFFERS}
    for table in scene.picture.tables.values():
        code = newest_code(scene.picture.columns.published.get(table.name, Series()))
        found = scene.differing.get(table.name)
        if found is not None and found.identity == code:
            name = table.every.name_of(found.partition)
            end = found.partition + table.every.length
            yield Condition(
                table.name,
                found.found_at,
                table.maintainer.name,
                3,
                f"{name} has other rows than an earlier build of the same inputs and code",
                f"builds {found.builds[0]} and {found.builds[1]} read the same",
                wakes=False,
                parts=(Part(table.name, found.partition, end, 0, found.builds[1], found.owner),),
                evidence={CODE: found.identity},
            )
        elif table.name in known and known[table.name].evidence.get(CODE) == code:
            yield known[table.name]


# Components


@kind(tables.DOWN, Origin.COMPONENTS, timedelta(minutes=2))
def component_down(scene: Scene, troubles: Troubles) -> Found:
    """A component does not answer. It heals when it does, and all that failed meanwhile is published."""
    for component in Component:
        left = troubles.left.get(component)
        outage = next((one for one in scene.outages if one.component == component and one.ended is None), None)
        health = scene.components.get(component)
        if health is None and (outage is not None or scene.is_open(tables.DOWN, component)):
            yield Silent(component)
        elif outage is not None:
            parts, impact = (left.parts, left.impact) if left is not None else ((), ())
            yield Condition(
                component,
                outage.began,
                scene.owners.infrastructure.name,
                1,
                "is down",
                health.detail if health is not None else outage.detail,
                parts=parts,
                impact=impact,
            )
        elif left is not None:
            yield left


@kind("disk", Origin.COMPONENTS, timedelta(minutes=5))
def disk(scene: Scene, _: Troubles) -> Found:
    """Less than 5 % or 2 GB is free. It heals when 10 % and 4 GB are."""
    for one in scene.disks:
        share, free = (0.10, 4 * GB) if scene.is_open("disk", one.folder) else (0.05, 2 * GB)
        if one.free < share * one.size or one.free < free:
            why = f"{one.free / GB:.1f} GB of {one.size / GB:.1f} GB are free"
            yield Condition(one.folder, scene.now, scene.owners.infrastructure.name, 1, "is nearly full", why)


# Airflow and its DAGs


@kind("import error", Origin.AIRFLOW, timedelta(minutes=2))
def import_error(scene: Scene, _: Troubles) -> Found:
    """Airflow cannot parse a DAG file. It heals when it can."""
    assert scene.airflow is not None
    for error in scene.airflow.import_errors:
        owner, tier = _of_file(scene, error.file)
        last = error.message.strip().splitlines()[-1] if error.message.strip() else ""
        yield Condition(error.file, error.at, owner, tier, "cannot be imported", last)


@kind("task failed", Origin.AIRFLOW)
def task_failed(scene: Scene, _: Troubles) -> Found:
    """A task that makes no partition failed, and no retry is coming. It heals at its next success, or at a clear."""
    assert scene.airflow is not None
    for task in scene.airflow.task_failures:
        ours = task.owner in scene.owners.known
        tier: Tier = 3 if ours else 2
        owner = task.owner if ours else scene.owners.default.name
        what = f"failed in run {task.run_id}" if task.state == "failed" else f"is {task.state} in run {task.run_id}"
        yield Condition(f"{task.dag_id}.{task.task_id}", task.ended_at, owner, tier, what, wakes=False)


@kind("outside the map", Origin.AIRFLOW, timedelta(days=1))
def outside_the_map(scene: Scene, _: Troubles) -> Found:
    """A DAG is not of the map and names no maintainer. It heals when it names one, or is gone."""
    assert scene.airflow is not None
    for dag in scene.airflow.dags.values():
        if not _is_ours(scene, dag) and not set(dag.owners) & scene.owners.known.keys():
            why = f"its owner is {', '.join(dag.owners) or 'nobody'}, whom include/maintainers.py does not know"
            yield Condition(dag.dag_id, scene.now, scene.owners.default.name, 3, "belongs to nobody", why, wakes=False)


# The landing zone


@kind("source silent", Origin.LEDGER, volumes.PATIENCE)
def source_silent(scene: Scene, _: Troubles) -> Found:
    """A source landed less than a tenth of what is usual in that hour. It heals when an hour is as usual."""
    for source in sorted(scene.owners.expected):
        owner, tier = scene.owners.sources[source]
        landed = scene.landed.get(source)
        judged = volumes.newest(landed, scene.now) if landed is not None else None
        if judged is None:
            yield Silent(source)
        elif judged.silent_since is not None:
            why = f"{judged.size:,} bytes arrived in {HOUR.name_of(judged.hour)}; usual are {judged.usual:,.0f}"
            yield Condition(source, judged.silent_since, owner.name, tier, "is silent", why)


@kind("rows rejected", Origin.LEDGER)
def rows_rejected(scene: Scene, _: Troubles) -> Found:
    """More than 5 % and more than 100 of an arrival hour's rows are rejected. It heals when an hour is below."""
    assert scene.picture is not None
    published = scene.picture.columns.published
    table = scene.picture.tables.get(REJECTED)
    if table is None:
        return
    hour = volumes.newest_rejected(published.get(LANDED, Series()), published.get(REJECTED, Series()))
    if hour is None:
        yield Silent(REJECTED)
    elif hour.is_much:
        what = f"{HOUR.name_of(hour.hour)} has {hour.rejected:,} rejected rows"
        why = f"they are {hour.rejected / hour.rows:.0%} of the {hour.rows:,} rows that arrived in that hour"
        end = hour.hour + HOUR.length
        yield Condition(REJECTED, end, table.maintainer.name, 2, what, why, wakes=False)


@kind("files quarantined", Origin.LEDGER)
def files_quarantined(scene: Scene, _: Troubles) -> Found:
    """A source has files that cannot be read. It heals when each is readmitted or disowned."""
    for one in scene.quarantines:
        owner, _tier = scene.owners.sources.get(one.source, (scene.owners.default, 2))
        what = "has a file that cannot be read" if one.files == 1 else f"has {one.files:,} files that cannot be read"
        why = f"{one.example}: {one.reason}"
        yield Condition(one.source, one.since, owner.name, 2, what, why, wakes=False)


# Services and models


@kind(burn_rates.FAST.kind, Origin.SERVICES)
def latency_fast(scene: Scene, _: Troubles) -> Found:
    """A service burns its error budget 14.4 times too fast, over 1 hour and 5 minutes. It heals when 5 are well."""
    yield from _burning(scene, burn_rates.FAST)


@kind(burn_rates.SLOW.kind, Origin.SERVICES)
def latency_slow(scene: Scene, _: Troubles) -> Found:
    """A service burns its error budget 6 times too fast, over 6 hours and 30 minutes. It heals when 30 are well."""
    yield from _burning(scene, burn_rates.SLOW)


@kind(burn_rates.TRICKLE.kind, Origin.SERVICES)
def latency_trickle(scene: Scene, _: Troubles) -> Found:
    """A service burns its error budget, over 3 days and 6 hours. It heals when 6 hours are well."""
    yield from _burning(scene, burn_rates.TRICKLE)


@kind("red flag", Origin.LEDGER)
def red_flag(scene: Scene, _: Troubles) -> Found:
    """A model's metrics are far from what was expected, or those of all models that a table's data explains. It heals
    when the newest hour has none."""
    about: dict[tuple[str, str, Tier], list[RedFlag]] = {}
    for flag in scene.red_flags:
        table = scene.picture.tables.get(flag.suspect) if scene.picture is not None else None
        model, tier = scene.owners.models.get(flag.model_id, (scene.owners.default, 2))
        told = (flag.model_id, model.name, tier) if table is None else (table.name, table.maintainer.name, table.tier)
        about.setdefault(told, []).append(flag)
    for (subject, maintainer, tier), flags in about.items():
        is_data = subject == flags[0].suspect
        what = "explains red flags of models" if is_data else "has red flags"
        evidence = {
            (f"{one.model_id}, " if is_data else "") + one.metric: (
                f"{one.observed:,.6g}, {one.direction} the expected {one.expected:,.6g}, in {HOUR.name_of(one.hour)}"
            )
            for one in flags
        }
        why = "; ".join(f"{name}: {value}" for name, value in evidence.items())
        yield Condition(subject, min(one.hour for one in flags), maintainer, tier, what, why, evidence=evidence)


# Alerts themselves


@kind("channel down", Origin.DELIVERIES, timedelta(minutes=5))
def channel_down(scene: Scene, _: Troubles) -> Found:
    """A channel has not taken a message for five minutes. It heals when it takes one."""
    for one in scene.undeliverable:
        what = f"takes nothing; {one.waiting} messages wait or went elsewhere"
        yield Condition(one.channel, one.since, scene.owners.infrastructure.name, 1, what, one.error)


@kind("map broken", Origin.MAP, timedelta(minutes=2))
def map_broken(scene: Scene, _: Troubles) -> Found:
    """The map cannot be imported, so the last good one is in use. It heals when it can."""
    if scene.map_error:
        since = scene.map_error_since or scene.now
        yield Condition(
            "include/tables.py", since, scene.owners.infrastructure.name, 1, "cannot be imported", scene.map_error
        )


def _burning(scene: Scene, alarm: Alarm) -> Found:
    """While a service has an incident, another one opens only if it is more urgent: it is one root cause."""
    for served in scene.services:
        service = served.service
        is_open = {one.kind: scene.is_open(one.kind, service.name) for one in ALARMS}
        known = served.requests or {}
        held = burn_rates.holds(alarm, service, known, is_open[alarm.kind])
        if held is None:
            yield Silent(service.name)
        elif held and (is_open[alarm.kind] or not _is_told(alarm, service, known, is_open)):
            requests = known[alarm.short]
            rate = burn_rates.burn(requests, service.objective)
            bad = 1 - requests.good / requests.total
            yield Condition(
                service.name,
                scene.now,
                service.maintainer.name,
                max(alarm.tier, service.tier),
                f"burns its error budget {rate:.1f} times too fast",
                f"{bad:.2%} of {requests.total:,.0f} requests were bad in the last {_words(alarm.short)}; "
                f"the objective allows {1 - service.objective:.2%}",
                evidence={"What a good request is": service.description, "Runbook": service.runbook},
            )


def _is_told(alarm: Alarm, service: Service, known: Mapping[timedelta, Requests], is_open: Mapping[str, bool]) -> bool:
    """Whether another alarm of the service, as urgent or more so, tells of it."""
    others = [one for one in ALARMS if one is not alarm and one.tier <= alarm.tier]
    faster = [one for one in others if one.rate > alarm.rate]
    return any(is_open[one.kind] for one in others) or any(
        burn_rates.holds(one, service, known, is_open=False) for one in faster
    )


def _words(length: timedelta) -> str:
    hours = length // timedelta(hours=1)
    return f"{hours} hours" if hours else f"{length // timedelta(minutes=1)} minutes"


def _is_ours(scene: Scene, dag: Dag) -> bool:
    if scene.picture is None:
        return True  # nobody knows the map's tables now
    return dag.dag_id in scene.picture.tables or "operation:housekeeping" in dag.tags


def _of_file(scene: Scene, file: str) -> tuple[str, Tier]:
    """Who owns a DAG file, and how urgent it is: by the tables whose DAGs it defined when it could be parsed."""
    assert scene.airflow is not None
    picture = scene.picture
    mine = [dag.dag_id for dag in scene.airflow.dags.values() if dag.file == file]
    owned = [picture.tables[name] for name in mine if picture is not None and name in picture.tables]
    if not owned:
        return scene.owners.infrastructure.name, 2
    urgent = min(owned, key=lambda table: table.tier)
    return urgent.maintainer.name, urgent.tier
