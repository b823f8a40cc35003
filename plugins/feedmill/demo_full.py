"""The full demo: five simulated weeks before the real one, and every table of the map, through Airflow.

The real week has no user ids, so features of users need another feed: a simulated one, which ends as the real week
begins, so that no hour holds rows of both. Layer by layer, whatever is missing, stale or outdated in its period is
restated, as a person would by the trigger form of each DAG; running it again builds only what has changed since.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path, PurePath

import fsspec

from feedmill.airflow_api import AirflowApi
from feedmill.demo import DemoError, finish, until
from feedmill.deployment import Deployment
from feedmill.identity import identity
from feedmill.ledger import conditions, facts
from feedmill.simulate.landing import simulate
from feedmill.simulate.settings import Settings
from feedmill.spec import Input, Map, Table
from feedmill.status import NEEDS_A_BUILD, Knowledge, status_of
from feedmill.timeline import DAY, HOUR, Range, days, runs

LENGTH = days(35)
HOURLY_FEATURES = days(1)
"""Of the simulated weeks, what the hourly features and rankings are built of: a month of them would take an hour."""


def simulated_weeks(week: Range) -> Range:
    """The days that are simulated: those before the real week."""
    return Range(week.start - LENGTH, week.start, DAY)


def land_simulated(folder: Path, landing: str, weeks: Range) -> int:
    """Simulate the weeks into the folder, unless it holds them, and land the files that the landing zone lacks.

    Each file appears whole or not at all. Returns how many landed.
    """
    if not folder.exists():
        simulate(Settings(weeks.start, len(weeks)), folder)
    fs, root = fsspec.core.url_to_fs(landing)
    landed = 0
    for file in sorted(path for path in folder.glob("*/*/*") if path.parts[-3] != "truth"):
        place = PurePath(root, *file.parts[-3:])
        if fs.exists(str(place)):
            continue
        fs.makedirs(str(place.parent), exist_ok=True)
        hidden = str(place.with_name(f".{place.name}"))
        fs.put_file(str(file), hidden)
        fs.mv(hidden, str(place))
        landed += 1
    return landed


def heal(
    deployment: Deployment, api: AirflowApi, weeks: Range, now: datetime, say: Callable[[str], None]
) -> list[Table]:
    """Restate, layer by layer, what needs a build since the first simulated day; the tables, inputs first.

    Raises:
        DemoError: a run failed, a partition was held, or the time is up.
    """
    tables = list(deployment.tables)
    until(lambda: {t.dag_id for t in tables} <= api.known_dags(), "Airflow has not parsed the DAGs")
    name = f"demo_full__{now:%Y-%m-%dT%H:%M:%S}"
    for layer in layers(deployment.tables):
        wanted = {table: _needed(deployment, table, weeks, now) for table in layer}
        if not any(wanted.values()):
            continue
        for table, spans in wanted.items():
            for span in spans:
                api.restate(table, span, f"{name}__{span.start:%Y-%m-%dT%H}")
        api.unpause(layer)
        say(", ".join(f"{table.name} ({sum(map(len, spans)):,})" for table, spans in wanted.items() if spans))
        finish(api, layer, lambda run: run.run_id.startswith(name), lambda _: None)
        if left := [str(span) for table in layer for span in _needed(deployment, table, weeks, now)]:
            raise DemoError(f"some partitions were not published: {', '.join(left[:3])}; `feedmill status` shows them")
    return tables


def layers(tables: Map) -> list[list[Table]]:
    """The tables by how many are between them and the files: those of a layer do not read each other."""
    depth: dict[str, int] = {}
    for table in tables:
        depth[table.name] = 1 + max((depth[e.table.name] for e in table.inputs if isinstance(e, Input)), default=-1)
    return [[t for t in tables if depth[t.name] == level] for level in sorted(set(depth.values()))]


def _needed(deployment: Deployment, table: Table, weeks: Range, now: datetime) -> list[Range]:
    """The table's ranges of the demo's period that are not published, or not as they should be."""
    with deployment.ledger.transaction() as session:
        known = Knowledge(
            facts.load(session, [table]),
            conditions.held(session, [table]),
            {},
            {table.name: identity(table, deployment.project)},
        )
    lacking = {cell.partition for cell in status_of(table, known, now).within(NEEDS_A_BUILD)}
    published = known.facts.published.get(table.name, {})
    first = weeks.end - HOURLY_FEATURES if table.every is HOUR and _is_window(table) else weeks.start
    period = Range(first, table.every.floor(now), table.every)
    return runs([p for p in period.partitions() if p in lacking or p not in published], table.every)


def _is_window(table: Table) -> bool:
    return table.schema in ("features", "serving") or any(e.lookback > timedelta(0) for e in table.inputs)
