"""What a year of hourly publishes costs: publish, planning and reads, before housekeeping and after it.

The table's history is written with PyIceberg and into the ledger as publishes write them, but in fewer commits than the
year has hours. In PyIceberg 0.12 a commit copies all metadata several times, so the cost of a history grows with the
square of its commits, and 8,760 commits would take hours. So the values before housekeeping are lower bounds for a year
without it. "Planning" is the list of files of an hour, as a publish and a read make it. After housekeeping the same is
timed again in the same process. Before and after cannot take turns, so compare the ratios. Retention and orphans take
no part: nothing is old enough.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.ground import PROJECT, Deployment, ground
from benchmarks.measure import Result, Row

sys.path.append(str(PROJECT / "tests" / "workshop"))

END = datetime(2026, 5, 1, tzinfo=UTC)
PARTITIONS, COMMITS = 8_760, 300


def main(small: bool) -> Result:
    """Write the history, time, keep house, time again."""
    from builds import Workshop

    from feedmill.housekeeping import house
    from feedmill.spec import Map
    from feedmill.timeline import HOUR, Range

    partitions, commits, runs = (24, 6, 1) if small else (PARTITIONS, COMMITS, measure.RUNS)
    with ground() as found:
        shop = Workshop(found.lake, found.ledger, Path(found.lake.landing.removeprefix("file://")) / "project")
        deployment = Deployment(shop.lake.project, Map([shop.table]), {}, shop.ledger, shop.lake)
        start = END - partitions * HOUR.length
        clock = time.monotonic()
        history(shop, start, partitions, commits)
        measure.say(f"  {partitions} partitions by {commits} commits: {time.monotonic() - clock:.0f} s")
        samples = {f"before: {name}": taken for name, taken in times(shop, start, 1, runs).items()}
        shape = {"before": describe(shop)}
        # As if all of it were a week old and nothing past its retention.
        now = datetime.now(UTC) + timedelta(days=7)
        house.upkeep.remove_orphans = lambda *_: "orphans are not looked for: every file is young"  # type: ignore
        house.retention.expire = lambda *_: "retention is not part of this measurement"  # type: ignore
        clock = time.monotonic()
        for sentence in house.keep_house(shop.table, deployment, now):
            measure.say(f"  {sentence}")
        samples["housekeeping"] = [time.monotonic() - clock]
        samples |= {f"after: {name}": taken for name, taken in times(shop, start, 100, runs).items()}
        shape["after"] = describe(shop)
        assert len(shop.main()) == partitions + 1
        assert Range.one(END, HOUR).start in shop.main()
    return Result("housekeeping", samples, {"partitions": partitions, "commits": commits, **shape}, small)


def history(shop: Any, start: datetime, partitions: int, commits: int) -> None:
    """Commits on main, each of some partitions of one file, and the ledger's rows of them."""
    import pyarrow as pa
    from builds import SCHEMA
    from pyiceberg.io.pyarrow import _dataframe_to_data_files

    from feedmill.ledger.models import Build, Partition, Publish
    from feedmill.timeline import HOUR, Range

    iceberg = shop.lake.load(shop.table)
    moments = list(Range(start, start + partitions * HOUR.length, HOUR).partitions())
    size = -(-partitions // commits)
    for first in range(0, partitions, size):
        group = moments[first : first + size]
        build = f"b{first}"
        frame = pa.Table.from_pylist(
            [{"hour": hour, "item": f"i{k}", "version": 1} for hour in group for k in range(10)], schema=SCHEMA
        )
        moved = {hour.isoformat(): {"rows": 10, "digest": "10:1", "touches": None} for hour in group}
        properties = {
            "feedmill.build-id": build,
            "feedmill.range": f"{group[0].isoformat()}/{(group[-1] + HOUR.length).isoformat()}",
            "feedmill.begin": "0",
            "feedmill.epoch": "1",
            "feedmill.identity": "code",
            "feedmill.owner": "bench",
            "feedmill.inputs": "{}",
            "feedmill.partitions": json.dumps(moved),
        }
        with (
            iceberg.transaction() as transaction,
            transaction.update_snapshot(branch="main", snapshot_properties=properties).overwrite() as overwrite,
        ):
            for file in _dataframe_to_data_files(iceberg.metadata, frame, iceberg.io):
                overwrite.append_data_file(file)
        head = iceberg.metadata.snapshot_by_name("main")
        assert head is not None
        facts = {"begin": 0, "identity": "code"}
        with shop.ledger.transaction() as session:
            session.add(
                Build(
                    id=build,
                    table_name=shop.table.name,
                    range_start=group[0],
                    range_end=group[-1] + HOUR.length,
                    epoch=1,
                    owner="bench",
                    state="built",
                    session_id="",
                    pins={},
                    **facts,
                )
            )
            session.flush()
            same = {"table_name": shop.table.name, "build_id": build, "rows": 10, "number": 0}
            for hour in group:
                session.add(Partition(partition=hour, digest="10:1", **same, **facts))
                session.add(Publish(partition=hour, changed=True, snapshot_id=head.snapshot_id, **same))


def times(shop: Any, start: datetime, version: int, runs: int) -> dict[str, list[float]]:
    """Time each of them this many times; return the seconds."""
    from builds import each

    from feedmill.freshness import load as facts
    from feedmill.freshness.facts import Knowledge
    from feedmill.freshness.states import status_of
    from feedmill.timeline import HOUR, Range, hours

    def publish(span: Range, n: int) -> float:
        build = shop.build(span, each(span, 10), version + n)
        clock = time.monotonic()
        shop.publish(build)
        return time.monotonic() - clock

    def timed(work: Callable[[], object]) -> float:
        clock = time.monotonic()
        work()
        return time.monotonic() - clock

    def look() -> object:
        with shop.ledger.transaction() as session:
            known = facts.load(session, [shop.table])
        return status_of(shop.table, Knowledge(known), END)

    def read(span: Range) -> object:
        head = shop.lake.current_snapshot(shop.table)
        assert head is not None
        return shop.lake.read(shop.table, head, span)

    last = Range.one(END, HOUR)
    old = Range.one(start + hours(24), HOUR)
    week = Range(END - hours(min(168, (END - start) // HOUR.length)), END, HOUR)

    def plan() -> object:
        iceberg = shop.lake.load(shop.table)
        return shop.lake.files(shop.table, iceberg, iceberg.metadata.snapshot_by_name("main").snapshot_id, [old.start])

    return {
        "publish of a new hour": [publish(last, n) for n in range(runs)],
        "publish of an old hour": [publish(old, n) for n in range(runs)],
        "loading the table": [timed(lambda: shop.lake.load(shop.table)) for _ in range(runs)],
        "planning an hour": [timed(plan) for _ in range(runs)],
        "the ledger's facts and every partition's status": [timed(look) for _ in range(runs)],
        "reading an hour": [timed(lambda: read(old)) for _ in range(runs)],
        "reading a week": [timed(lambda: read(week)) for _ in range(runs)],
    }


def describe(shop: Any) -> str:
    """The table's metadata in one line."""
    iceberg = shop.lake.load(shop.table)
    head = iceberg.metadata.snapshot_by_name("main")
    manifests = head.manifests(iceberg.io)
    size = Path(iceberg.metadata_location.removeprefix("file://")).stat().st_size
    return f"{len(iceberg.metadata.snapshots)} snapshots, {len(manifests)} manifests, {size / 1e6:.2f} MB of metadata"


def rows(result: Result) -> list[Row]:
    """No goal but that nothing grows with the year."""
    facts = result.facts
    found = [
        Row(f"{facts['partitions']:,} hours by {facts['commits']:,} commits, before", facts["before"]),
        Row("after housekeeping", facts["after"]),
        Row("housekeeping itself, once", f"{result.samples['housekeeping'][0]:.1f} s"),
    ]
    for name in [key.removeprefix("before: ") for key in result.samples if key.startswith("before: ")]:
        old, new = result.samples[f"before: {name}"], result.samples[f"after: {name}"]
        value = f"{measure.shown(old, 'ms', 1000)} → {measure.shown(new, 'ms', 1000)}"
        found.append(Row(f"before → after housekeeping: {name}", value))
    return found


if __name__ == "__main__":
    measure.command("housekeeping", main, rows)
