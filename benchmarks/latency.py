"""From a file landed to its hour published, through Airflow; and the memory of the whole stack, at rest and at work.

A separate local stack (`make up` in an empty home) runs `events.landed`, `events.clean` and
`rollups.item_engagement_hourly`. For a sample, a JSON-lines file of 360 events lands in the folder of an hour that has
ended, as a file of the hour's last moment does. The three DAGs are triggered for that hour at once, as the schedule
does when an hour ends. Latency is the time from the file's modification to the publish in the ledger. In the schedule,
add the second or two until the scheduler notices that the hour has ended. The first round is not counted. Tasks' times
are Airflow's own, from start to end.

Memory is the proportional set size (PSS: processes that share a page each count a part of it) of every process of the
stack, PostgreSQL's included, by part. It is measured at rest, when all DAGs are parsed and nothing runs, and at its
peak while the rounds run, with a look every second. Peaks of parts need not be in the same second; the peak of the sum
is measured as such.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import measure
from benchmarks.ground import Home, Postgres, free_ports
from benchmarks.measure import Result, Row
from feedmill.timeline import HOUR, Range

if TYPE_CHECKING:
    from feedmill.airflow_api import AirflowApi
    from feedmill.spec import Table

EVENTS = 360
TASKS = ("wait_for_inputs", "build", "check", "publish")
MB = 1e6


def main(small: bool) -> Result:
    """Start the stack, look at it at rest, land and wait round by round, and look at it again."""
    from feedmill.airflow_api import AirflowApi
    from feedmill.local import stack
    from include.tables import clean, item_engagement_hourly, landed

    tables = [landed, clean, item_engagement_hourly]
    runs = 1 if small else measure.RUNS
    samples: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="feedmill-bench-") as name:
        Path(name).chmod(0o711)
        home = Home(Path(name) / "home").prepare(ports=free_ports())
        os.environ["FEEDMILL_HOME"] = str(home.path)
        try:
            access = stack.up(home, say=measure.say)
            from feedmill.deployment import open_deployment

            deployment = open_deployment()
            api = AirflowApi(access.url, access.login, access.password)
            until(lambda: {t.dag_id for t in deployment.tables} <= api.known_dags(), 120)
            api.unpause(tables)
            time.sleep(2 if small else 20)
            for _ in range(runs):
                for part, value in memory(home).items():
                    samples.setdefault(f"at rest: {part}", []).append(value)
                time.sleep(1)
            peaks: dict[str, float] = {}
            with watched(home, peaks):
                for number in measure.rounds(small):
                    hour = HOUR.floor(datetime.now(UTC)) - timedelta(hours=2 + runs - number)
                    landed_at = land(home, hour)
                    for table in tables:
                        api.restate(table, Range.one(hour, HOUR), f"bench__{number}")
                    found = {t.name: published(deployment, t.name, hour) - landed_at for t in tables}
                    measure.say(f"  {number + 1} {found}")
                    for table_name, seconds in found.items() if number >= 0 else ():
                        samples.setdefault(f"latency: {table_name}", []).append(seconds)
                    # The ledger's row is there before Airflow knows how its task ended.
                    until(partial(over, api, tables, f"bench__{number}"), 60)
            samples |= {f"peak: {part}": [value] for part, value in peaks.items()}
            samples |= task_times(home, runs)
        finally:
            stack.clean(home, say=measure.say)
    return Result("latency", samples, {"events": EVENTS, "tables": [table.name for table in tables]}, small)


def land(home: Home, hour: datetime) -> float:
    """Land a file of the hour; return the time."""
    folder = home.landing / "events_jsonl" / HOUR.name_of(hour)
    folder.mkdir(parents=True)
    lines = [
        {
            "event_id": f"{hour:%Y%m%d%H}-{number}",
            "event_time": (hour + timedelta(seconds=10 * number)).isoformat(),
            "event_types": ["impression", "click"] if number % 25 == 0 else ["impression"],
            "user_id": f"u{number % 97}",
            "item_id": f"i{number % 40}",
            "surface": "home",
            "model_id": "bandit",
            "position": number % 10,
        }
        for number in range(EVENTS)
    ]
    draft = folder / ".draft"
    draft.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return draft.rename(folder / "events.jsonl").stat().st_mtime


def published(deployment: Any, table_name: str, hour: datetime) -> float:
    """Wait until the hour is published; return the ledger's time of the publish."""
    from sqlalchemy import select

    from feedmill.ledger.models import Publish

    query = select(Publish.published_at).where(Publish.table_name == table_name, Publish.partition == hour)
    moments: list[datetime] = []

    def there() -> bool:
        with deployment.ledger.transaction() as session:
            moments[:] = session.scalars(query)
        return bool(moments)

    until(there, 240)
    return moments[0].timestamp()


def over(api: AirflowApi, tables: Sequence[Table], run_id: str) -> bool:
    """Whether Airflow has ended the run of each of the tables."""
    ended = (run for table in tables for run in api.runs(table) if run.run_id == run_id and run.is_over)
    return len(list(ended)) == len(tables)


def until(true: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition is true.

    Raises:
        TimeoutError: it did not become true in time.
    """
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"still not so after {seconds:.0f} s; look at the stack's logs")
        time.sleep(0.25)


def task_times(home: Home, runs: int) -> dict[str, list[float]]:
    """Airflow's seconds of each task of the last table's counted runs."""
    from sqlalchemy import create_engine, text

    query = text(
        "SELECT dag_id, task_id, extract(epoch FROM end_date - start_date) FROM task_instance "
        "WHERE run_id = ANY(:runs) AND state = 'success' ORDER BY start_date"
    )
    found: dict[str, list[float]] = {}
    engine = create_engine(Postgres(home).url("airflow"))
    with engine.connect() as connection:
        wanted = {"runs": [f"bench__{number}" for number in range(runs)]}
        for dag_id, task_id, seconds in connection.execute(query, wanted):
            found.setdefault(f"task: {dag_id} {task_id}", []).append(float(seconds))
    engine.dispose()
    return found


def memory(home: Home) -> dict[str, float]:
    """MB of PSS of each part of the stack with its children, and of all. A part below another part counts alone."""
    import psutil

    from feedmill.local.process import Component

    roots = {name: Component(home, name).pid() for name in sorted(file.stem for file in home.run.glob("*.json"))}
    found: dict[str, float] = {}
    for name, pid in roots.items():
        family = list(_family(pid, {root for root in roots.values() if root != pid})) if pid is not None else []
        found[name] = 0.0
        for process in family:
            with suppress(psutil.Error):
                found[name] += process.memory_full_info().pss / MB
    return {**found, "all": sum(found.values())}


def _family(pid: int, others: set[int | None]) -> Iterator[Any]:
    """The process and its descendants, without the other parts and theirs."""
    import psutil

    with suppress(psutil.Error):
        process = psutil.Process(pid)
        yield process
        for child in process.children():
            if child.pid not in others:
                yield from _family(child.pid, others)


@contextmanager
def watched(home: Home, peaks: dict[str, float]) -> Iterator[None]:
    """Look at the memory every second, and keep each part's largest in ``peaks``."""
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(1):
            keep(peaks, memory(home))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def keep(peaks: dict[str, float], found: Mapping[str, float]) -> None:
    """The larger of both, by part."""
    for part, value in found.items():
        peaks[part] = max(value, peaks.get(part, 0.0))


def rows(result: Result) -> list[Row]:
    """No goal: latency by table, tasks of the last, memory by part."""
    last = result.facts["tables"][-1]
    found = []
    for name in result.facts["tables"]:
        value = measure.shown(result.samples[f"latency: {name}"])
        found.append(Row(f"from a file landed to {name} published", value, headline=name == last))
    for task in TASKS:
        value = measure.shown(result.samples[f"task: {last} {task}"])
        found.append(Row(f"{last}: task {task}", value))
    parts = [key.removeprefix("peak: ") for key in result.samples if key.startswith("peak: ")]
    for part in parts:
        value = (
            f"{measure.shown(result.samples[f'at rest: {part}'], 'MB')}; {result.samples[f'peak: {part}'][0]:,.0f} MB"
        )
        what = "the whole stack" if part == "all" else part
        found.append(Row(f"memory of {what}, at rest; peak at work", value))
    return found


if __name__ == "__main__":
    measure.command("latency", main, rows)
