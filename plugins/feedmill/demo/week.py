"""The demo: a real week of impressions becomes checked, published tables through Airflow's own scheduler.

The week of the Open Bandit Dataset is moved in time so that it ended last midnight (UTC). It has whole days, so that
hourly and daily roll-ups hold the same events. One run per table builds its history. The scheduler builds its last
hours one by one. One more run per table builds the quiet hours since midnight. From there on the schedule goes on by
itself.
"""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from feedmill.airflow_api import AirflowApi, Run
from feedmill.deployment import Deployment
from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.freshness.load import load
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

HOUR_BY_HOUR = hours(3)
"""The end of the week, which the scheduler builds hour by hour."""

TIMEOUT = timedelta(minutes=20)


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
    """The week's hours: of the week that has landed, if any, else of the seven days that ended last midnight."""
    first = min(_landed_hours(deployment), default=None)
    end = DAY.floor(now) if first is None else DAY.floor(first) + WEEK
    return Range(end - WEEK, end, HOUR)


def is_landed(deployment: Deployment) -> bool:
    """Whether the week has landed."""
    return bool(_landed_hours(deployment))


def run(deployment: Deployment, api: AirflowApi, week: Range, now: datetime, say: Callable[[str], None]) -> None:
    """Let Airflow build and publish the week's :data:`TABLES`. Published partitions are left alone.

    Raises:
        DemoError: a run failed, or the time is up.
    """
    tables = [table for table in deployment.tables if table.name in TABLES]
    until(lambda: {t.dag_id for t in tables} <= api.known_dags(), "Airflow has not parsed the DAGs")
    before = {(run.dag_id, run.run_id) for table in tables for run in api.runs(table)}
    name = f"demo__{now:%Y-%m-%dT%H:%M:%S}"
    started = 0
    for table in tables:
        one_by_one = Range(week.end - HOUR_BY_HOUR, week.end, HOUR) if table.every is HOUR else None
        for span in _unpublished(deployment, table, week, now):
            history, last = _split(span, one_by_one)
            for part in history:
                api.restate(table, part, f"{name}__{part.start:%Y-%m-%dT%H}")
            if last is not None:
                api.backfill(table, last)
            started += len(history) + (len(last) if last else 0)
    api.unpause(tables)
    if started:
        say(f"Airflow is building {len(tables)} tables, in {started} runs")
        finish(api, tables, lambda run: (run.dag_id, run.run_id) not in before, say)
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


def _split(span: Range, one_by_one: Range | None) -> tuple[list[Range], Range | None]:
    """Split a range: the part to build at once, and the hours to build one by one."""
    if one_by_one is None or span.start >= one_by_one.end or span.end <= one_by_one.start:
        return [span], None
    start, end = max(span.start, one_by_one.start), min(span.end, one_by_one.end)
    around = [(span.start, start), (end, span.end)]
    return [Range(low, high, span.period) for low, high in around if low < high], Range(start, end, span.period)


def finish(api: AirflowApi, tables: Iterable[Table], wanted: Callable[[Run], bool], say: Callable[[str], None]) -> None:
    """Wait until the wanted runs of these tables are over.

    Raises:
        DemoError: one failed, or the time is up.
    """
    tables = list(tables)
    deadline = datetime.now(UTC) + TIMEOUT
    told = -1
    while True:
        mine = [run for table in tables for run in api.runs(table) if wanted(run)]
        over = [run for run in mine if run.is_over]
        failed = [run for run in over if run.state == "failed"]
        if len(over) != told:
            told = len(over)
            say(f"{told} of {len(mine)} runs are done")
        if failed:
            raise DemoError(failure(api, failed))
        if mine and len(over) == len(mine):
            return
        if datetime.now(UTC) > deadline:
            raise DemoError(f"{len(mine) - len(over)} runs are not done after {TIMEOUT}; look at them in Airflow")
        time.sleep(2)


def failure(api: AirflowApi, failed: list[Run]) -> str:
    """One sentence about failed runs: how many, and the task of the first one."""
    tasks = [task for task in api.failed_tasks() if any(task.startswith(f"{r.dag_id} {r.run_id} ") for r in failed)]
    what = tasks[0] if tasks else f"{failed[0].dag_id} {failed[0].run_id}"
    return f"{len(failed)} runs failed, the first was {what}; its log in Airflow says why"


def until(true: Callable[[], bool], otherwise: str) -> None:
    """Wait for something that Airflow needs a moment for.

    Raises:
        DemoError: it did not become true in two minutes.
    """
    deadline = time.monotonic() + 120
    while not true():
        if time.monotonic() > deadline:
            raise DemoError(f"{otherwise} within two minutes; see the logs in .feedmill/logs")
        time.sleep(1)
