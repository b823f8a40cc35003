"""The full demo: five simulated weeks before the real one, and every table of the map, through Airflow.

The real week has no user ids. So the tables about users need another feed, a simulated one. It ends where the real week
begins, so no hour holds rows of both. The demo restates whatever is missing, stale or outdated, from the first
simulated day until now. It starts a table as soon as the tables that it reads are done, as a person would with the
trigger forms. If it runs again, it builds only what has changed since.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from feedmill.airflow_api import AirflowApi, Run
from feedmill.demo.week import Count, DemoError, failure, until
from feedmill.deployment import Deployment
from feedmill.freshness.identity import identity
from feedmill.freshness.load import picture
from feedmill.freshness.staleness import frozen_because
from feedmill.freshness.states import NEEDS_A_BUILD, Picture, State
from feedmill.landing import discover as landing
from feedmill.local.home import Home
from feedmill.simulate import truth
from feedmill.simulate.feed import EVENTS, ITEMS, simulate
from feedmill.simulate.settings import Settings
from feedmill.spec import Input, Map, Table
from feedmill.timeline import DAY, HOUR, Range, days, runs

WEEKS = days(35)
USERS, EVENTS_PER_DAY, ITEMS_IN_ALL = 1_500, 6_000, 600

WINDOWS_OF_HOURS = days(1)
"""Tables that read windows of hours are built for the end of the simulated weeks only, for this long. Each earlier hour
would cost as much as the last one, and nobody needs it."""

TIMEOUT = timedelta(hours=1)


def weeks_before(week: Range) -> Range:
    """The days that are simulated: those that end where the real week begins."""
    return Range(week.start - WEEKS, week.start, DAY)


def simulated(home: Home, weeks: Range) -> Path:
    """The folder of the simulation, with its truth. If it does not exist yet, it is made."""
    folder = home.path / "simulated" / f"{weeks.start:%Y-%m-%d}"
    if not folder.exists():
        simulate(Settings(weeks.start, len(weeks), USERS, EVENTS_PER_DAY, ITEMS_IN_ALL), folder)
    return folder


def land(folder: Path, zone: Path) -> int:
    """Move the simulation's files to the landing zone, as if each had arrived in its hour; return their number.

    They are moved, not copied, because a file's time says when its rows were received. Files that an earlier call has
    moved are not counted again.

    Raises:
        DemoError: the landing zone has another file of the same name.
    """
    files = [file for source in (EVENTS, ITEMS) for file in sorted((folder / source).glob("*/*"))]
    for file in files:
        place = zone / file.relative_to(folder)
        if place.exists():
            raise DemoError(f"{place} already exists and does not belong to this simulation: move it away")
        place.parent.mkdir(parents=True, exist_ok=True)
        file.rename(place)
    return len(files)


def register(deployment: Deployment, now: datetime) -> None:
    """Register the files that have landed, so that the ledger knows what is stale before the first build."""
    landing.discover(deployment.lake.landing, deployment.sources, ("events", "items"), deployment.ledger, now)


def periods(tables: Map, weeks: Range, now: datetime) -> dict[str, Range]:
    """For each table name, the range that the full demo builds: from the first simulated day to now.

    The range begins later if retention would delete its beginning the next night, if the table reads windows of hours,
    or if one of its inputs begins later.
    """
    found: dict[str, Range] = {}
    for table in tables:
        inputs = [entry for entry in table.inputs if isinstance(entry, Input)]
        starts = [weeks.start, now - table.keep, *(found[e.table.name].start for e in inputs if not e.as_of)]
        if table.every is HOUR and any(entry.lookback for entry in inputs):
            starts.append(weeks.end - WINDOWS_OF_HOURS)
        found[table.name] = table.range(table.every.ceil(max(starts)), table.every.floor(now))
    return found


def lacking(table: Table, period: Range, picture: Picture) -> list[Range]:
    """The ranges of the period that need a build and can be built. Expired and frozen partitions stay as they are."""
    status = picture.status(table)

    def needs_a_build(partition: datetime) -> bool:
        states = set(status.states(partition))
        if states & NEEDS_A_BUILD:
            return State.FROZEN not in states
        # Partitions before the table's history are not due, but the demo builds them too.
        if (states and State.NEVER_BUILT not in states) or status.is_expired(partition):
            return False
        return frozen_because(table, partition, picture.facts_of(table, partition)) is None

    return runs([partition for partition in period.partitions() if needs_a_build(partition)], table.every)


def run(deployment: Deployment, api: AirflowApi, weeks: Range, now: datetime, say: Callable[[str], None]) -> None:
    """Let Airflow publish every table's period until all of it is fresh. Afterwards the schedule goes on by itself.

    Raises:
        DemoError: a run failed, a partition was held, or the time is up.
    """
    tables = deployment.tables
    until(lambda: {table.dag_id for table in tables} <= api.known_dags(), "Airflow has not parsed the DAGs")
    spans = periods(tables, weeks, now)
    heal(
        tables,
        api,
        lambda table: lacking(table, spans[table.name], _picture(deployment, table, now)),
        f"demo_full__{now:%Y-%m-%dT%H:%M:%S}",
        say,
    )


def heal(
    tables: Map, api: AirflowApi, needed: Callable[[Table], list[Range]], name: str, say: Callable[[str], None]
) -> None:
    """Restate the ranges that each table needs, one run for each, as soon as all tables that it reads are done.

    Raises:
        DemoError: a run failed, a table still needs a build after all its runs, or the time is up.
    """
    deadline = datetime.now(UTC) + TIMEOUT
    waiting, done = list(tables), set[str]()
    at_work: dict[str, tuple[float, list[Range]]] = {}
    while waiting or at_work:
        for table in [t for t in waiting if _inputs(t) <= done]:
            waiting.remove(table)
            spans = needed(table)
            for span in spans:
                api.restate(table, span, _run_id(name, span))
            api.unpause([table])
            if spans:
                at_work[table.name] = time.monotonic(), spans
            else:
                done.add(table.name)
        for table in [tables[name] for name in at_work]:
            begun, spans = at_work[table.name]
            if not _are_over(api, table, {_run_id(name, span) for span in spans}):
                continue
            if left := needed(table):
                raise DemoError(
                    f"{table.name} {left[0]} was not published, or is stale again; `feedmill status` shows why"
                )
            del at_work[table.name]
            done.add(table.name)
            say(f"{table.name}: {sum(map(len, spans)):,} partitions in {time.monotonic() - begun:.0f} s")
        if datetime.now(UTC) > deadline:
            raise DemoError(f"{', '.join(at_work)}: still not done after {TIMEOUT}; look at the runs in Airflow")
        if at_work:
            time.sleep(1)


def expected(folder: Path) -> list[Count]:
    """Impressions and clicks by model and surface, as the simulator counted them. The roll-ups must show the same."""
    totals = truth.read(folder, "totals").group_by(["model_id", "surface"])
    rows = totals.aggregate([("impression", "sum"), ("click", "sum")]).to_pylist()
    return sorted(
        Count(row["model_id"], row["surface"], row["impression_sum"], row["click_sum"])
        for row in rows
        if row["impression_sum"] or row["click_sum"]
    )


def _picture(deployment: Deployment, table: Table, now: datetime) -> Picture:
    with deployment.ledger.transaction() as session:
        return picture(session, [table], {table.name: identity(table, deployment.project)}, now)


def _inputs(table: Table) -> set[str]:
    return {entry.table.name for entry in table.inputs if isinstance(entry, Input)}


def _run_id(name: str, span: Range) -> str:
    return f"{name}__{span.start:%Y-%m-%dT%H}"


def _are_over(api: AirflowApi, table: Table, wanted: Iterable[str]) -> bool:
    mine: Mapping[str, Run] = {run.run_id: run for run in api.runs(table)}
    found = [mine[run_id] for run_id in wanted if run_id in mine]
    if failed := [run for run in found if run.state == "failed"]:
        raise DemoError(failure(api, failed))
    return len(found) == len(set(wanted)) and all(run.is_over for run in found)
