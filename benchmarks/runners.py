"""What one small hourly build costs on each kind of Spark that a connection can name.

Each builds the same hour of `events.landed`, 20,000 events in four files, again and again, in turns. Every build must
have the digest of the first. Processor seconds are those of the task's process and of Spark's process; they include all
that the server does meanwhile. The server's line contains neither its own start nor the memory that it keeps between
builds.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from benchmarks import measure
from benchmarks.ground import Deployment, ground, processor_seconds
from benchmarks.measure import Result, Row
from feedmill import connections
from feedmill.connections import SPARK, Connection
from feedmill.timeline import HOUR, Range

SPAN = Range.one(datetime(2026, 5, 1, 10, tzinfo=UTC), HOUR)
EVENTS = 20_000
SUBMITTED = Connection(SPARK, "spark", host="local[2]")
SERVER, PLAIN = "Spark Connect, a server that is warm", "spark-submit, Java as it comes"
DEFAULT = "spark-submit, C1 and SerialGC (default on `local[…]`)"
SUBMITS = {
    PLAIN: replace(SUBMITTED, extra={"conf": {"spark.driver.extraJavaOptions": ""}}),
    DEFAULT: SUBMITTED,
    'spark-submit, the same and `"cds": true`': replace(SUBMITTED, extra={"cds": True}),
}


def main(small: bool) -> Result:
    """Land an hour, and build it on each in turns."""
    events = 2_000 if small else EVENTS
    digests: set[str] = set()
    with ground() as deployment:
        land(deployment, events)
        ways = {SERVER: connections.get(SPARK), **SUBMITS}
        if small:
            del ways[DEFAULT]  # tests/runners builds with it

        def build_on(connection: Connection) -> None:
            define(connection)
            digests.add(built(deployment))

        arms = {name: partial(build_on, connection) for name, connection in ways.items()}
        samples = measure.interleaved(arms, small, processor_seconds(deployment))
    assert len(digests) == 1, "every way builds the same rows"
    return Result("runners", samples, {"events": events}, small)


def land(deployment: Deployment, events: int) -> None:
    """Events of one hour, as JSON lines in four files."""
    folder = Path(deployment.lake.landing.removeprefix("file://")) / "events_jsonl" / HOUR.name_of(SPAN.start)
    folder.mkdir(parents=True)
    for part in range(4):
        lines = [
            {
                "event_id": f"e{number}",
                "event_time": (SPAN.start + timedelta(seconds=number % 3600)).isoformat(),
                "event_type": "click" if number % 20 == 0 else "impression",
                "item_id": f"i{number % 200}",
                "user_id": f"u{number % 1000}",
            }
            for number in range(part, events, 4)
        ]
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def built(deployment: Deployment) -> str:
    """Build the hour; the digest of its rows."""
    from feedmill.flow.build import build
    from feedmill.flow.job import Job
    from feedmill.ledger import builds

    made = build(Job(deployment.tables["events.landed"], SPAN, deployment, "bench"))
    with deployment.ledger.transaction() as session:
        (partition,) = builds.written(session, made.build_id).values()
        return partition.digest


def define(connection: Connection) -> None:
    """Set the connection in the environment, as in production."""
    fields = ("conn_type", "host", "port", "login", "password", "schema", "extra")
    value = {name: getattr(connection, name) for name in fields}
    os.environ[f"AIRFLOW_CONN_{connection.conn_id.upper()}"] = json.dumps(value)


def rows(result: Result) -> list[Row]:
    """Seconds of each, and their ratios to spark-submit as it comes."""
    found = []
    for name in (way for way in (SERVER, *SUBMITS) if way in result.samples):
        wall, cpu = result.samples[name], result.samples[f"{name}: CPU"]
        found.append(Row(name, f"{measure.shown(wall)}; CPU {measure.shown(cpu)}"))
        if name != PLAIN:
            ratio = measure.ratios(wall, result.samples[PLAIN])
            used = measure.ratios(cpu, result.samples[f"{PLAIN}: CPU"])
            value = f"{measure.shown(ratio, '')}; CPU {measure.shown(used, '')}"
            found.append(Row(f"{name} ÷ {PLAIN}", value))
    return found


if __name__ == "__main__":
    measure.command("runners", main, rows)
