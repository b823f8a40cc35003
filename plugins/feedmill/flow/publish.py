"""Publishing (rule 3): replay on ``main`` what the check judged, then record it. Metadata only, no Spark.

PyIceberg has no fast-forward that checks ancestry, and Spark's refuses once ``main`` has moved, so a publish
always replays: one overwrite that drops the partition's files on ``main`` and adds those of the judged snapshot.
Killed at any step, the next publish of the table (or the retry of this one) finds the build's id in the snapshots
of ``main``, or does not, and goes on from there.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table as IcebergTable
from sqlalchemy import select
from sqlalchemy.orm import Session

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.lake.attempts import drop_branch, until_committed
from feedmill.lake.catalog import Lake
from feedmill.lake.commits import Commit, commits, summary, touched_hours
from feedmill.lake.overwrite import Overwrite
from feedmill.ledger import builds, publishes, verdicts
from feedmill.ledger.models import Build, Publish
from feedmill.ledger.publishes import Moved
from feedmill.ledger.store import Ledger, lock_counter, lock_records
from feedmill.spec import Table
from feedmill.timeline import Period, runs

log = logging.getLogger(__name__)


class NothingToPublishError(FeedmillError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """The build has no partition with a passing verdict or an acceptance for its snapshot."""


class LedgerBehindError(FeedmillError, code=Exit.PROBLEM, retry=True, turn=Turn.OPERATOR):
    """The lake holds commits of builds that the ledger never knew: it is new, or was restored from an older dump."""


@dataclass
class Outcome:
    """What became of each partition of the build."""

    published: list[datetime] = field(default_factory=list)
    unchanged: list[datetime] = field(default_factory=list)
    """Published, and the rows equalled the current ones: readers stay fresh."""
    superseded: list[datetime] = field(default_factory=list)
    """A build that began later is current; a success, whatever the check of this one said."""
    held: list[datetime] = field(default_factory=list)
    """Failed their check, nobody accepted them, and nothing later was published."""

    def describe(self, period: Period) -> str:
        """One sentence for a log or a page."""
        parts = [f"{len(self.published)} published"]
        if self.unchanged:
            parts.append(f"{len(self.unchanged)} of them unchanged")
        if self.superseded:
            parts.append(f"{len(self.superseded)} superseded by a build that began later")
        if self.held:
            parts.append(f"{len(self.held)} held: {', '.join(str(span) for span in runs(self.held, period))}")
        return "; ".join(parts) + "."


def publish(table: Table, build_id: str, ledger: Ledger, lake: Lake) -> Outcome:
    """Move the build's partitions that passed to ``main``; harmless to repeat, at any time, from anywhere.

    Raises:
        NothingToPublishError: nothing of the build was checked; marking a check as success publishes nothing. Or it is
            too late: the ledger was rebuilt since, or the branch was dropped.
        LookupError: the ledger knows no such build.
        LedgerBehindError: the ledger is older than the lake.
    """
    with ledger.table_lock(table.name):
        build = _publishable(table, build_id, ledger, lake)
        with ledger.transaction() as session:
            written = builds.written(session, build_id)
            allowed = verdicts.publishable(session, build)
            current = publishes.current(session, table.name, written)
        # Held ones too: where a build that began later is published, nobody waits for this one any more.
        newer = {p for p, published in current.items() if published.begin > build.begin}
        outcome = Outcome(superseded=sorted(newer), held=sorted(written.keys() - allowed - newer))
        candidates = [
            Moved(p, written[p].rows, written[p].digest, touched_hours(written[p].touches))
            for p in sorted((written.keys() & allowed) - newer)
        ]
        if candidates:
            _move(table, build, candidates, ledger, lake, outcome)
        if not outcome.held:
            drop_branch(table, build_id, lake)
    return outcome


def require_publishable(table: Table, build_id: str, ledger: Ledger, lake: Lake) -> None:
    """Let a build pass whose held partitions could be published, were they accepted.

    Raises:
        NothingToPublishError, LookupError, LedgerBehindError: as :func:`publish`.
    """
    with ledger.table_lock(table.name):
        _require_branch(table, _publishable(table, build_id, ledger, lake), lake.load(table))


def _publishable(table: Table, build_id: str, ledger: Ledger, lake: Lake) -> Build:
    """The build, if it is one that may be published; the ledger has all commits of ``main`` then."""
    reconcile(table, ledger, lake)
    with ledger.transaction() as session:
        build = builds.get(session, build_id)
        judged = verdicts.of_build(session, build_id)
        epoch = lock_counter(session).epoch
    if build.epoch != epoch:
        raise NothingToPublishError(
            f"{table.name}: build {build_id} is of epoch {build.epoch}, the ledger's is {epoch}; build again"
        )
    if build.state != "built" or build.snapshot_id is None:
        raise NothingToPublishError(f"{table.name}: build {build_id} is {build.state}; clear `build` to run it again")
    if not judged:
        raise NothingToPublishError(
            f"{table.name}: build {build_id} was never checked, so nothing of it is published; "
            "clear `check` to check it"
        )
    return build


def _require_branch(table: Table, build: Build, iceberg: IcebergTable) -> None:
    if build.snapshot_id is None or iceberg.metadata.snapshot_by_id(build.snapshot_id) is None:
        raise NothingToPublishError(
            f"{table.name}: the branch of build {build.id} was dropped, as of all builds that are published or ended "
            "a week ago; clear `build` to build again"
        )


def reconcile(table: Table, ledger: Ledger, lake: Lake) -> list[str]:
    """Record the commits on ``main`` that the ledger lacks, because a process died between the two.

    The caller holds the table's lock. Returns the ids of the builds that were recorded.

    Raises:
        LedgerBehindError: it lacks them because it is older than they are. Its numbers would be given twice, and what
            is stale would look fresh.
    """
    with ledger.transaction() as session:
        recorded = _record_all(session, table, lake.load_if_exists(table))
        for intent in publishes.open_intents(session, table.name):
            publishes.close_intents(session, intent.build_id)
    return recorded


def _record_all(session: Session, table: Table, iceberg: IcebergTable | None, own: str | None = None) -> list[str]:
    """Record every commit on ``main`` that the ledger lacks, oldest first. Returns the ids of their builds.

    A publish records in this way too, and not only its ``own`` commit: where a publisher lost its lock and lives on,
    its commit may lie beneath ours. So whatever is older than a recorded commit is recorded, and a look goes no
    further back than to the first that is.

    Raises:
        LedgerBehindError: the ledger has never known the build of one of them.
    """
    # The publish lock may be lost by now; whoever records at the same time must see our rows, or we theirs.
    lock_records(session, table.name)
    recorded = []
    for commit in unrecorded(session, table, iceberg):
        # The build's row is older than its commit: a ledger that has not got it was not there.
        build = session.get(Build, commit.build_id)
        if build is None:
            raise LedgerBehindError(
                f"{table.name}: build {commit.build_id} of {commit.at:%Y-%m-%dT%H:%M} is on main, and the ledger "
                "has never known it: it is new, or was restored from an older dump. `feedmill ledger rebuild` "
                "brings it forward; then run this again"
            )
        publishes.record(session, build, commit.moved, commit.snapshot_id)
        publishes.close_intents(session, build.id)
        recorded.append(build.id)
        if build.id != own:
            log.warning(
                "%s: recorded the publish of build %s, whose process died before it could", table.name, build.id
            )
    return recorded


def _move(table: Table, build: Build, candidates: list[Moved], ledger: Ledger, lake: Lake, outcome: Outcome) -> None:
    """Commit and record the candidates that are not on main already."""
    with ledger.transaction() as session:
        before = publishes.current(session, table.name, [c.partition for c in candidates])
        mine = {p for p, current in before.items() if current.build_id == build.id}
        todo = [c for c in candidates if c.partition not in mine]
        outcome.published = sorted(mine | {c.partition for c in todo})
        outcome.unchanged = [
            c.partition for c in todo if c.partition in before and before[c.partition].digest == c.digest
        ]
        if not todo:
            return
        publishes.write_intent(session, build, [c.partition for c in todo])
    iceberg, moved = _commit(table, build, todo, lake)
    lost = {c.partition for c in todo} - {m.partition for m in moved}
    outcome.superseded = sorted({*outcome.superseded, *lost})
    outcome.published = [p for p in outcome.published if p not in lost]
    outcome.unchanged = [p for p in outcome.unchanged if p not in lost]
    with ledger.transaction() as session:
        publishes.close_intents(session, build.id)
        _record_all(session, table, iceberg, own=build.id)


def _commit(table: Table, build: Build, todo: list[Moved], lake: Lake) -> tuple[IcebergTable | None, list[Moved]]:
    """One Iceberg commit on ``main`` that replays the judged snapshot for these partitions.

    Returns the table with the commit, and which partitions it moved; None and none where later builds have them all.
    Each attempt asks ``main`` itself who is current: the lock is a connection, and may be lost while we live on.
    """

    def attempt(iceberg: IcebergTable) -> tuple[IcebergTable | None, list[Moved]]:
        left, done = _left(iceberg, build, todo)
        if left and done is None:
            _require_branch(table, build, iceberg)
            _replay(table, build, left, iceberg, lake)
            iceberg = lake.load(table)
            left, done = _left(iceberg, build, left)
            if left and done is None:
                raise CommitFailedException(f"build {build.id} was committed, and is not on main")
        return (iceberg if done else None), left

    try:
        return until_committed(table, lake, attempt, f"the publish of build {build.id}")
    except CommitFailedException:
        # The last attempt may have got through without an answer.
        iceberg = lake.load(table)
        left, done = _left(iceberg, build, todo)
        if left and done is None:
            raise
        return (iceberg if done else None), left


def _left(iceberg: IcebergTable, build: Build, todo: list[Moved]) -> tuple[list[Moved], Commit | None]:
    """The partitions that no later build has on ``main``, and this build's commit that holds them all, if any."""
    newer = _superseded(iceberg, build, {entry.partition for entry in todo})
    left = [entry for entry in todo if entry.partition not in newer]
    return left, _find(iceberg, build.id, {entry.partition for entry in left}) if left else None


def _replay(table: Table, build: Build, moved: list[Moved], iceberg: IcebergTable, lake: Lake) -> None:
    """Commit to ``main``: without the files that it has of these partitions, and with the judged snapshot's."""
    partitions = {entry.partition for entry in moved}
    main = iceberg.metadata.snapshot_by_name("main")
    old = lake.files(table, iceberg, main.snapshot_id if main else None, partitions)
    new = lake.files(table, iceberg, build.snapshot_id, partitions)
    with (
        iceberg.transaction() as transaction,
        Overwrite(transaction, summary(build, moved)) as overwrite,
    ):
        for path in sorted(old.keys() - new.keys()):
            overwrite.delete_data_file(old[path])
        for path in sorted(new.keys() - old.keys()):
            overwrite.append_data_file(new[path])


def _superseded(iceberg: IcebergTable, build: Build, partitions: set[datetime]) -> set[datetime]:
    """Those of the partitions whose newest commit on ``main`` is of a build that began later."""
    open_, newer = set(partitions), set()
    for commit in commits(iceberg):
        if not open_:
            break
        found = open_ & {moved.partition for moved in commit.moved}
        open_ -= found
        if (commit.epoch, commit.begin) > (build.epoch, build.begin):
            newer |= found
    return newer


def _find(iceberg: IcebergTable, build_id: str, partitions: set[datetime]) -> Commit | None:
    """The commit on ``main`` that moved these partitions of this build, if there is one."""
    for commit in commits(iceberg):
        if commit.build_id == build_id and partitions <= {moved.partition for moved in commit.moved}:
            return commit
    return None


def unrecorded(session: Session, table: Table, iceberg: IcebergTable | None) -> list[Commit]:
    """Feedmill's commits on ``main`` that are newer than the newest one that the ledger knows, oldest first.

    Whatever is older than a recorded one is recorded too: whoever records a commit records those beneath it first.
    """
    found: list[Commit] = []
    for commit in commits(iceberg):
        known = select(Publish.build_id).where(
            Publish.table_name == table.name, Publish.snapshot_id == commit.snapshot_id
        )
        if session.execute(known.limit(1)).first():
            break
        found.insert(0, commit)
    return found
