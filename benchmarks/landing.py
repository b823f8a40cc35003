"""Discovery among 100,000 landed files and a year of builds, and an hour of 20,000 small files.

The landing zone is a local disk with a folder for each of 8,760 hours, and the ledger knows all files, and a year of
builds of every hourly table. *As it was* lists all files that ever landed and asks the ledger for all paths at once.
*Discovery* is what a build does now: with nothing new, with 20 new files in the newest hour, and with one late file in
the folder of an old hour. *Everything* lists all folders, as it does once a day. The *ledger's share* of a build is all
that it asks of the ledger about its hour: the facts, the begin, the pins and the end.

The hour of many small files is built by the runner, as `events.landed`, in turns with the same lines in 20 files.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import freshness, measure
from benchmarks.ground import Deployment, ground
from benchmarks.measure import Result, Row

SOURCE = "events_jsonl"
FILES, HOURS, MANY, FEW = 100_000, 8_760, 20_000, 20
END = freshness.END
NOW = END + timedelta(minutes=10)
LINE = (
    '{"event_id": "%s", "event_time": "2026-04-30T20:30:00Z", "event_types": ["impression"], "item_id": "i1", '
    '"user_id": "u1", "surface": "home", "position": 1}\n'
)


def main(small: bool) -> Result:
    """All arms of discovery in turns, then the two hours."""
    files, days, many = (400, 2, 200) if small else (FILES, HOURS // 24, MANY)
    with ground() as deployment:
        samples = discovery(deployment, files, days, small)
        samples |= small_files(deployment, many, small)
    facts = {"files": files, "hours": days * 24, "small files": many}
    return Result("landing", samples, facts, small)


def discovery(deployment: Deployment, files: int, days: int, small: bool) -> dict[str, list[float]]:
    """The arms of discovery, and the ledger's share of a build."""
    from sqlalchemy import select, text, update

    from feedmill.landing.discover import discover, landed
    from feedmill.ledger.folders import GRAIN
    from feedmill.ledger.models import File, Folder
    from feedmill.timeline import HOUR

    ledger, landing = deployment.ledger, deployment.lake.landing
    hourly = [table for table in deployment.tables if table.every is HOUR]
    freshness.fill(ledger, hourly, days)
    with ledger.transaction() as session:
        session.execute(text("DELETE FROM files"))
    hours = [END - timedelta(hours=n) for n in range(days * 24, 0, -1)]
    for n in range(files):
        put(landing, hours[n * len(hours) // files], f"{n}.jsonl", [LINE % n])
    names = iter(range(files, 10**9))

    def look() -> list[File]:
        return discover(landing, deployment.sources, ["events"], ledger, NOW, [hours[-1]])

    def pass_time(by: timedelta) -> None:
        with ledger.transaction() as session:
            session.execute(update(Folder).values(seen_at=Folder.seen_at - by))

    clock = time.monotonic()
    assert len(look()) == files
    first = time.monotonic() - clock
    measure.say(f"  {files} files registered: {first:.0f} s")
    pass_time(GRAIN)
    look()

    def as_it_was() -> None:
        paths = [file.url for file in landed(landing, [deployment.sources[SOURCE]])]
        with ledger.transaction() as session:
            assert len(set(session.scalars(select(File.path).where(File.path.in_(paths))))) == len(paths)

    def after(hour: datetime, count: int) -> float:
        for _ in range(count):
            number = next(names)
            put(landing, hour, f"{number}.jsonl", [LINE % number])
        clock = time.perf_counter()
        assert len(look()) == count
        return time.perf_counter() - clock

    def everything() -> float:
        pass_time(timedelta(days=2))
        clock = time.perf_counter()
        look()
        return time.perf_counter() - clock

    arms: dict[str, Callable[[], Any]] = {
        "as it was": as_it_was,
        "nothing new": look,
        "20 new": lambda: after(hours[-1], 20),
        "late": lambda: after(hours[0], 1),
        "everything": everything,
        "ledger": lambda: share(deployment, hours[-1]),
    }
    return {"first": [first]} | measure.interleaved(arms, small)


def share(deployment: Deployment, hour: datetime) -> None:
    """What a build asks of the ledger."""
    from feedmill.freshness.load import load
    from feedmill.ledger import builds
    from feedmill.ledger import files as registered
    from feedmill.ledger.builds import Written
    from feedmill.ledger.pins import beside_snapshots

    table = deployment.tables["events.landed"]
    span = table.one(hour)
    with deployment.ledger.transaction() as session:
        build = builds.begin(session, table, span, "bench", "code")
    with deployment.ledger.transaction() as session:
        load(session, [table])
        read = registered.read_by(session, table, span, build.begin)
        builds.pin(session, build.id, beside_snapshots(session, table, read, build.begin))
    with deployment.ledger.transaction() as session:
        builds.finish(session, build.id, 1, [Written(hour, 1, "digest", {hour: 1})])


def small_files(deployment: Deployment, many: int, small: bool) -> dict[str, list[float]]:
    """An hour of many files, and another of the same lines in few."""
    from feedmill.flow.build import build
    from feedmill.flow.job import Job

    table = deployment.tables["events.landed"]
    lines = [[LINE % f"{n}-{m}" for m in range(5)] for n in range(many)]
    hours = {name: END - timedelta(hours=back) for name, back in (("many", 2), ("few", 3))}
    for n, some in enumerate(lines):
        put(deployment.lake.landing, hours["many"], f"many-{n}.jsonl", some)
    for n in range(FEW):
        together = [line for some in lines[n::FEW] for line in some]
        put(deployment.lake.landing, hours["few"], f"few-{n}.jsonl", together)

    def built(name: str) -> None:
        made = build(Job(table, table.one(hours[name]), deployment, f"bench/{uuid.uuid4()}"))
        assert made.rows >= many * 5

    return measure.interleaved({name: lambda name=name: built(name) for name in hours}, small)


def put(landing: str, hour: datetime, name: str, lines: list[str]) -> None:
    """A file in the hour's folder, as a log writer lands it."""
    folder = Path(landing.removeprefix("file://")) / SOURCE / f"{hour:%Y-%m-%dT%H}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f".{name}").write_text("".join(lines))
    (folder / f".{name}").rename(folder / name)


def rows(result: Result) -> list[Row]:
    """Discovery against what it was, and the small files against few."""
    taken, facts = result.samples, result.facts
    ratio = measure.ratios(taken["as it was"], taken["20 new"])
    many = measure.ratios(taken["many"], taken["few"])
    return [
        Row(f"discovery as it was: all of {facts['files']:,} files", measure.shown(taken["as it was"])),
        Row("discovery, nothing new", measure.shown(taken["nothing new"])),
        Row("discovery, 20 new files", measure.shown(taken["20 new"])),
        Row("as it was ÷ now, with 20 new files", measure.shown(ratio, ""), "at least 5", measure.median(ratio) >= 5),
        Row("a late file in the oldest hour", measure.shown(taken["late"])),
        Row("everything, as once a day", measure.shown(taken["everything"])),
        Row(f"the first time: {facts['files']:,} files looked into, one run", measure.shown(taken["first"])),
        Row(
            f"the ledger's share of a build, after {facts['hours']:,} hours of builds",
            measure.shown(taken["ledger"]),
            "below 1 s",
            measure.median(taken["ledger"]) < 1,
        ),
        Row(f"an hour of {facts['small files']:,} files, runs: {len(many)}", measure.shown(taken["many"])),
        Row(f"the same lines in {FEW} files", measure.shown(taken["few"])),
        Row("many files ÷ few", measure.shown(many, "")),
    ]


if __name__ == "__main__":
    measure.command("landing", main, rows)
