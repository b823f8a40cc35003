"""What a round of `feedmill watch` costs: of 1,000 tables with 90 days of hours, on the ledger alone.

The map and the ledger are those of the question `freshness`: 2.16 million partitions, 1,000 builds that failed and 200
held partitions, so that many incidents are open and 600 tables wait. The first round reads everything and writes every
incident to the outbox; channels take each message at once. A *quiet* round finds nothing new. One *after a publish*
finds that one partition has changed. Processor seconds are those of the process, without PostgreSQL's. Airflow is not
asked: its API answers in the time that it needs.
"""

from __future__ import annotations

import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks import freshness, measure
from benchmarks.measure import Result, Row

WHAT = ("first", "quiet", "publish")


class Taken:
    """A channel that takes every message."""

    conn_id, keyed = "any", True

    def send(self, message: Any) -> Any:  # noqa: ARG002
        """Take it."""
        from feedmill.alerts.channels.channel import Answer, Result

        return Answer(Result.DELIVERED)

    def confirm(self, request: str) -> Any:
        """Nothing is only accepted."""
        raise AssertionError(request)


def main(small: bool) -> Result:
    """First, quiet and changed rounds, each anew on a process that has looked at nothing."""
    import psutil

    families, days, runs = (2, 2, 1) if small else (freshness.FAMILIES, freshness.DAYS, measure.RUNS)
    samples: dict[str, list[float]] = {}
    with freshness.ledger() as ledger, tempfile.TemporaryDirectory(prefix="feedmill-bench-") as name:
        tables = freshness.the_map(families)
        freshness.fill(ledger, tables, days)
        measure.say(f"  {len(tables)} tables of {days} days are in the ledger")
        process, incidents = psutil.Process(), 0
        before = process.memory_info().rss
        for run in range(runs):
            watch = watcher(ledger, tables, Path(name) / f"{run}.json")
            for number, what in enumerate(("first", "quiet", "quiet", "publish")):
                if what == "publish":
                    publish(ledger, next(iter(tables)), run)
                moment = freshness.NOW + timedelta(hours=1, seconds=10 * (4 * run + number))
                watch.clock = lambda now=moment: now
                wall, cpu = time.monotonic(), time.process_time()
                watch.round()
                samples.setdefault(what, []).append(time.monotonic() - wall)
                samples.setdefault(f"{what}: CPU", []).append(time.process_time() - cpu)
            incidents = sum(one.is_open for one in watch._kept.incidents.values())
            measure.say(f"  {run + 1} {incidents} incidents, {[round(v[-1], 2) for v in samples.values()]}")
        grown = process.memory_info().rss - before
    facts = {"tables": len(tables), "days": days, "incidents": incidents, "memory MB": round(grown / 1e6)}
    return Result("watch", samples, facts, small)


def watcher(ledger: Any, tables: Any, copy: Path) -> Any:
    """A process that watches this ledger."""
    from feedmill.alerts.dispatch import Setting
    from feedmill.alerts.look import Lookout
    from feedmill.alerts.page import Ground
    from feedmill.alerts.scene import Owners
    from feedmill.alerts.watch import Watch
    from feedmill.spec import Maintainer

    team = Maintainer("team", "benchmarks", "mailto:team@example.com", channels=("any",))
    owners = Owners({team.name: team}, team, team)
    setting = Setting("benchmark", (), owners)
    return Watch(
        ledger, Lookout(tables, owners, ledger), Ground(owners.known, tables), setting, lambda _: Taken(), copy,
        holder="benchmark",
    )  # fmt: skip


def publish(ledger: Any, table: Any, run: int) -> None:
    """One partition is published anew."""
    from feedmill.ledger import builds, publishes
    from feedmill.ledger.builds import Written
    from feedmill.ledger.publishes import Moved

    moment = freshness.END - timedelta(hours=2)
    with ledger.transaction() as session:
        build = builds.begin(session, table, table.one(moment), f"{table.name}/r{run}", "code")
        builds.finish(session, build.id, 1, [Written(moment, 1000, f"d{run}", None)])
        publishes.record(session, build, [Moved(moment, 1000, f"d{run}{time.monotonic()}", None)], 2)


def rows(result: Result) -> list[Row]:
    """A round against the ten seconds that it has."""
    tables, days, incidents = (result.facts[name] for name in ("tables", "days", "incidents"))
    found = []
    for what, said in (
        ("first", f"the first round of {tables:,} tables of {days} days"),
        ("quiet", "a round that finds nothing new"),
        ("publish", "a round after a publish"),
    ):
        wall, cpu = result.samples[what], result.samples[f"{what}: CPU"]
        goal = ("below 1 s", measure.median(wall) < 1) if what != "first" else ("below 30 s", measure.median(wall) < 30)
        found.append(Row(said, f"{measure.shown(wall)}; CPU {measure.shown(cpu)}", *goal))
    found.append(Row("incidents that are open", f"{incidents:,}"))
    found.append(Row("memory", f"{result.facts['memory MB']:,} MB"))
    return found


if __name__ == "__main__":
    measure.command("watch", main, rows)
