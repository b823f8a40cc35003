"""The demo: a real week of impressions becomes checked, published tables through Airflow's own scheduler.

The week of the Open Bandit Dataset is moved in time so that it ended last midnight (UTC): whole days, so that hourly
and daily roll-ups hold the same events. The scheduler builds the first hours one by one. One run for each table builds
all that follows, the quiet hours since midnight included. From there on the schedule goes on by itself.
"""

from __future__ import annotations

import csv
import functools
import io
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from feedmill.airflow_api import AirflowApi, Run
from feedmill.deployment import Deployment
from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.freshness.load import load
from feedmill.local.process import wait_until
from feedmill.spec import Table
from feedmill.timeline import DAY, HOUR, Range, hours, parse, runs

SOURCE = "open_bandit"
ITEMS = "open_bandit_items"
WEEK = timedelta(days=7)
TABLES = (
    "events.landed",
    "events.rejected",
    "events.clean",
    "catalog.items",
    "rollups.item_engagement_hourly",
    "rollups.item_engagement_daily",
)
"""The demo builds only these tables, so that it takes minutes. The DAGs of all other tables stay paused."""

HOUR_BY_HOUR = hours(2)
"""The beginning of the week, which the scheduler builds hour by hour."""

FIRST = "events.landed"
"""Its long range starts first, because every other long range waits for its rows."""

PATIENCE = timedelta(minutes=15)
"""If no run has ended for this long, the demo gives up."""


class DemoError(FeedmillError, code=Exit.PROBLEM, retry=False, turn=Turn.OPERATOR):
    """The demo cannot go on. The message says what failed and where to look."""


@dataclass(frozen=True, order=True)
class Count:
    """The impressions and clicks of one policy in one campaign."""

    policy: str
    campaign: str
    impressions: int
    clicks: int


def fetch(folder: Path, project: Path) -> Path:
    """The wheel that holds the data. It is downloaded once, and must have the hash in requirements-demo.txt.

    Raises:
        DemoError: the wheel could not be downloaded.
    """
    found = sorted(folder.glob("obp-*.whl"))
    if found:
        return found[0]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    wanted = ["--dest", str(folder), "--requirement", str(project / "requirements-demo.txt")]
    result = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
    if result.returncode:
        raise DemoError(f"the demo's data could not be downloaded: {result.stderr.strip()[-500:]}")
    return sorted(folder.glob("obp-*.whl"))[0]


def week_of(deployment: Deployment, now: datetime) -> Range:
    """The hours of the week that has landed. If none has, the hours of the seven days that ended last midnight."""
    first = min(_landed_hours(deployment), default=None)
    end = DAY.floor(now) if first is None else DAY.floor(first) + WEEK
    return Range(end - WEEK, end, HOUR)


def is_landed(deployment: Deployment) -> bool:
    """Whether the week has landed."""
    return bool(_landed_hours(deployment))


def run(deployment: Deployment, api: AirflowApi, week: Range, now: datetime, say: Callable[[str], None]) -> None:
    """Let Airflow build and publish the week's :data:`TABLES`. Partitions that are published already stay as they are.

    Raises:
        DemoError: a run failed, or the time is up.
    """
    tables = [table for table in deployment.tables if table.name in TABLES]
    until(lambda: {t.dag_id for t in tables} <= api.known_dags(), "Airflow has not parsed the DAGs")
    before = {(run.dag_id, run.run_id) for run in api.newest_runs(tables)}
    name = f"demo__{now:%Y-%m-%dT%H:%M:%S}"
    spans = [(table, span) for table in tables for span in _unpublished(deployment, table, week, now)]
    one_by_one = Range(week.start, week.start + HOUR_BY_HOUR, HOUR)
    parts = [(table, *_split(span, one_by_one if table.every is HOUR else None)) for table, span in spans]
    ranges = [(table, span) for table, _, rest in parts for span in rest]
    single = [(table, span) for table, span, _ in parts if span is not None]
    api.unpause(tables)
    for table, span in sorted(ranges, key=lambda entry: entry[0].name != FIRST):
        run_id = f"{name}__{span.start:%Y-%m-%dT%H}"
        api.restate(table, span, run_id)
        if table.name == FIRST:
            # Airflow prefers runs with a logical date. Without this wait it would build all single hours first.
            wait_until(functools.partial(api.has_started, table, run_id, "build"), 120, every=1)
    for table, span in single:
        api.backfill(table, span)
    started = len(ranges) + sum(len(span) for _, span in single)
    if started:
        say(f"Airflow is building {len(tables)} tables, in {started} runs")
        # Hours that end meanwhile get scheduled runs. The demo does not wait for those.
        finish(lambda: [run for run in api.newest_runs(tables) if _is_ours(run, before)], api, say)
    left = [str(span) for table in tables for span in _unpublished(deployment, table, week, now)]
    if left:
        raise DemoError(f"some partitions were not published: {', '.join(left[:3])}; `feedmill status` shows them")


def expected(wheel: Path) -> list[Count]:
    """Impressions and clicks, counted in the wheel without Spark. The roll-ups must show the same."""
    counts = []
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            parts = Path(name).parts
            if len(parts) < 3 or parts[-1] != f"{parts[-2]}.csv":
                continue
            clicks = Counter(
                row["click"] for row in csv.DictReader(io.TextIOWrapper(archive.open(name), encoding="utf-8"))
            )
            counts.append(Count(parts[-3], parts[-2], clicks.total(), clicks["1"]))
    return sorted(counts)


def totals_query(table: str, week: Range) -> str:
    """The week's impressions and clicks by policy and campaign, from a roll-up."""
    column = "hour" if table.endswith("hourly") else "day"
    return (
        f"SELECT model_id, surface, sum(impressions), sum(clicks) FROM {table} "
        f"WHERE {column} >= '{week.start:%Y-%m-%d %H:%M}' AND {column} < '{week.end:%Y-%m-%d %H:%M}' "
        "GROUP BY ALL ORDER BY ALL"
    )


def counts(rows: Iterable[tuple[Any, ...]]) -> list[Count]:
    """The rows of :func:`totals_query`, sorted."""
    return sorted(Count(policy, campaign, int(shown), int(clicked)) for policy, campaign, shown, clicked in rows)


def _landed_hours(deployment: Deployment) -> list[datetime]:
    import fsspec

    fs, root = fsspec.core.url_to_fs(f"{deployment.lake.landing}/{SOURCE}")
    if not fs.exists(root):
        return []
    names = [Path(folder).name for folder in fs.ls(root, detail=False)]
    return [parse(name) for name in names if not name.startswith((".", "_"))]


def _unpublished(deployment: Deployment, table: Table, week: Range, now: datetime) -> list[Range]:
    """The table's ranges from the week's start to now that are not published yet; whole days for a daily table."""
    end = HOUR.floor(now) if table.every is HOUR else week.end
    with deployment.ledger.transaction() as session:
        published = load(session, [table]).published.get(table.name, {})
    return runs([p for p in Range(week.start, end, table.every).partitions() if p not in published], table.every)


def _is_ours(run: Run, before: set[tuple[str, str]]) -> bool:
    return (run.dag_id, run.run_id) not in before and not run.is_scheduled


def _split(span: Range, one_by_one: Range | None) -> tuple[Range | None, list[Range]]:
    """The part of a range that is built hour by hour, and the ranges around it."""
    if one_by_one is None or span.start >= one_by_one.end or span.end <= one_by_one.start:
        return None, [span]
    start, end = max(span.start, one_by_one.start), min(span.end, one_by_one.end)
    around = [(span.start, start), (end, span.end)]
    return Range(start, end, span.period), [Range(low, high, span.period) for low, high in around if low < high]


def finish(runs_of: Callable[[], list[Run]], api: AirflowApi, say: Callable[[str], None]) -> None:
    """Wait until these runs are over.

    Raises:
        DemoError: one failed, or none has ended for a long time.
    """
    told, since = -1, time.monotonic()
    while True:
        mine = runs_of()
        over = [run for run in mine if run.is_over]
        failed = [run for run in over if run.state == "failed"]
        if len(over) != told:
            told, since = len(over), time.monotonic()
            say(f"{told} of {len(mine)} runs are done")
        if failed:
            raise DemoError(failure(api, failed))
        if mine and len(over) == len(mine):
            return
        if time.monotonic() - since > PATIENCE.total_seconds():
            minutes = PATIENCE.total_seconds() / 60
            raise DemoError(
                f"{len(mine) - len(over)} runs are not done, and none has ended for {minutes:.0f} minutes. "
                "Look at them in Airflow. `make demo` goes on from where it stopped"
            )
        time.sleep(2)


def failure(api: AirflowApi, failed: list[Run]) -> str:
    """One sentence about failed runs: how many, and the task of the first one."""
    tasks = [task for task in api.failed_tasks() if any(task.startswith(f"{r.dag_id} {r.run_id} ") for r in failed)]
    what = tasks[0] if tasks else f"{failed[0].dag_id} {failed[0].run_id}"
    return f"{len(failed)} runs failed, the first was {what}; its log in Airflow says why"


def until(true: Callable[[], bool], otherwise: str) -> None:
    """Wait until a condition is true that Airflow needs a moment for.

    Raises:
        DemoError: it was not true within two minutes.
    """
    deadline = time.monotonic() + 120
    while not true():
        if time.monotonic() > deadline:
            raise DemoError(f"{otherwise} within two minutes; see the logs in .feedmill/logs")
        time.sleep(1)
