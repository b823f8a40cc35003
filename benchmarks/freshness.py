"""The state of every partition: a first look at the ledger, a later one, one table in detail, and a publish's share.

The map has 1,000 hourly tables in 20 families, each a landed table, a clean one that reads it by touches, and 48 that
read those: by the hour, in chains, and four by windows of 28 days. The ledger holds 90 days of each: 2.16 million
published partitions, as many builds and verdicts, 1,000 builds that failed and 200 verdicts that hold a partition. A
*cold* look reads everything and computes every state. A *warm* one reads what changed since the look before: nothing, a
publish, a hundred publishes, or the clock's next hour. *One table* is its problems in words, and what the newest of
them waits for. A publish's *share* of the ledger is the transaction that records one partition; every fifth publish is
a sample, and so is the first of each round, right after the cold look. A *bare commit* beside it adds 1 to the only row
of a table without index and trigger: it costs a connection of the pool, the round trips and the disk, whatever is
written. Seconds are those of the wall, PostgreSQL on the same machine included; memory is what the process grew by.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.measure import Result, Row

DAYS = 90
FAMILIES, MEMBERS = 20, 50
END = datetime(2026, 5, 1, tzinfo=UTC)
NOW = END + timedelta(minutes=10)
WHAT = ("cold", "quiet", "publish", "hundred", "hour", "table", "first share", "share", "bare")
SAMPLED = 5
"""One publish in so many is a sample of its share of the ledger."""
PROBLEMS = 20
"""Partitions of the one table that are put into words."""


def main(small: bool) -> Result:
    """The whole map, and a third and a tenth of it, to see how each figure grows."""
    sizes = {"2 families": 2} if small else {"2 families": 2, "7 families": 7, f"{FAMILIES} families": FAMILIES}
    days = 2 if small else DAYS
    samples: dict[str, list[float]] = {}
    facts: dict[str, Any] = {"days": days, "tables": {}}
    for name, families in sizes.items():
        with ledger() as found:
            taken, grown = measured(found, families, days, 1 if small else measure.RUNS)
        samples |= {f"{name}: {what}": values for what, values in taken.items()}
        facts["tables"][name] = families * MEMBERS
        facts[f"{name}: memory MB"] = round(grown / 1e6)
        measure.say(f"  {name}: {', '.join(f'{what} {measure.shown(values)}' for what, values in taken.items())}")
    return Result("freshness", samples, facts, small)


@contextmanager
def ledger() -> Iterator[Any]:
    """An empty ledger on a PostgreSQL of its own, as durable as the local stack's."""
    from feedmill.ledger.store import Ledger, migrate
    from feedmill.local.home import Home, free_ports
    from feedmill.local.postgres import Postgres

    with tempfile.TemporaryDirectory(prefix="feedmill-bench-") as name:
        home = Home(Path(name) / "home").prepare(ports=free_ports())
        # If we are root, PostgreSQL runs as another user, who must be able to enter this folder.
        Path(name).chmod(0o711)
        postgres = Postgres(home)
        postgres.start()
        try:
            migrate(postgres.url("ledger"))
            yield Ledger(postgres.url("ledger"))
        finally:
            postgres.stop()
            postgres.delete()


def the_map(families: int) -> Any:
    """So many families of tables."""
    from feedmill.spec import Files, Input, Maintainer, Map, Table
    from feedmill.timeline import HOUR, days, hours

    team = Maintainer("team", description="benchmarks", link="mailto:team@example.com")

    def table(name: str, *inputs: Any) -> Table:
        return Table(name, HOUR, list(inputs), team, 2, days(400), since=END - days(DAYS))

    tables = []
    for family in range(families):
        landed = table(f"f{family}.landed", Files("events"))
        clean = table(f"f{family}.clean", Input(landed, by="touches"))
        mine = [landed, clean]
        for n in range(MEMBERS - 2):
            first = Input(mine[1 + n // 8])
            window = Input(mine[-1], lookback=days(28), lag=hours(3))
            mine.append(table(f"f{family}.t{n}", first, *([window] if n % 12 == 11 else [])))
        tables += mine
    return Map(tables)


def fill(found: Any, tables: Any, days: int) -> None:
    """Write the history by SQL. Real builds write it row by row."""
    from sqlalchemy import text

    values = {"names": [t.name for t in tables], "start": END - timedelta(days=days), "end": END - timedelta(hours=1)}
    hours = "unnest(CAST(:names AS text[])) AS n(name), generate_series(CAST(:start AS timestamptz), :end, '1 hour') h"
    with found.engine.begin() as connection:
        # Without the triggers, as in a restored dump: all change numbers are 0.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for statement in (
            f"""INSERT INTO builds (id, table_name, range_start, range_end, begin, epoch, identity, owner, state,
                                    session_id, pins, snapshot_id, finished_at)
                SELECT name || extract(epoch FROM h)::bigint, name, h, h + interval '1 hour',
                       extract(epoch FROM h)::bigint, 1, 'code', name || '/scheduled', 'built', '', '{{}}', 1, h
                FROM {hours}""",
            """INSERT INTO verdicts (build_id, partition, snapshot_id, passed, findings, suite_digest)
               SELECT id, range_start, 1, true, '[]', 'suite' FROM builds""",
            """INSERT INTO partitions (table_name, partition, build_id, begin, number, identity, rows, digest)
               SELECT table_name, range_start, id, begin, 1, identity, 1000, 'digest' FROM builds""",
            """INSERT INTO touches (table_name, partition, touched, rows, number)
               SELECT table_name, partition, partition - n * interval '1 hour', 5, 1
               FROM partitions, generate_series(0, 2) n WHERE table_name LIKE '%.landed'""",
            """INSERT INTO files (path, source, kind, arrival_hour, size, etag, received_at, number)
                SELECT h::text || n, 's', 'events', h, 1, '', h, 1 FROM generate_series(1, 10) n,
                generate_series(CAST(:start AS timestamptz), :end, '1 hour') h""",
            """INSERT INTO builds (id, table_name, range_start, range_end, begin, epoch, identity, owner, state,
                                   session_id, pins, error)
               SELECT 'failed' || n, (CAST(:names AS text[]))[1 + n % cardinality(CAST(:names AS text[]))],
                      CAST(:end AS timestamptz) - n % 40 * interval '1 hour',
                      CAST(:end AS timestamptz) - (n % 40 - 1) * interval '1 hour', n, 1, 'code', 'o/r', 'failed', '',
                      '{}', 'ValueError: no' FROM generate_series(1, 1000) n""",
            """UPDATE verdicts SET passed = false, findings = '[{"severity": "critical", "message": "17 rows"}]'
               WHERE build_id IN (SELECT build_id FROM partitions ORDER BY partition DESC, table_name LIMIT 200)""",
            "DELETE FROM partitions WHERE build_id IN (SELECT build_id FROM verdicts WHERE NOT passed)",
            "UPDATE counter SET value = 3000000000",
        ):
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(text(statement), used)
    with found.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def measured(found: Any, families: int, days: int, runs: int) -> tuple[dict[str, list[float]], int]:
    """Samples of everything, and the bytes that a look keeps."""
    import psutil
    from sqlalchemy import text

    from feedmill.freshness.load import Look
    from feedmill.freshness.states import NEEDS_A_BUILD, State
    from feedmill.ledger import builds, publishes
    from feedmill.ledger.builds import Written
    from feedmill.ledger.publishes import Moved

    tables = the_map(families)
    clock = time.monotonic()
    fill(found, tables, days)
    measure.say(f"  {len(tables)} tables of {days} days are in the ledger: {time.monotonic() - clock:.0f} s")
    identities = {table.name: "code" for table in tables}
    members = list(tables)

    def timed(work: Callable[[], object]) -> float:
        clock = time.monotonic()
        work()
        return time.monotonic() - clock

    def look(at: Look, now: datetime) -> Any:
        with found.transaction() as session:
            made = at.again(session, identities, now)
            made.all()
        return made

    def publish(n: int) -> float:
        table, moment = members[n * 37 % len(members)], END - timedelta(hours=1 + n % 24)
        with found.transaction() as session:
            build = builds.begin(session, table, table.one(moment), f"{table.name}/r{n}", "code")
            builds.finish(session, build.id, 1, [Written(moment, 1000, f"d{n}", None)])
        clock = time.monotonic()
        with found.transaction() as session:
            publishes.record(session, build, [Moved(moment, 1000, f"d{n}{clock}", None)], 2)
        return time.monotonic() - clock

    with found.transaction() as session:
        session.execute(text("CREATE TABLE bare AS SELECT 0 AS value"))

    def bare() -> None:
        with found.transaction() as session:
            session.execute(text("UPDATE bare SET value = value + 1"))

    taken: dict[str, list[float]] = {name: [] for name in WHAT}
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    kept, n = Look(tables), 0
    for run in range(runs):
        if run:
            kept = Look(tables)
        taken["cold"].append(timed(lambda at=kept: look(at, NOW)))
        look(kept, NOW)
        taken["quiet"].append(timed(lambda at=kept: look(at, NOW)))
        taken["first share"].append(publish(n := n + 1))
        taken["share"].append(taken["first share"][-1])
        taken["bare"].append(timed(bare))
        taken["publish"].append(timed(lambda at=kept: look(at, NOW)))
        for _ in range(100):
            seconds = publish(n := n + 1)
            if n % SAMPLED == 0:
                taken["share"].append(seconds)
                taken["bare"].append(timed(bare))
        taken["hundred"].append(timed(lambda at=kept: look(at, NOW)))
        later = NOW + timedelta(hours=1)
        taken["hour"].append(timed(lambda at=kept, now=later: look(at, now)))
        made = look(kept, later)
        worst = max(made.all(), key=lambda status: status.counts[State.BLOCKED])

        def detail(status: Any = worst, made: Any = made) -> None:
            problems = [run.span.start for run in status.runs(NEEDS_A_BUILD)][-PROBLEMS:]
            for partition in problems:
                status.cell(partition)
            made.blocked_by(status.table, problems[-1])

        taken["table"].append(timed(detail))
    return taken, process.memory_info().rss - before


def rows(result: Result) -> list[Row]:
    """Each figure of the largest map against its goal, and how it grows with the map."""
    sizes = list(result.facts["tables"])
    largest, smallest = sizes[-1], sizes[0]
    tables = result.facts["tables"]
    partitions = tables[largest] * result.facts["days"] * 24
    said = [
        ("cold", f"cold: {partitions:,} partitions", 15.0, "s", 1.0),
        ("quiet", "warm, nothing has changed", 1.0, "s", 1.0),
        ("publish", "warm, after a publish", 1.0, "s", 1.0),
        ("hundred", "warm, after a hundred publishes", 1.0, "s", 1.0),
        ("hour", "warm, an hour later: every table has one partition more", 1.0, "s", 1.0),
        ("table", "one table in detail", 0.1, "ms", 1000.0),
        ("share", "a publish's share of the ledger", 0.01, "ms", 1000.0),
    ]
    found = []
    for name, what, goal, unit, scale in said:
        taken = result.samples[f"{largest}: {name}"]
        middle = sorted(taken)[len(taken) // 2]
        limit = f"below {goal * scale:.0f} {unit}"
        found.append(Row(what, measure.shown(taken, unit, scale), limit, middle < goal))
    share, bare = (result.samples[f"{largest}: {name}"] for name in ("share", "bare"))
    first = result.samples[f"{largest}: first share"]
    found.append(Row("the first one after a cold look", measure.shown(first, "ms", 1000.0)))
    found.append(Row("a bare commit beside it", measure.shown(bare, "ms", 1000.0)))
    found.append(Row("a publish's share ÷ a bare commit", measure.shown(measure.ratios(share, bare), "")))
    found.append(Row("memory", f"{result.facts[f'{largest}: memory MB']:,} MB"))
    if largest != smallest:
        factor = tables[largest] / tables[smallest]
        grown = ", ".join(
            f"{name} {_middle(result, largest, name) / _middle(result, smallest, name):.1f}" for name, *_ in said
        )
        found.append(Row(f"growth from {tables[smallest]} to {tables[largest]} tables (× {factor:.0f})", f"× {grown}"))
    return found


def _middle(result: Result, size: str, name: str) -> float:
    taken = sorted(result.samples[f"{size}: {name}"])
    return taken[len(taken) // 2]


if __name__ == "__main__":
    measure.command("freshness", main, rows)
