"""What a year of hourly publishes costs, before housekeeping and after it: ``python benchmarks/housekeeping.py``.

A stack of its own, with PostgreSQL and Spark, in a folder that is deleted at the end. The table's history is written
with PyIceberg only: one commit a partition, as a publish makes, and its row in the ledger. Then a publish, a look at
the ledger (facts and status) and reads are timed, housekeeping runs, and they are timed again. Compare the ratios; the
seconds are the machine's.

A commit copies all metadata several times in PyIceberg 0.12, so that its cost grows with the snapshots there are, and
that of a history with their square: 8,760 commits would take hours. So the year's partitions are written in fewer
commits than a year has, and the numbers before housekeeping are the lower bound of a year's.

    --partitions 8760   a year of hours
    --commits 300       by how many commits they are written
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "plugins"), str(PROJECT / "tests" / "lake")]

END = datetime(2026, 5, 1, tzinfo=UTC)
REPEATS = 7


def main() -> None:
    """Build the history, time, keep house, time again, and print the table."""
    from feedmill.deployment import Deployment
    from feedmill.lake.catalog import Lake
    from feedmill.ledger.store import Ledger, migrate
    from feedmill.local.home import Home, free_ports
    from feedmill.local.postgres import Postgres
    from feedmill.local.settings import load
    from feedmill.local.spark import SparkServer
    from feedmill.spec import Map

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=8760)
    parser.add_argument("--commits", type=int, default=300)
    given = parser.parse_args()
    # A time-out's signal too must stop the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="feedmill-bench-") as folder:
        home = Home(Path(folder) / "home").prepare(ports=free_ports())
        for conn_id, connection in load(home.settings_file, home.env()).connections.items():
            fields = ("conn_type", "host", "port", "login", "password", "schema", "extra")
            settings = {name: getattr(connection, name) for name in fields}
            os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(settings)
        postgres, spark = Postgres(home, durable=False), SparkServer(home)
        postgres.start()
        try:
            migrate(postgres.url("ledger"))
            spark.start()
            from builds import Workshop

            properties = load(home.settings_file, home.env()).connections["iceberg_default"].catalog_properties
            lake = Lake(properties, f"file://{folder}/landing", f"file://{folder}/pages", PROJECT)
            shop = Workshop(lake, Ledger(postgres.url("ledger")), Path(folder) / "project")
            deployment = Deployment(shop.lake.project, Map([shop.table]), {}, shop.ledger, shop.lake)
            measure(shop, deployment, given.partitions, given.commits)
        finally:
            spark.stop()
            postgres.stop()
            postgres.delete()


def measure(shop, deployment, partitions: int, commits: int) -> None:  # type: ignore[no-untyped-def]
    """Print the table."""
    from feedmill.housekeeping import house
    from feedmill.timeline import HOUR, Range

    start = END - partitions * HOUR.length
    clock = time.monotonic()
    history(shop, start, partitions, commits)
    print(f"{partitions} partitions by {commits} commits: {time.monotonic() - clock:.0f} s", flush=True)  # noqa: T201
    before = times(shop, start, 1)
    shape = describe(shop)
    clock = time.monotonic()
    # As if all of it were a week old and nothing past its retention.
    now = datetime.now(UTC) + timedelta(days=7)
    house.upkeep.remove_orphans = lambda *_: "orphans are not looked for: every file is young"  # type: ignore
    house.retention.expire = lambda *_: "retention is not part of this measurement"  # type: ignore
    for sentence in house.keep_house(shop.table, deployment, now):
        print(f"  {sentence}", flush=True)  # noqa: T201
    print(f"housekeeping: {time.monotonic() - clock:.1f} s", flush=True)  # noqa: T201
    after = times(shop, start, 100)
    print(f"\n{shape}\n{describe(shop)}\n")  # noqa: T201
    print("| | before, s | after, s | ratio |\n|---|---|---|---|")  # noqa: T201
    for name, old in before.items():
        new = after[name]
        print(f"| {name} | {old:.3f} | {new:.3f} | {new / old:.2f} |")  # noqa: T201
    assert len(shop.main()) == partitions + 1
    assert Range.one(END, HOUR).start in shop.main()


def history(shop, start: datetime, partitions: int, commits: int) -> None:  # type: ignore[no-untyped-def]
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


def times(shop, start: datetime, version: int) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """Medians of seconds."""
    from builds import each

    from feedmill.ledger import facts
    from feedmill.status import Knowledge, status_of
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
    week = Range(END - hours(168), END, HOUR)
    return {
        "publish of a new hour": statistics.median(publish(last, n) for n in range(REPEATS)),
        "publish of an old hour": statistics.median(publish(old, n) for n in range(REPEATS)),
        "loading the table": statistics.median(timed(lambda: shop.lake.load(shop.table)) for _ in range(REPEATS)),
        "facts and status": statistics.median(timed(look) for _ in range(REPEATS)),
        "reading an hour": statistics.median(timed(lambda: read(old)) for _ in range(REPEATS)),
        "reading a week": statistics.median(timed(lambda: read(week)) for _ in range(REPEATS)),
    }


def describe(shop) -> str:  # type: ignore[no-untyped-def]
    """The table's metadata in one line."""
    iceberg = shop.lake.load(shop.table)
    head = iceberg.metadata.snapshot_by_name("main")
    manifests = head.manifests(iceberg.io)
    size = Path(iceberg.metadata_location.removeprefix("file://")).stat().st_size
    return f"{len(iceberg.metadata.snapshots)} snapshots, {len(manifests)} manifests, {size / 1e6:.2f} MB of metadata"


if __name__ == "__main__":
    main()
