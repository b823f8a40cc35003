"""What one small hourly build costs on each kind of Spark: ``python benchmarks/runners.py`` writes docs/runners.md.

A stack of its own, with PostgreSQL and a Spark Connect server, in a folder that is deleted at the end. The same hour of
``events.landed`` is built again and again, in turns; every build must have the digest of the first. CPU is that of the
task's process and of Spark's, where the server's idle share is counted too. Compare the ratios; the seconds are the
machine's.

    --runs 5        of each, beside a first one that is not counted
    --events 20000  in the hour
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "plugins")]

PAGE = PROJECT / "docs" / "runners.md"
BEGIN, END = "<!-- benchmarks/runners.py: begin -->", "<!-- benchmarks/runners.py: end -->"
HOUR_START = datetime(2026, 5, 1, 10, tzinfo=UTC)


def main() -> None:
    """Land an hour, build it on each in turns, write the table."""
    from feedmill.connections import SPARK, Connection
    from feedmill.deployment import Deployment
    from feedmill.lake.catalog import Lake
    from feedmill.ledger.store import Ledger, migrate
    from feedmill.local.home import Home, free_ports
    from feedmill.local.postgres import Postgres
    from feedmill.local.settings import load
    from feedmill.local.spark import SparkServer
    from feedmill.runner import java
    from include.spark.sources import SOURCES
    from include.tables import TABLES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--events", type=int, default=20_000)
    given = parser.parse_args()
    # A time-out's signal too must stop the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="feedmill-bench-") as folder:
        home = Home(Path(folder) / "home").prepare(ports=free_ports())
        connections = load(home.settings_file, home.env()).connections
        for connection in connections.values():
            define(connection)
        submitted = Connection(SPARK, "spark", host="local[2]")
        plain = {"conf": {"spark.driver.extraJavaOptions": ""}}
        ways = {
            "Spark Connect, a server that is warm": connections[SPARK],
            "spark-submit, Java as it comes": replace(submitted, extra=plain),
            "spark-submit, C1 and SerialGC (default on `local[…]`)": submitted,
            'spark-submit, the same and `"cds": true`': replace(submitted, extra={"cds": True}),
        }
        postgres, spark = Postgres(home, durable=False), SparkServer(home)
        postgres.start()
        try:
            migrate(postgres.url("ledger"))
            spark.start()
            lake = Lake(
                connections["iceberg_default"].catalog_properties,
                f"file://{folder}/landing",
                f"file://{folder}/pages",
                PROJECT,
            )
            land(Path(folder) / "landing" / "events_jsonl" / "2026-05-01T10", given.events)
            deployment = Deployment(PROJECT, TABLES, SOURCES, Ledger(postgres.url("ledger")), lake)
            measured = measure(deployment, ways, spark, given.runs)
        finally:
            spark.stop()
            postgres.stop()
            postgres.delete()
    about = (
        f"One hour of `events.landed` with {given.events:,} events, median of {given.runs} builds in turns; "
        f"Java {java.version(java.find())}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}. "
        "The server's own 0.5 GB or more, and its start, are not in the first line.\n"
    )
    text = PAGE.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{about}\n{table(measured)}\n{END}{after}")


def define(connection) -> None:  # type: ignore[no-untyped-def]
    """Make it known as in production: in the environment."""
    fields = ("conn_type", "host", "port", "login", "password", "schema", "extra")
    value = {name: getattr(connection, name) for name in fields}
    os.environ[f"AIRFLOW_CONN_{connection.conn_id.upper()}"] = json.dumps(value)


def land(folder: Path, events: int) -> None:
    """Events of one hour, as JSON lines in four files."""
    folder.mkdir(parents=True)
    for part in range(4):
        rows = [
            {
                "event_id": f"e{number}",
                "event_time": (HOUR_START + timedelta(seconds=number % 3600)).isoformat(),
                "event_type": "click" if number % 20 == 0 else "impression",
                "item_id": f"i{number % 200}",
                "user_id": f"u{number % 1000}",
            }
            for number in range(part, events, 4)
        ]
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def measure(deployment, ways, server, runs: int) -> dict[str, list[tuple[float, float]]]:  # type: ignore[no-untyped-def]
    """Wall and CPU seconds of each build, by way."""
    import psutil

    from feedmill.ledger import builds
    from feedmill.runner.build import build
    from feedmill.timeline import HOUR, Range

    process = psutil.Process(server.component.pid())

    def cpu() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        times = process.cpu_times()
        return sum(u.ru_utime + u.ru_stime for u in used) + times.user + times.system

    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    digests = set()
    for run in range(runs + 1):
        for name, connection in ways.items():
            define(connection)
            clock, used = time.monotonic(), cpu()
            built = build(deployment.tables["events.landed"], Range.one(HOUR_START, HOUR), deployment, "bench")
            spent = (time.monotonic() - clock, cpu() - used)
            with deployment.ledger.transaction() as session:
                digests.add(*(p.digest for p in builds.written(session, built.build_id).values()))
            print(f"{run} {name}: {spent[0]:.1f} s, {spent[1]:.1f} CPU-s", flush=True)  # noqa: T201
            if run:
                found[name].append(spent)
    assert len(digests) == 1, "every way builds the same rows"
    return found


def table(found: dict[str, list[tuple[float, float]]]) -> str:
    """Medians, and their ratios to spark-submit as it comes."""
    medians = {
        name: (statistics.median(w for w, _ in spent), statistics.median(c for _, c in spent))
        for name, spent in found.items()
    }
    base = list(medians.values())[1]
    lines = ["| | wall, s | CPU, s | wall, ratio | CPU, ratio |", "|---|---|---|---|---|"]
    for name, (wall, cpu) in medians.items():
        lines.append(f"| {name} | {wall:.1f} | {cpu:.1f} | {wall / base[0]:.2f} | {cpu / base[1]:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
