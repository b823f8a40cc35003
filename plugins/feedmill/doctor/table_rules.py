"""The doctor's rules for a table: its rows and branches in Iceberg, and what the ledger says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from feedmill.doctor import examination
from feedmill.doctor.facts import Facts, TableFacts
from feedmill.doctor.rule import Finding, Rule, counted, first_of
from feedmill.flow import publish
from feedmill.housekeeping.branches import BRANCH_KEEP
from feedmill.lake.attempts import drop_branch
from feedmill.lake.row_deletes import restatement
from feedmill.spec import Table
from feedmill.timeline import runs

if TYPE_CHECKING:
    from feedmill.deployment import Deployment

_Value = TypeVar("_Value")


class LedgerBehind(Rule[Facts]):
    """The ledger is older than the lake: it was lost, or restored from an older dump."""

    ill = "ledger behind"

    def look(self, seen: Facts) -> Iterator[Finding]:
        mend = "Run `feedmill ledger rebuild`. Until then this table publishes nothing."
        for one in seen.tables:
            strangers = [commit.build_id for commit in one.unrecorded if not commit.known]
            if strangers:
                what = (
                    f"the ledger is new or comes from an older dump: it does not know what is on main of "
                    f"{counted(len(strangers), 'build', 'builds')}, {first_of(strangers)}"
                )
                yield self.finding(one.table.name, what, mend, strangers)
            elif one.newest > (seen.epoch, seen.counter):
                epoch, begin = one.newest
                what = (
                    f"the ledger comes from an older dump: it is at {seen.counter} of epoch {seen.epoch}, "
                    f"but a build on main began at {begin} of epoch {epoch}"
                )
                yield self.finding(one.table.name, what, mend)


def reconcile(deployment: Deployment, tables: Sequence[Table], _now: datetime) -> None:
    """Record the commits that the ledger lacks, and close the intents of publishes that died.

    Raises:
        LedgerBehindError: the ledger is older than the lake; `feedmill ledger rebuild` comes first.
    """
    for table in tables:
        with deployment.ledger.table_lock(table.name):
            publish.reconcile(table, deployment.ledger, deployment.lake)


class UnrecordedCommit(Rule[TableFacts]):
    """A publish died after its commit, before it was recorded. (Of an unknown build: :class:`LedgerBehind`.)"""

    ill = "unrecorded commit"
    mend = staticmethod(reconcile)

    def look(self, seen: TableFacts) -> Iterator[Finding]:
        if not seen.unrecorded or not all(commit.known for commit in seen.unrecorded):
            return
        ids = [commit.build_id for commit in seen.unrecorded]
        yield self.finding(
            seen.table.name,
            f"the ledger lacks {counted(len(ids), 'commit', 'commits')} on main: build {first_of(ids)}",
            "`feedmill doctor --mend` records what it lacks; so does the table's next publish.",
            ids,
        )


class NotInLedger(Rule[TableFacts]):
    """Main has rows of partitions that the ledger does not know."""

    ill = "not in the ledger"

    def look(self, seen: TableFacts) -> Iterator[Finding]:
        period, on_main = seen.table.every, _explained_apart(seen, seen.on_main)
        lacking = sorted(on_main.keys() - seen.recorded.keys())
        if lacking:
            rows, spans = sum(on_main[p] for p in lacking), [str(span) for span in runs(lacking, period)]
            yield self.finding(
                seen.table.name,
                f"main has {counted(rows, 'row', 'rows')} that the ledger does not know, in {first_of(spans)}",
                "`feedmill ledger rebuild` records what Iceberg knows about them; their next build replaces them.",
                [period.name_of(p) for p in lacking],
            )


class RowsDiffer(Rule[TableFacts]):
    """Main does not hold the rows that were published. Two counts always tell; with ``--rows`` a digest tells, too."""

    ill = "rows differ"

    def look(self, seen: TableFacts) -> Iterator[Finding]:
        name_of = seen.table.every.name_of
        differing = {
            p: f"{name_of(p)} (ledger {recorded.rows:,}, main {seen.on_main.get(p, 0):,})"
            for p, recorded in sorted(_explained_apart(seen, seen.recorded).items())
            if recorded.rows != seen.on_main.get(p, 0)
        }
        differing |= {
            p: f"{name_of(p)} (the same number of rows, but not the same rows)"
            for p in _other_digests(seen)
            if seen.recorded[p].today
        }
        if differing:
            yield self.finding(
                seen.table.name,
                f"the rows on main are not those that were published: {first_of(list(differing.values()))}",
                "Find out what else writes to main, then restate these partitions and their readers.",
                [name_of(p) for p in differing],
            )


class RowsDeleted(Rule[TableFacts]):
    """Another engine deleted or updated rows of published partitions, by files of row-level deletes."""

    ill = "rows deleted"

    def look(self, seen: TableFacts) -> Iterator[Finding]:
        if seen.row_deletes:
            partitions, name_of = seen.row_deletes, seen.table.every.name_of
            spans = [str(span) for span in runs(list(partitions), seen.table.every)]
            yield self.finding(
                seen.table.name,
                f"another engine deleted or updated rows on main, in {first_of(spans)}; `feedmill sql` refuses them",
                "Find out what else writes to main. Then restate what it changed, "
                f"{restatement(seen.table, partitions)}, and the readers that were built since.",
                [name_of(p) for p in partitions],
            )


def not_compared(facts: Facts) -> list[str]:
    """With ``--rows``: how many partitions could not be compared, and why, in one sentence for each table."""
    found = []
    for one in facts.tables:
        if one.no_digests is not None:
            count, why = len(_same_count(one)), f"{one.no_digests}."
        else:
            count = sum(1 for p in _other_digests(one) if not one.recorded[p].today)
            why = "older code built them, perhaps with other columns. Restate them to make them comparable."
        if count:
            partitions = counted(count, "partition", "partitions")
            found.append(f"{one.table.name}: the rows of {partitions} could not be compared: {why}")
    return found


class OpenIntent(Rule[TableFacts]):
    """A publish said what it would commit, and died before it was done."""

    ill = "open intent"
    mend = staticmethod(reconcile)

    def look(self, seen: TableFacts) -> Iterator[Finding]:
        if seen.intents:
            yield self.finding(
                seen.table.name,
                f"the publish of build {first_of(seen.intents)} did not finish",
                "Clear `publish` of its run: it continues from there. `feedmill doctor --mend` only closes the intent.",
                seen.intents,
            )


def drop_branches(deployment: Deployment, tables: Sequence[Table], _now: datetime) -> None:
    """Drop the branches that nobody needs any more."""
    for table in tables:
        for build_id in examination.left_branches(deployment, table):
            drop_branch(table, build_id, deployment.lake)


class LeftBranch(Rule[TableFacts]):
    """A branch outlived its build: the build is published, superseded or dead."""

    ill = "branch left behind"
    mend = staticmethod(drop_branches)

    def look(self, seen: TableFacts) -> Iterator[Finding]:
        if seen.branches:
            names = [f"build_{build} ({state})" for build, state in seen.branches.items()]
            yield self.finding(
                seen.table.name,
                f"{counted(len(names), 'branch is', 'branches are')} no longer needed: {first_of(names)}",
                "`feedmill doctor --mend` drops what is not needed.",
                list(seen.branches),
            )


class UnknownBranch(Rule[TableFacts]):
    """A branch of a build that the ledger does not know. It may be another ledger's, so a person drops it."""

    ill = "branch left behind"

    def look(self, seen: TableFacts) -> Iterator[Finding]:
        if seen.unknown_branches:
            names = [f"build_{build}" for build in seen.unknown_branches]
            yield self.finding(
                seen.table.name,
                f"the ledger does not know the {'build' if len(names) == 1 else 'builds'} of "
                f"{counted(len(names), 'branch', 'branches')}: {first_of(names)}",
                "Does another ledger use this lake? If not, there is nothing to do: housekeeping drops them "
                f"{BRANCH_KEEP.days} days after they were written.",
                seen.unknown_branches,
            )


class DdlDiffers(Rule[TableFacts]):
    """The table is not what its DDL says."""

    ill = "DDL differs"

    def look(self, seen: TableFacts) -> Iterator[Finding]:
        if seen.ddl is not None:
            yield self.finding(seen.table.name, *seen.ddl)


def _explained_apart(one: TableFacts, by_partition: Mapping[datetime, _Value]) -> dict[datetime, _Value]:
    """Without the partitions of commits that the ledger lacks: those commits explain a difference."""
    explained = {partition for commit in one.unrecorded for partition in commit.partitions}
    return {p: value for p, value in by_partition.items() if p not in explained}


def _same_count(one: TableFacts) -> list[datetime]:
    """Partitions with the same number of rows in the ledger and on main: only a digest shows whether they differ."""
    recorded = _explained_apart(one, one.recorded)
    return [p for p, r in sorted(recorded.items()) if 0 < r.rows == one.on_main.get(p, 0)]


def _other_digests(one: TableFacts) -> list[datetime]:
    if one.digests is None:
        return []
    return [p for p in _same_count(one) if one.digests.get(p) != one.recorded[p].digest]
