"""Rows a second of every transform, at 1, 10 and 50 million events in one run, and how it grows.

A simulated feed of three days (`feedmill simulate`: a user for each 100 events, 5,000 items) lands in an empty
deployment. Every table of the map is built from what the tables before it published. Events, catalogue, roll-ups and
the baseline are built for the three days as one range. Windows, features and rankings are built for the last day, which
has the other days before it; hourly ones for its 24 hours. The clock covers the build, as Airflow's task `build` does
it in a process that has imported everything: session, transform, write, and the digest, for which the rows are read
again. Builds are published without their checks. Each size has an empty deployment and a new Spark server of 2 GB and
two cores.

Rows are the rows that the transform reads: records of files, and rows of the input's partitions; rows of a window count
as often as a partition reads them. 1 million events are built twice, and the first time does not count, because the
engine is cold. The larger sizes are built once. So no value has an interval. An exponent of 1 means that twice the
events take twice the time; below 1, fixed costs are shared.

DuckDB shows what the machine can do, in the benchmark's process and with both cores, from the same Parquet files. It
makes the same rows and the same values, except for sums of doubles, which are exact in Feedmill. Spark's seconds
include all that a build does beside the computation. The tables that are not compared read less than these.
"""

from __future__ import annotations

import math
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import data, measure, yardstick
from benchmarks.ground import Deployment, ground
from benchmarks.measure import Result, Row
from feedmill.freshness.facts import Facts
from feedmill.freshness.staleness import reads
from feedmill.spec import Files, Table
from feedmill.timeline import Range, parse

START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS = 3
SIZES = (1_000_000, 10_000_000, 50_000_000)
COLD = 1_000_000
"""The size that is built twice, and counts the second time; so small a one is over before the engine is warm."""
OF_ALL_DAYS = ("events", "catalog", "rollups")
"""Schemas that are built of every day; of the others, the last day."""
EXCEPT = {"rollups.user_category_window": False, "features.engagement_baseline": True}
"""Tables of which it is the other way round."""
SMALL_SIZES = (3_000,)
COMPARED_UP_TO = 10_000_000
"""Events of the largest size that DuckDB computes too."""


@dataclass(frozen=True)
class Compared:
    """A computation in DuckDB, and the sums by which its rows are told to be the same."""

    table: str
    inputs: tuple[str, ...]
    work: Callable[..., int]
    sums: tuple[str, ...]


COMPARED = (
    Compared("rollups.item_engagement_hourly", ("events.clean",), yardstick.in_duckdb, ("impressions", "clicks")),
    Compared(
        "rollups.item_evidence_hourly",
        ("events.clean", "features.engagement_baseline"),
        yardstick.item_evidence,
        ("impressions", "engaged", "observed", "expected", "variance", "own_residuals", "own_expected"),
    ),
    Compared(
        "rollups.user_category_daily",
        ("events.clean", "catalog.items", "features.engagement_baseline"),
        yardstick.user_category,
        (
            "impressions",
            "engaged",
            "observed",
            "expected",
            "variance",
            "own_residuals",
            "own_expected",
            "shared_residuals",
            "shared_expected",
        ),
    ),
)


def main(small: bool) -> Result:
    """Each size in turn, on a ground of its own."""
    samples: dict[str, list[float]] = {}
    sizes = {}
    for events in SMALL_SIZES if small else SIZES:
        sizes[str(events)] = one_size(events, samples)
        result = Result("transforms", samples, {"days": DAYS, "sizes": sizes}, small)
        # A size takes up to an hour and a half; one that fails must not take the smaller ones with it.
        measure.save(result)
    return result


def one_size(events: int, samples: dict[str, list[float]]) -> dict[str, Any]:
    """Land and build a feed; its rows and those that each table read, by name."""
    with ground() as deployment, tempfile.TemporaryDirectory(prefix="feedmill-bench-") as name:
        landed, items = landed_feed(deployment, events)
        for counts in (False, True) if events == COLD else (True,):
            for table in deployment.tables:
                seconds = built(deployment, table, built_range(table))
                measure.say(f"  {events:,} {table.name}: {seconds:.1f} s")
                if counts:
                    samples[f"{table.name}: {events}"] = [seconds]
            for compared in COMPARED if events <= COMPARED_UP_TO else ():
                seconds = in_duckdb(deployment, compared, Path(name) / "duckdb.parquet")
                measure.say(f"  {events:,} DuckDB {compared.table}: {seconds:.1f} s")
                if counts:
                    samples[f"DuckDB {compared.table}: {events}"] = [seconds]
        facts = published(deployment)
        read = {table.name: rows_read(table, facts, landed, items) for table in deployment.tables}
    return {"landed": landed, "read": read}


def built_range(table: Table) -> Range:
    """The days of a table that are built."""
    whole = EXCEPT.get(table.name, table.schema in OF_ALL_DAYS)
    return table.range(START if whole else START + timedelta(days=DAYS - 1), START + timedelta(days=DAYS))


def landed_feed(deployment: Deployment, events: int) -> tuple[int, dict[datetime, int]]:
    """Simulate so many events into the landing zone, and register them; rows of the event files, and item records by
    arrival hour."""
    from feedmill.demo import full as demo_full
    from feedmill.simulate.feed import ITEMS, simulate
    from feedmill.simulate.settings import Settings

    zone = Path(deployment.lake.landing.removeprefix("file://"))
    settings = Settings(START, DAYS, max(events // 100, 10), events // DAYS, 5_000 if events >= 1_000_000 else 300)
    made = simulate(settings, zone.parent / "simulated")
    demo_full.land(zone.parent / "simulated", zone)
    demo_full.register(deployment, datetime.now(UTC))
    lines = {
        parse(file.parent.name): len(file.read_text().splitlines()) for file in (zone / ITEMS).glob("*/items.jsonl")
    }
    return int(made["rows"]["landed"]), lines


def built(deployment: Deployment, table: Table, span: Range) -> float:
    """Seconds of the build of a range, which is published then, as if its check had passed."""
    from feedmill.flow.build import build
    from feedmill.flow.job import Job
    from feedmill.flow.publish import publish
    from feedmill.ledger import builds, verdicts

    clock = time.perf_counter()
    made = build(Job(table, span, deployment, f"bench/{uuid.uuid4()}"))
    seconds = time.perf_counter() - clock
    with deployment.ledger.transaction() as session:
        passed = [(partition, True, list[dict[str, Any]]()) for partition in span.partitions()]
        verdicts.record(session, builds.get(session, made.build_id), passed, "benchmark")
    publish(table, made.build_id, deployment.ledger, deployment.lake)
    return seconds


def in_duckdb(deployment: Deployment, compared: Compared, out: Path) -> float:
    """Seconds of the same computation in DuckDB.

    Raises:
        AssertionError: it gave other rows or sums, and the comparison would mean nothing.
    """
    tables = deployment.tables
    inputs = [data.files(deployment, tables[name]) for name in compared.inputs]
    clock = time.perf_counter()
    rows = compared.work(*inputs, out)
    seconds = time.perf_counter() - clock
    theirs = totals([str(out)], compared.sums)
    ours = totals(data.files(deployment, tables[compared.table]), compared.sums)
    same = all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-3) for a, b in zip(theirs, ours, strict=True))
    assert same, f"DuckDB's {compared.table} has rows and sums {theirs}, Spark's {ours}"
    assert rows == ours[0]
    return seconds


def totals(files: list[str], sums: tuple[str, ...]) -> list[float]:
    """Rows, and the sum of each of these columns."""
    import duckdb

    columns = ", ".join(f"coalesce(sum({name}), 0)::DOUBLE" for name in sums)
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT count(*), {columns} FROM read_parquet($files)", {"files": files}).fetchone()
    assert found is not None
    return [float(value) for value in found]


def published(deployment: Deployment) -> Facts:
    """The ledger's facts about all tables."""
    from feedmill.freshness.load import load

    with deployment.ledger.transaction() as session:
        return load(session, deployment.tables)


def rows_read(table: Table, facts: Facts, landed: int, items: Mapping[datetime, int]) -> int:
    """The rows that the table's build reads; those of a dimension once, those of a window for each reader."""
    span = built_range(table)
    found = 0
    for entry in table.inputs:
        if isinstance(entry, Files):
            windows = (
                [entry.window(table.one(p)) for p in span.partitions()] if entry.lookback else [entry.window(span)]
            )
            arrived = [sum(n for hour, n in items.items() if start <= hour < end) for start, end in windows]
            found += landed if entry.kind == "events" else sum(arrived)
            continue
        rows = {partition: one.rows for partition, one in facts.published[entry.table.name].items()}
        read = [reads(entry, table, partition, facts) for partition in span.partitions()]
        if entry.lookback:
            found += sum(rows[partition] for partitions in read for partition in partitions)
        else:
            found += sum(rows[partition] for partition in {p for partitions in read for p in partitions})
    return found


def rows(result: Result) -> list[Row]:
    """Rows a second of each table by size and how its time grows; all tables together; the yardsticks."""
    sizes = [int(size) for size in result.facts["sizes"]]
    names = list(next(iter(result.facts["sizes"].values()))["read"])
    first, last = sizes[0], sizes[-1]
    found = []
    for name in names:
        seconds = {size: median(result.samples[f"{name}: {size}"]) for size in sizes}
        rates = [_rate(result.facts["sizes"][str(size)]["read"][name] / seconds[size]) for size in sizes]
        row = Row(f"{name}: rows/s at {_sizes(sizes)} events", " · ".join(rates))
        if len(sizes) > 1:
            row = Row(f"{row.what}; growth", f"{row.value}; {_exponents(seconds)}")
        found.append(row)
    for size in sizes:
        takes = sum(median(result.samples[f"{name}: {size}"]) for name in names)
        found.append(
            Row(
                f"all {len(names)} tables from {size:,} events: events a second",
                f"{_rate(result.facts['sizes'][str(size)]['landed'] / takes)} ({takes:,.0f} s)",
                headline=size == last,
            )
        )
    whole = {size: sum(median(result.samples[f"{name}: {size}"]) for name in names) for size in sizes}
    if len(sizes) > 1:
        found.append(Row(f"how their time grows from {first:,} to {last:,} events", _exponents(whole)))
    for compared in COMPARED:
        for size in sizes:
            if f"DuckDB {compared.table}: {size}" not in result.samples:
                continue
            theirs, ours = (result.samples[f"{by}{compared.table}: {size}"] for by in ("DuckDB ", ""))
            found.append(
                Row(
                    f"{compared.table} of {size:,} events, build in Spark ÷ DuckDB",
                    f"{measure.shown(measure.ratios(ours, theirs), '')} (DuckDB {measure.shown(theirs)})",
                )
            )
    return found


def _exponents(seconds: Mapping[int, float]) -> str:
    """Time as a power of the events, over all sizes, and over the last step where fixed costs matter least."""
    sizes = list(seconds)

    def between(small: int, large: int) -> str:
        return f"{math.log(seconds[large] / seconds[small]) / math.log(large / small):.2f}"

    last = f", {between(sizes[-2], sizes[-1])} in the last step" if len(sizes) > 2 else ""
    return f"events^{between(sizes[0], sizes[-1])}{last}"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value < 1e5 else f"{value / 1e6:.2f} M"


def _sizes(sizes: list[int]) -> str:
    return " · ".join(f"{size / 1e6:g} M" if size >= 1e6 else f"{size:,}" for size in sizes)


if __name__ == "__main__":
    measure.command("transforms", main, rows)
