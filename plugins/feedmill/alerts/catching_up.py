"""What is caught up: partitions that were late because of something else, and may be built at last. Pure.

A table that waited for another one is overdue in the moment in which that one is published. So is a DAG that has just
been switched on or unpaused, with a history behind it. Neither is news to anybody. Such partitions have as long as the
table usually has, ``due``, and every publish of the table gives them as long again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypeAlias

from feedmill.alerts.incident import Remembered
from feedmill.alerts.scene import Scene
from feedmill.freshness.series import Series
from feedmill.freshness.states import State, TableStatus

Span: TypeAlias = tuple[datetime, datetime]


def remember(known: Mapping[str, Remembered], scene: Scene) -> dict[str, Remembered]:
    """What has changed of the tables since the last round, by name; nothing while the ledger does not answer."""
    if scene.picture is None:
        return {}
    hit = {impact.table for incident in scene.open for impact in incident.condition.impact}
    changed = {}
    for status in scene.picture.all():
        name = status.table.name
        now = _seen(status, known.get(name), scene, name in hit, is_first=not known)
        if now != known.get(name):
            changed[name] = now
    return changed


def _seen(status: TableStatus, before: Remembered | None, scene: Scene, is_hit: bool, is_first: bool) -> Remembered:
    table, now = status.table, scene.now
    is_due = status.since is not None
    airflow = status.picture.airflow
    is_paused = (before is not None and before.is_paused) if airflow is None else table.dag_id in airflow.paused
    series = status.picture.columns.published.get(table.name, Series())
    number = int(series.number.values.max(initial=-1))
    made = Remembered(table.name, is_due, is_paused, number)
    if before is None:
        begins = is_due and not is_first
    else:
        begins = (is_due and not before.is_due) or (before.is_paused and not is_paused)
    spans: list[Span] = []
    lasting = before is not None and before.until is not None and now < before.until
    until = before.until if lasting and before is not None else None
    if before is not None and lasting:
        spans += before.excused
        if number > before.number:
            until = now + table.due
    if begins and status.since is not None:
        spans.append((status.since, table.every.floor(now)))
        until = now + table.due
    if is_hit:
        waiting = [run.span for run in status.runs((State.BLOCKED,)) if State.OVERDUE in run.states]
        spans += [(span.start, span.end) for span in waiting]
        until = now + table.due if waiting else until
    if until is None:
        return made
    return Remembered(table.name, is_due, is_paused, number, _merged(spans), until)


def _merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same partitions in as few spans as possible."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return tuple(found)
