"""Rebuilding a ledger that was lost, or restored from an older dump, from Iceberg's commits (rule 10).

**What comes back.** The commits on ``main``, oldest first, give the builds, publishes, current partitions (rows,
digest, identity, begin) and touches. The landing zone and the builds' pins say which file belongs to which arrival
hour. Some things only the ledger knew, and it is safe to lose them: verdicts and accepts of partitions that were not
published (they are built and checked again), failed builds, and open claims.

**Numbers** (:mod:`feedmill.doctor.rebuild_numbers`). A publish gets its number after its commit, so no commit tells it.
But the pins of each build tell, for each input, the newest publish that the build's begin covered
(:mod:`feedmill.ledger.pins`). So for every reader we know whether the number was above its begin. A commit gets the
smallest number that is above its own begin, above the begins of all readers that had not covered it, and not below the
number of the commit before it. By induction, that is never above the true number. So every reader that had covered the
commit stays fresh, and staleness comes out exactly as it was. If a reader's pins say nothing (its commit is from an
older version, or the map has a new input), it counts as not covered. Then more is stale than before, never less, as
long as the map still says what ripples to whom.

**Files** (:mod:`feedmill.doctor.rebuild_files`). A build's pins tell, for each arrival hour, how many files it read and
their digest. If the files that lie there still give that digest, they are registered for that hour again, below the
begins of the builds that read them. If not, a file was changed or lost. Then the hour's files get a number above the
begins of all its readers, and the partitions that read the hour lose their identity: they are stale or outdated, but
never fresh. All other files are registered as new, in an open hour if their folder's hour is sealed.

**What upkeep has expired** (:mod:`feedmill.doctor.rebuild_expired`). If a partition has rows on ``main`` but its commit
is gone, it gets begin 0 and no identity: it is outdated, and will be restated. If a partition is past its retention and
its rows are gone, it counts as expired. So does an input's partition of that age that nobody knows any more. Its
readers are then frozen and keep their rows; otherwise a restatement would read nothing, and replace them.

**An older dump** is rebuilt in the same way. The commits replace what the ledger says about their partitions, numbers
only rise, and the rest of the dump stays.

**Builds of the old epoch.** The epoch is raised first. Then each table's lock is taken once, so that no publish of the
old epoch is running when the commits are read. The rest is one transaction that holds the counter.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pyiceberg.table import Table as IcebergTable
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from feedmill.doctor.rebuild_expired import mark_expired, on_main, record_expired_inputs, record_without_commit
from feedmill.doctor.rebuild_files import restore_files
from feedmill.doctor.rebuild_numbers import CommitKey, Histories, Numbers, numbers
from feedmill.lake.commits import Commit, commits
from feedmill.landing import discover as landing
from feedmill.ledger import files, publishes
from feedmill.ledger.files import FoundFile
from feedmill.ledger.models import Build, Claim, Counter, Folder, Intent, Partition, Publish
from feedmill.ledger.store import Ledger, lock_counter
from feedmill.spec import KINDS, FileKind, Map, Table

if TYPE_CHECKING:
    from feedmill.deployment import Deployment

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild has brought back."""

    epoch: int
    counter: int
    commits: int
    partitions: int
    files: int
    """Registered for the hour in which builds had read them."""
    newly_found: int
    """Files that no build is known to have read."""
    without_commit: Mapping[str, list[datetime]]
    """By table: partitions on main whose commit was expired. They are outdated."""
    doubtful: Mapping[FileKind, list[datetime]]
    """Arrival hours whose files are not those that were read. Their readers are stale or outdated."""


@dataclass(frozen=True)
class Main:
    """What the commits on main say."""

    iceberg: Mapping[str, IcebergTable | None]
    histories: Histories


def rebuild(deployment: Deployment, now: datetime) -> Rebuilt:
    """Bring the ledger up to what Iceberg and the landing zone say; harmless to repeat.

    Running builds are interrupted: their epoch is over.
    """
    ledger, tables = deployment.ledger, deployment.tables
    # Reading files may take long, so it comes before anybody has to wait.
    found = landing.new_files(deployment.lake.landing, deployment.sources, KINDS, ledger)
    _raise_epoch_and_commit(deployment)
    _await_publishes(ledger, tables)
    with ledger.transaction() as session:
        counter = lock_counter(session)
        # They say which files are registered, and may be older or newer than what is left of those.
        session.execute(delete(Folder))
        found = _not_registered_meanwhile(session, found)
        main = _read_main(deployment)
        # Once more: a build that has begun since then has a begin that is below the numbers of the commits.
        _raise_epoch(counter, main.histories)
        _end_builds(session)
        given = numbers(tables, main.histories, _known_numbers(session, main.histories), counter.value)
        _replay_commits(session, tables, main.histories, given)
        without_commit = _compare_with_main(session, deployment, main, given, counter.epoch, now)
        for table in tables:
            record_expired_inputs(session, table, counter.epoch, now)
        restored = restore_files(session, tables, main.histories, found)
        counter.value = max(counter.value, restored.largest, given.largest(), _largest_begin(main.histories))
        partitions = session.scalar(select(func.count()).select_from(Partition)) or 0
        session.flush()
        # A file that no build has read is registered as discovery would.
        newly_found = files.register(session, restored.unread, now)
        return Rebuilt(
            counter.epoch,
            counter.value,
            sum(len(history) for history in main.histories.values()),
            partitions,
            restored.registered,
            len(newly_found),
            without_commit,
            restored.doubtful,
        )


def _raise_epoch_and_commit(deployment: Deployment) -> None:
    """End the old epoch, so that no publish of it starts any more."""
    with deployment.ledger.transaction() as session:
        _raise_epoch(lock_counter(session), _read_main(deployment).histories)


def _await_publishes(ledger: Ledger, tables: Map) -> None:
    """Wait until no publish of the old epoch is under way."""
    for table in tables:
        with ledger.table_lock(table.name):
            log.info("%s: no publish of the old epoch is running", table.name)


def _not_registered_meanwhile(session: Session, found: list[FoundFile]) -> list[FoundFile]:
    """Without the files that a build has registered since they were found."""
    registered = files.known_paths(session, [file.path for file in found])
    return [file for file in found if file.path not in registered]


def _read_main(deployment: Deployment) -> Main:
    iceberg = {table.name: deployment.lake.load_if_exists(table) for table in deployment.tables}
    return Main(iceberg, {name: list(commits(table))[::-1] for name, table in iceberg.items()})


def _raise_epoch(counter: Counter, histories: Histories) -> None:
    """Start an epoch above every one that the ledger or a commit knows."""
    counter.epoch = 1 + max([counter.epoch, *(commit.epoch for history in histories.values() for commit in history)])


def _end_builds(session: Session) -> None:
    """Interrupt the builds of the old epoch, and close their claims and intents."""
    # Builds come before claims, as in everything that ends a build. In another order each would wait for the other.
    session.execute(
        update(Build)
        .where(Build.state == "running")
        .values(state="interrupted", error="the ledger was rebuilt", finished_at=func.now())
    )
    session.execute(delete(Claim))
    session.execute(update(Intent).where(Intent.finished_at.is_(None)).values(finished_at=func.now()))


def _known_numbers(session: Session, histories: Histories) -> dict[CommitKey, int]:
    """The numbers that the ledger still has, by commit."""
    ids = [commit.snapshot_id for history in histories.values() for commit in history]
    query = (
        select(Publish.table_name, Publish.snapshot_id, func.max(Publish.number))
        .where(Publish.snapshot_id.in_(ids), Publish.changed)
        .group_by(Publish.table_name, Publish.snapshot_id)
    )
    return {(name, snapshot_id): number for name, snapshot_id, number in session.execute(query).tuples()}


def _replay_commits(session: Session, tables: Map, histories: Histories, given: Numbers) -> None:
    """Record the commits as their publishes did, in place of what the ledger says about them."""
    for table in tables:
        _forget_commits(session, table, histories)
        for commit in histories[table.name]:
            build = _build_of(session, table, commit)
            number = given.of_commit[table.name, commit.snapshot_id]
            publishes.record(session, build, commit.moved, commit.snapshot_id, number=number, at=commit.at)


def _forget_commits(session: Session, table: Table, histories: Histories) -> None:
    """Remove what the ledger says about the table's commits, and about the partitions that they moved."""
    ids = [commit.snapshot_id for commit in histories[table.name]]
    moved = {m.partition for commit in histories[table.name] for m in commit.moved}
    session.execute(delete(Publish).where(Publish.table_name == table.name, Publish.snapshot_id.in_(ids)))
    session.execute(delete(Partition).where(Partition.table_name == table.name, Partition.partition.in_(moved)))


def _build_of(session: Session, table: Table, commit: Commit) -> Build:
    """The build of a commit, as the commit tells it."""
    build = session.get(Build, commit.build_id)
    if build is None:
        build = commit.build(table.name)
        session.add(build)
    build.state, build.pins, build.error = "built", dict(commit.pins), None
    build.snapshot_id = build.snapshot_id or commit.snapshot_id
    session.flush()
    return build


def _compare_with_main(
    session: Session, deployment: Deployment, main: Main, given: Numbers, epoch: int, now: datetime
) -> dict[str, list[datetime]]:
    """Record what upkeep has expired; by table, the partitions on main whose commit is gone."""
    found = {}
    for table in deployment.tables:
        held = on_main(table, main.iceberg[table.name], deployment.lake)
        mark_expired(session, table, held, now)
        lost = record_without_commit(session, table, held, given.before[table.name], epoch)
        if lost:
            found[table.name] = lost
    return found


def _largest_begin(histories: Histories) -> int:
    return max((commit.begin for history in histories.values() for commit in history), default=0)
