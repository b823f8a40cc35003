"""Bringing a ledger that was lost, or restored from an older dump, up to what Iceberg's commits say (rule 10).

**What comes back.** From the commits on ``main``, oldest first: builds, publishes, current partitions (rows, digest,
identity, begin), touches. From the landing zone and the builds' pins: which file belongs to which arrival hour. Begins
are those that the commits tell. What only the ledger knew is gone, and safe to lose: verdicts and accepts of what
was not published (it is built and checked again), failed builds, open claims.

**Numbers.** A publish's number is drawn after its commit, so no commit tells it. But each build's pins tell the newest
publish of each input that its begin covered (:mod:`feedmill.ledger.pins`), so for every reader it is known whether the
number was above its begin. A commit gets the smallest number above its own begin and above the begins of all readers
that had not covered it, and not below the number before it. By induction that is never above the true number, so every
reader that had covered it stays fresh: staleness comes out exactly as it was. Where a reader's pins say nothing (a
commit of an older version, an input that the map has added), it counts as not covered. Staleness is then more than it
was, never less, as long as what had ripple to whom is still what the map says.

**Files.** A build's pins hold, for each arrival hour, how many files it read and their digest. If the files that lie
there still give that digest, they are registered for that hour again, below the begins of the builds that read them.
If not (one was changed or lost), the hour's files get a number above all of its readers' begins, and the partitions
that read the hour lose their identity: stale or outdated, but never fresh. All other files are registered as newly
found, in an open hour if their folder's hour is sealed.

**What upkeep has expired.** A partition with rows on ``main`` whose commit is gone gets begin 0 and no identity: it is
outdated, and restated. A partition whose retention has passed and whose rows are gone counts as expired, and so does
an input's partition of that age that nobody knows any more: its readers are frozen and keep their rows, where a
restatement would read nothing and replace them.

**An older dump** is the same with a start that is not empty: the commits replace what the ledger says of their
partitions, numbers only rise, and what only the ledger knows stays.

**Builds of the old epoch.** The epoch rises first, then each table's lock is taken once, so that no publish of the old
epoch is under way when the commits are read; the rest is one transaction that holds the counter.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pyiceberg.table import Table as IcebergTable
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from feedmill.lake.catalog import moment_of
from feedmill.lake.commits import Commit, commits
from feedmill.landing import discover as landing
from feedmill.ledger import files, pins, publishes
from feedmill.ledger.files import FoundFile
from feedmill.ledger.models import Build, Claim, Counter, File, Intent, Partition, Publish, Touch
from feedmill.ledger.store import lock_counter
from feedmill.spec import KINDS, FileKind, Files, Input, Map, Table
from feedmill.timeline import HOUR, Range, parse, runs

if TYPE_CHECKING:
    from feedmill.deployment import Deployment

log = logging.getLogger(__name__)

OWNER = "ledger rebuild"
"""The owner of the builds that stand for commits which upkeep has expired."""


@dataclass
class Rebuilt:
    """What a rebuild has brought back."""

    epoch: int
    counter: int
    commits: int = 0
    partitions: int = 0
    files: int = 0
    """Registered for the hour that builds had read them in."""
    newly_found: int = 0
    """Files that no build is known to have read."""
    without_commit: dict[str, list[datetime]] = field(default_factory=dict)
    """By table: partitions on main whose commit was expired; they are outdated."""
    doubtful: dict[FileKind, list[datetime]] = field(default_factory=dict)
    """Arrival hours whose files are not those that were read; their readers are stale or outdated."""


def rebuild(deployment: Deployment, now: datetime) -> Rebuilt:
    """Bring the ledger up to what Iceberg and the landing zone say; harmless to repeat.

    Builds at work are interrupted: their epoch is over.
    """
    ledger, lake, tables = deployment.ledger, deployment.lake, deployment.tables
    # Reading files may take long: before anybody has to wait.
    found = landing.new_files(lake.landing, deployment.sources, KINDS, ledger)
    with ledger.transaction() as session:
        _new_epoch(session, _histories(deployment, {t.name: lake.load_if_exists(t) for t in tables}))
    for table in tables:
        with ledger.table_lock(table.name):
            log.info("%s: no publish of the old epoch is under way", table.name)
    with ledger.transaction() as session:
        lock_counter(session)
        # A build that began meanwhile has registered what it found.
        registered = files.known_paths(session, [file.path for file in found])
        found = [file for file in found if file.path not in registered]
        iceberg = {table.name: lake.load_if_exists(table) for table in tables}
        histories = _histories(deployment, iceberg)
        # Once more: a build that has begun since then has a begin of before the commits' numbers.
        counter = _new_epoch(session, histories)
        _end_builds(session)
        given = numbers(tables, histories, _known_numbers(session, histories), counter.value)
        result = Rebuilt(counter.epoch, 0)
        for table in tables:
            _replay(session, table, histories[table.name], given)
            result.commits += len(histories[table.name])
            _without_commit(session, table, iceberg[table.name], deployment, given[table.name, None], now, result)
        for table in tables:
            _expired_inputs(session, table, result.epoch, now)
        last = _register(session, tables, histories, found, result)
        begins = [commit.begin for history in histories.values() for commit in history]
        counter.value = max([counter.value, last, *begins, *given.values()])
        result.partitions = session.scalar(select(func.count()).select_from(Partition)) or 0
        session.flush()
        # What no build has read: as any discovery registers it.
        result.newly_found = len(files.register(session, found, now))
        result.counter = counter.value
    return result


def numbers(
    tables: Map, histories: Mapping[str, Sequence[Commit]], known: Mapping[tuple[str, int], int], counter: int
) -> dict[tuple[str, int | None], int]:
    """A number for each commit, by table and snapshot; under None, for what came before a table's oldest commit.

    ``known`` are numbers that the ledger still has; none is lowered. ``counter`` is its last number: what it does not
    know was recorded after it, above the begins of all the builds that it knows. Pure: see the module's docstring.
    """
    found: dict[tuple[str, int | None], int] = {}
    for table in tables:
        history = histories.get(table.name, [])
        place = {commit.snapshot_id: n for n, commit in enumerate(history, 1)}
        # The largest begin among the builds whose first commit not covered is this one; 0 is what came before all.
        lacking = [0] * (len(history) + 2)
        for reader in tables.readers(table):
            for build in histories.get(reader.name, []):
                covered = build.pins.get(pins.RECORDED, {}).get(table.name)
                first = place.get(covered, -1) + 1
                lacking[first] = max(lacking[first], build.begin)
        above = lacking[0]
        found[table.name, None] = above + 1
        last, digests = 0, dict[datetime, str]()
        for n, commit in enumerate(history, 1):
            above = max(above, lacking[n])
            changed = {m.partition: m.digest for m in commit.moved if digests.get(m.partition) != m.digest}
            least = known.get((table.name, commit.snapshot_id), counter + 1)
            number = max(least, 1 + max(above, commit.begin), last)
            found[table.name, commit.snapshot_id] = number
            if changed:
                digests |= changed
                last = number
    return found


def _histories(deployment: Deployment, iceberg: Mapping[str, IcebergTable | None]) -> dict[str, list[Commit]]:
    """Each table's commits on main, oldest first."""
    return {table.name: list(commits(iceberg[table.name]))[::-1] for table in deployment.tables}


def _new_epoch(session: Session, histories: Mapping[str, Iterable[Commit]]) -> Counter:
    counter = lock_counter(session)
    epochs = [commit.epoch for history in histories.values() for commit in history]
    counter.epoch = 1 + max([counter.epoch, *epochs])
    return counter


def _end_builds(session: Session) -> None:
    # Builds before claims, as whatever ends a build does: the other way round, each would wait for the other.
    session.execute(
        update(Build)
        .where(Build.state == "running")
        .values(state="interrupted", error="the ledger was rebuilt", finished_at=func.now())
    )
    session.execute(delete(Claim))
    session.execute(update(Intent).where(Intent.finished_at.is_(None)).values(finished_at=func.now()))


def _known_numbers(session: Session, histories: Mapping[str, Iterable[Commit]]) -> dict[tuple[str, int], int]:
    ids = [commit.snapshot_id for history in histories.values() for commit in history]
    query = (
        select(Publish.table_name, Publish.snapshot_id, func.max(Publish.number))
        .where(Publish.snapshot_id.in_(ids), Publish.changed)
        .group_by(Publish.table_name, Publish.snapshot_id)
    )
    return {(name, snapshot_id): number for name, snapshot_id, number in session.execute(query).tuples()}


def _replay(
    session: Session, table: Table, history: Sequence[Commit], given: Mapping[tuple[str, int | None], int]
) -> None:
    """Write the table's commits as their publishes would have been, in place of what the ledger says of them."""
    moved = {m.partition for commit in history for m in commit.moved}
    ids = [commit.snapshot_id for commit in history]
    session.execute(delete(Publish).where(Publish.table_name == table.name, Publish.snapshot_id.in_(ids)))
    session.execute(delete(Partition).where(Partition.table_name == table.name, Partition.partition.in_(moved)))
    for commit in history:
        build = session.get(Build, commit.build_id)
        if build is None:
            build = commit.build(table.name)
            session.add(build)
        build.state, build.pins, build.error = "built", dict(commit.pins), None
        build.snapshot_id = build.snapshot_id or commit.snapshot_id
        session.flush()
        number = given[table.name, commit.snapshot_id]
        publishes.record(session, build, commit.moved, commit.snapshot_id, number=number, at=commit.at)


def _without_commit(
    session: Session,
    table: Table,
    iceberg: IcebergTable | None,
    deployment: Deployment,
    number: int,
    now: datetime,
    result: Rebuilt,
) -> None:
    """Partitions that main and the ledger disagree on now: their commit, or their rows, were expired."""
    rows: defaultdict[datetime, int] = defaultdict(int)
    touches: defaultdict[datetime, defaultdict[datetime, int]] = defaultdict(lambda: defaultdict(int))
    head = iceberg.metadata.snapshot_by_name("main") if iceberg else None
    if iceberg is not None and head is not None:
        for task in iceberg.scan(snapshot_id=head.snapshot_id).plan_files():
            partition = deployment.lake.partition_of(table, task.file)
            rows[partition] += task.file.record_count
            if len(iceberg.spec().fields) > 1:
                touches[partition][moment_of(task.file.partition[1], HOUR)] += task.file.record_count
    current = {p.partition: p for p in session.scalars(select(Partition).where(Partition.table_name == table.name))}
    for partition, row in current.items():
        if row.rows and not rows.get(partition) and partition + table.every.length + table.keep < now:
            row.expired_at = row.expired_at or now
    lost = sorted(rows.keys() - current.keys())
    if not lost:
        return
    result.without_commit[table.name] = lost
    for span in runs(lost, table.every):
        build = _stand_in(table, span, result.epoch, "expired")
        session.add(build)
        session.flush()
        moved = [publishes.Moved(p, rows[p], "", dict(touches[p]) if p in touches else None) for p in span.partitions()]
        publishes.record(session, build, moved, 0, number=number)


def _expired_inputs(session: Session, table: Table, epoch: int, now: datetime) -> None:
    """Record as expired what the table's partitions read, is past its retention, and has left no trace."""
    mine = list(session.scalars(select(Partition.partition).where(Partition.table_name == table.name)))
    for entry in table.inputs:
        if not isinstance(entry, Input):
            continue
        length = entry.table.every.length
        query = select(Partition.partition).where(Partition.table_name == entry.table.name)
        there = set(session.scalars(query))
        gone: set[datetime] = set()
        for partition in mine:
            if entry.as_of:
                newest = entry.table.every.floor(partition + table.every.length - entry.lag - length)
                wanted = [newest] if min(there, default=now) > newest else []
            elif entry.by == "touches":
                # What arrived in its own hour; one expired arrival partition is enough to freeze it.
                wanted = [partition]
            else:
                start, end = entry.window(table.one(partition))
                wanted = list(Range.cover(start, end, entry.table.every).partitions())
            gone |= {p for p in wanted if p not in there and p + length + entry.table.keep <= now}
        for span in runs(list(gone), entry.table.every):
            build = _stand_in(entry.table, span, epoch, "gone")
            session.merge(build)
            session.flush()
            for p in span.partitions():
                row = Partition(table_name=entry.table.name, partition=p, build_id=build.id, begin=0, number=0)
                row.identity, row.rows, row.digest, row.expired_at = "", 0, "", now
                session.add(row)
                if entry.by == "touches":
                    session.merge(Touch(table_name=entry.table.name, partition=p, touched=p, rows=1, number=0))
        session.flush()


def _stand_in(table: Table, span: Range, epoch: int, why: str) -> Build:
    """A build for partitions whose own nobody knows any more."""
    return Build(
        id=f"{why}-{table.name}-{table.every.name_of(span.start)}-{epoch}",
        table_name=table.name,
        range_start=span.start,
        range_end=span.end,
        begin=0,
        epoch=0,
        identity="",
        owner=OWNER,
        state="built",
        session_id="",
        pins={},
    )


def _register(
    session: Session,
    tables: Map,
    histories: Mapping[str, Sequence[Commit]],
    found: list[FoundFile],
    result: Rebuilt,
) -> int:
    """Seal what builds had sealed, and register the files that builds had read; the largest number given.

    What is registered is taken out of ``found``.
    """
    largest = 0
    for kind in KINDS:
        reads = [
            (commit, start, end)
            for table in tables
            for entry in table.inputs
            if isinstance(entry, Files) and entry.kind == kind
            for commit in histories[table.name]
            for start, end in [entry.window(Range(commit.start, commit.end, table.every))]
        ]
        for commit, _, _ in reads:
            files.seal(session, kind, Range(commit.start, commit.end, HOUR))
        # Of several builds that read an hour, the one that began last knows all of its files.
        expected: dict[str, tuple[int, int, str]] = {}
        moved: dict[str, str] = {}
        for commit, _, _ in sorted(reads, key=lambda read: read[0].begin):
            for hour, (count, digest, elsewhere) in commit.pins.get(pins.FILES, {}).get(kind, {}).items():
                expected[hour] = (commit.begin, count, digest)
                moved |= dict.fromkeys(elsewhere, hour)
        for hour, (_, count, digest) in sorted(expected.items()):
            moment = parse(hour)
            there = _candidates(session, kind, moment, found, moved)
            chosen = there[:count]
            certain = pins.digest(chosen) == digest and len(chosen) == count
            read = [commit for commit, start, end in reads if start <= moment < end]
            lacking = [
                commit.begin
                for commit in read
                if not certain or commit.pins.get(pins.FILES, {}).get(kind, {}).get(hour, [0, ""])[1] != digest
            ]
            number = 1 + max(lacking, default=0)
            largest = max(largest, number)
            if not certain:
                result.doubtful.setdefault(kind, []).append(moment)
                _distrust(session, tables, kind, moment)
            for file in chosen if certain else there:
                if isinstance(file, File):
                    file.number = max(file.number, number) if lacking else file.number
                    continue
                found.remove(file)
                result.files += 1
                session.add(_registration(file, moment, number))
    session.flush()
    return max(largest, session.scalar(select(func.max(File.number))) or 0)


def _candidates(
    session: Session, kind: FileKind, hour: datetime, found: Iterable[FoundFile], moved: Mapping[str, str]
) -> list[File | FoundFile]:
    """The files that may have been the hour's, those that surely were first, then the rest as they were received."""
    name = HOUR.name_of(hour)
    registered = session.scalars(select(File).where(File.kind == kind, File.arrival_hour == hour).order_by(File.number))
    mine = [
        f for f in found if f.kind == kind and (moved[f.path] == name if f.path in moved else f.folder_hour == hour)
    ]
    return [*registered, *sorted(mine, key=lambda f: (f.path not in moved, f.received_at, f.path))]


def _distrust(session: Session, tables: Map, kind: FileKind, hour: datetime) -> None:
    """Clear the identity of the partitions that read the hour: outdated, because nobody can say what they hold."""
    for table in tables:
        for entry in table.inputs:
            if isinstance(entry, Files) and entry.kind == kind:
                rows = session.scalars(select(Partition).where(Partition.table_name == table.name))
                for row in rows:
                    start, end = entry.window(table.one(row.partition))
                    if start <= hour < end:
                        row.identity = ""


def _registration(file: FoundFile, hour: datetime, number: int) -> File:
    return File(
        path=file.path,
        source=file.source,
        kind=file.kind,
        arrival_hour=hour,
        size=file.size,
        etag=file.etag,
        defect=file.defect,
        received_at=file.received_at,
        number=number,
    )
