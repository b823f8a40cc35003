"""What is wrong between the ledger, Iceberg and the landing zone, and how to mend it. Pure: facts in, findings out.

Staleness is no illness: it is the ledger's own knowledge, and `status` shows it. Here is what the ledger does *not*
know, or believes wrongly. :mod:`feedmill.doctor.examination` gathers the facts, and mends what is always safe to mend.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from feedmill.spec import FileKind, Table
from feedmill.timeline import HOUR, runs

SHOWN = 5
"""Partitions, files or builds that one sentence names; --json has all."""

GRACE = timedelta(hours=1)
"""How long a landed file may wait to be registered, or read: the next hour's build does it. A clock may be as wrong."""


class Ill(StrEnum):
    """What a finding is about."""

    LEDGER_BEHIND = "ledger behind"
    UNRECORDED = "unrecorded commit"
    ROWS_DIFFER = "rows differ"
    NOT_IN_LEDGER = "not in the ledger"
    OPEN_INTENT = "open intent"
    DEAD_CLAIM = "dead claim"
    NO_CLAIM = "build without claim"
    LEFT_BRANCH = "branch left behind"
    FILE_ALTERED = "file missing or changed"
    NOT_REGISTERED = "file not registered"
    CLOSED = "file cannot be opened"
    MISPLACED = "folder names no hour"
    NOT_READ = "file that no build reads"
    LEFT_REGISTRATION = "registration left behind"
    DDL_DIFFERS = "DDL differs"


MENDED = frozenset(
    {Ill.UNRECORDED, Ill.OPEN_INTENT, Ill.DEAD_CLAIM, Ill.NO_CLAIM, Ill.LEFT_BRANCH, Ill.LEFT_REGISTRATION}
)
"""What ``feedmill doctor --mend`` mends: never a row, and never a guess."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    ill: Ill
    table: str
    """Empty where it is no table's."""
    what: str
    """What is wrong, in one sentence without its full stop."""
    mend: str
    """What to do, in one sentence."""
    names: tuple[str, ...] = ()
    """All partitions, builds or files that it is about."""

    def __str__(self) -> str:
        where = f"{self.table}: " if self.table else ""
        return f"{where}{self.what}. {self.mend}"


@dataclass(frozen=True)
class Recorded:
    """A published partition as the ledger has it."""

    rows: int
    digest: str
    today: bool = True
    """Whether today's code made it: the digest is over all columns, and other code may have had others."""


@dataclass(frozen=True)
class Unrecorded:
    """A commit on ``main`` that the ledger lacks."""

    build_id: str
    partitions: frozenset[datetime]
    known: bool = True
    """Whether the ledger knows the build: it does where a process died between the commit and its record."""


@dataclass(frozen=True)
class TableFacts:
    """One table, as the ledger and Iceberg have it at one moment (under the table's lock)."""

    table: Table
    recorded: Mapping[datetime, Recorded] = field(default_factory=dict)
    on_main: Mapping[datetime, int] = field(default_factory=dict)
    """Rows by partition, from main's manifests; partitions without a file are absent."""
    digests: Mapping[datetime, str] | None = None
    """Of the rows on main, read again; None where nobody asked for it. Partitions without rows are absent."""
    no_digests: str | None = None
    """Why they cannot be read again, where somebody asked for it; None where they can."""
    unrecorded: Sequence[Unrecorded] = ()
    newest: tuple[int, int] = (0, 0)
    """The largest (epoch, begin) of all commits on main."""
    intents: Sequence[str] = ()
    """Builds with an open intent; under the table's lock nobody is at work on one."""
    branches: Mapping[str, str] = field(default_factory=dict)
    """Branches that nobody needs any more: the build, and what became of it."""
    unknown_branches: Sequence[str] = ()
    """Builds that have a branch, and that the ledger does not know."""
    ddl: tuple[str, str] | None = None
    """What the DDL asks for that the table is not, and what to do; None where they agree."""


@dataclass(frozen=True)
class Worker:
    """A build that the ledger believes to be at work."""

    build_id: str
    table_name: str
    owner: str
    silent: timedelta | None
    """How long its heartbeat has stopped for; None where it has no claim at all."""


@dataclass(frozen=True)
class Waiting:
    """A landed file that is not registered."""

    url: str
    folder_hour: datetime | None
    """None where its folder names no hour."""
    modified: datetime
    closed: str | None = None
    """Why it cannot be opened; None where it can."""


@dataclass(frozen=True)
class Reader:
    """A table that reads files."""

    table: Table
    lookback: timedelta
    first: datetime | None
    """Its first partition that was ever published, from which on `status` knows what is overdue; None before that."""

    def newest(self, hour: datetime) -> datetime:
        """Its newest partition that reads the files of an arrival hour."""
        return self.table.every.floor(hour + self.lookback)

    def kept_until(self, hour: datetime) -> datetime:
        """When retention takes the last of what was built of an arrival hour."""
        return self.newest(hour) + self.table.every.length + self.table.keep


@dataclass(frozen=True)
class Unread:
    """A registered file that no build has read."""

    url: str
    kind: FileKind
    hour: datetime
    """The arrival hour that it is registered for."""
    received: datetime
    gone: bool = False
    """Whether it does not lie there any more."""


@dataclass(frozen=True)
class Facts:
    """Everything that is compared."""

    now: datetime
    epoch: int
    counter: int
    tables: Sequence[TableFacts] = ()
    workers: Sequence[Worker] = ()
    """Builds whose claim has expired or is missing."""
    altered: Mapping[str, Literal["gone", "changed"]] = field(default_factory=dict)
    """Registered files that are not what was registered, by URL."""
    waiting: Sequence[Waiting] = ()
    misplaced: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Landed files, registered or not, by their folder that names no hour."""
    unread: Sequence[Unread] = ()
    """Registered files that no build has read, yet or ever."""
    readers: Mapping[FileKind, Sequence[Reader]] = field(default_factory=dict)
    """All tables of the map that read files, by kind."""


def findings(facts: Facts) -> list[Finding]:
    """All that is wrong; empty is well."""
    return [
        *_behind(facts),
        *(finding for one in facts.tables for finding in _table(one)),
        *_workers(facts.workers),
        *_altered(facts.altered),
        *_waiting(facts.waiting, facts.now),
        *_misplaced(facts.misplaced),
        *_not_read(facts),
    ]


def not_compared(facts: Facts) -> list[str]:
    """Where rows were read again: which partitions it says nothing of, and why, in a sentence for each table."""
    found = []
    for one in facts.tables:
        if one.no_digests is not None:
            count, why = len(_as_many(one)), one.no_digests
        else:
            count = sum(1 for p in _other_digests(one) if not one.recorded[p].today)
            why = "other code than today's made them, perhaps with other columns. A restatement makes them comparable"
        if count:
            partitions = f"{count:,} partition{'s' * (count > 1)}"
            found.append(f"{one.table.name}: the rows of {partitions} are not compared: {why}.")
    return found


def _as_many(one: TableFacts) -> list[datetime]:
    """Partitions of as many rows on main as in the ledger, and no commit that the ledger lacks: the rows may differ."""
    explained = {partition for commit in one.unrecorded for partition in commit.partitions}
    return [p for p, r in sorted(one.recorded.items()) if 0 < r.rows == one.on_main.get(p, 0) and p not in explained]


def _other_digests(one: TableFacts) -> list[datetime]:
    if one.digests is None:
        return []
    return [p for p in _as_many(one) if one.digests.get(p) != one.recorded[p].digest]


def _behind(facts: Facts) -> Iterator[Finding]:
    mend = "`feedmill ledger rebuild` brings it forward; until then these tables publish nothing."
    for one in facts.tables:
        if strangers := tuple(commit.build_id for commit in one.unrecorded if not commit.known):
            what = f"main holds {_some(strangers)}, which the ledger never knew: it is new, or an older dump"
            yield Finding(Ill.LEDGER_BEHIND, one.table.name, what, mend, strangers)
        elif one.newest > (facts.epoch, facts.counter):
            what = (
                f"a build on main began at {one.newest[1]} of epoch {one.newest[0]}, "
                f"and the ledger is at {facts.counter} of epoch {facts.epoch}"
            )
            yield Finding(Ill.LEDGER_BEHIND, one.table.name, what, mend)


def _table(one: TableFacts) -> Iterator[Finding]:
    name, period = one.table.name, one.table.every
    if one.unrecorded and all(commit.known for commit in one.unrecorded):
        ids = tuple(commit.build_id for commit in one.unrecorded)
        yield Finding(
            Ill.UNRECORDED,
            name,
            f"{len(ids)} commit{'s' * (len(ids) > 1)} on main that the ledger lacks, of build {_some(ids)}",
            "`feedmill doctor --mend` records it, as the table's next publish would.",
            ids,
        )
    explained = {partition for commit in one.unrecorded for partition in commit.partitions}
    recorded = {p: r for p, r in one.recorded.items() if p not in explained}
    on_main = {p: rows for p, rows in one.on_main.items() if p not in explained}
    if lacking := sorted(on_main.keys() - recorded.keys()):
        spans = [str(span) for span in runs(lacking, period)]
        yield Finding(
            Ill.NOT_IN_LEDGER,
            name,
            f"main has {sum(on_main[p] for p in lacking):,} rows of {_some(spans)} that the ledger knows nothing of",
            "`feedmill ledger rebuild` takes up what Iceberg knows of them; their next build replaces them.",
            tuple(period.name_of(p) for p in lacking),
        )
    differing = {
        p: f"{period.name_of(p)} (ledger {r.rows:,}, main {on_main.get(p, 0):,})"
        for p, r in sorted(recorded.items())
        if r.rows != on_main.get(p, 0)
    }
    differing |= {
        p: f"{period.name_of(p)} (as many rows, others)" for p in _other_digests(one) if one.recorded[p].today
    }
    if differing:
        yield Finding(
            Ill.ROWS_DIFFER,
            name,
            f"main does not hold the rows that were published: {_some(list(differing.values()))}",
            "Find out who writes to main beside Feedmill, then restate these partitions and their readers.",
            tuple(period.name_of(p) for p in differing),
        )
    if one.intents:
        yield Finding(
            Ill.OPEN_INTENT,
            name,
            f"a publish of build {_some(one.intents)} did not end",
            "Clear `publish` of its run, which goes on from there; `feedmill doctor --mend` settles the intent only.",
            tuple(one.intents),
        )
    if one.branches:
        yield Finding(
            Ill.LEFT_BRANCH,
            name,
            f"branches that nobody needs: {_some([f'build_{b} ({state})' for b, state in one.branches.items()])}",
            "`feedmill doctor --mend` drops them.",
            tuple(one.branches),
        )
    if one.unknown_branches:
        yield Finding(
            Ill.LEFT_BRANCH,
            name,
            f"branches of builds that the ledger does not know: {_some([f'build_{b}' for b in one.unknown_branches])}",
            "Is there another ledger that uses this lake? If not, drop them: ALTER TABLE … DROP BRANCH ….",
            tuple(one.unknown_branches),
        )
    if one.ddl is not None:
        yield Finding(Ill.DDL_DIFFERS, name, *one.ddl)


def _workers(workers: Iterable[Worker]) -> Iterator[Finding]:
    for one in workers:
        what = f"build {one.build_id} of {one.owner} is said to run"
        mend = "`feedmill doctor --mend` marks it as interrupted; then clear `build` of its run."
        if one.silent is None:
            yield Finding(Ill.NO_CLAIM, one.table_name, f"{what}, and has no claim", mend, (one.build_id,))
        else:
            seconds = int(one.silent.total_seconds())
            what += f", and its heartbeat stopped {seconds} s ago"
            yield Finding(Ill.DEAD_CLAIM, one.table_name, what, mend, (one.build_id,))


def _altered(files: Mapping[str, Literal["gone", "changed"]]) -> Iterator[Finding]:
    for state, mend in (
        ("gone", "Put them back, the same bytes: what was built from them could not be built again."),
        ("changed", "Put the old files back, and land the new ones under other names."),
    ):
        if urls := tuple(sorted(url for url, found in files.items() if found == state)):
            what = f"{len(urls)} registered file{'s are' if len(urls) > 1 else ' is'} {state}: {_some(urls)}"
            yield Finding(Ill.FILE_ALTERED, "", what, mend, urls)


def _waiting(files: Sequence[Waiting], now: datetime) -> Iterator[Finding]:
    if closed := [f for f in files if f.closed]:
        yield Finding(
            Ill.CLOSED,
            "",
            f"{len(closed)} landed file{'s' * (len(closed) > 1)} cannot be opened: "
            f"{_some([f'{f.url} ({f.closed})' for f in closed])}",
            "Let Feedmill's user read them, or take them away: until then no build registers them.",
            tuple(f.url for f in closed),
        )
    late = [
        f
        for f in files
        if not f.closed and max(f.folder_hour + HOUR.length if f.folder_hour else f.modified, f.modified) + GRACE < now
    ]
    if late:
        yield Finding(
            Ill.NOT_REGISTERED,
            "",
            f"{len(late)} landed file{'s' * (len(late) > 1)} of ended hours that no build has registered: "
            f"{_some([f.url for f in late])}",
            "The next build of a table that reads such files registers them: are those DAGs paused?",
            tuple(f.url for f in late),
        )


def _misplaced(folders: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    for folder, urls in sorted(folders.items()):
        yield Finding(
            Ill.MISPLACED,
            "",
            f"{len(urls)} file{'s lie' if len(urls) > 1 else ' lies'} in {folder}, which names no arrival hour: "
            f"not landed but in events.rejected, or soon there",
            "Move them to <source>/<YYYY-MM-DDTHH>/: a file in its new place is a new one, and is landed.",
            tuple(urls),
        )


class Astray(StrEnum):
    """Why no build of the schedule reads a registered file, as a part of a sentence."""

    TO_COME = "hours that are still to come"
    BEFORE = "hours from before the first that was published"
    TOO_OLD = "hours whose retention had passed when they were received"


def astray(file: Unread, readers: Sequence[Reader], now: datetime) -> Astray | None:
    """Why no build of the schedule reads the file; None where one does, where `status` says that none did, or where
    nobody knows yet: the history of a reader that was never published may begin anywhere.

    An hour that has passed its retention was perhaps built, and what it was built from forgotten with an old ledger.
    What was received while it could be kept is left alone.
    """
    hour = file.hour
    if hour > now + GRACE:
        return Astray.TO_COME
    if not readers or hour + HOUR.length + GRACE >= now:
        return None
    if any(one.first is None or one.newest(hour) >= one.first for one in readers):
        return None
    kept = max(one.kept_until(hour) for one in readers)
    if kept > now:
        return Astray.BEFORE
    return Astray.TOO_OLD if file.received > kept else None


def moved(files: Iterable[Unread], readers: Mapping[FileKind, Sequence[Reader]], now: datetime) -> list[str]:
    """Registered files that nobody misses: they lay in the folder of a wrong hour, are gone, and no build read them."""
    wrong = (Astray.TO_COME, Astray.TOO_OLD)
    return [file.url for file in files if file.gone and astray(file, readers.get(file.kind, ()), now) in wrong]


def _not_read(facts: Facts) -> Iterator[Finding]:
    busy = {worker.table_name for worker in facts.workers}
    for kind, readers in facts.readers.items():
        # Of a history that is built just now, a later hour may be published before an earlier one has begun.
        building = any(one.table.name in busy for one in readers)
        by_why: dict[Astray, list[Unread]] = {}
        for file in facts.unread:
            why = astray(file, readers, facts.now) if file.kind == kind and not file.gone else None
            if why is not None and not (why is Astray.BEFORE and building):
                by_why.setdefault(why, []).append(file)
        for why, files in by_why.items():
            yield Finding(
                Ill.NOT_READ,
                "",
                f"{len(files)} registered file{'s' * (len(files) > 1)} of {why}: {_some(_folders(files))}",
                _build(files, readers, facts.now)
                if why is Astray.BEFORE
                else "Move them to the folder of the hour in which they arrived, where they are new files; "
                "`feedmill doctor --mend` then removes the old registration.",
                tuple(file.url for file in files),
            )
    if urls := tuple(moved(facts.unread, facts.readers, facts.now)):
        yield Finding(
            Ill.LEFT_REGISTRATION,
            "",
            f"{len(urls)} file{'s' * (len(urls) > 1)} of an hour that no build has read "
            f"{'are' if len(urls) > 1 else 'is'} gone: {_some(urls)}",
            "`feedmill doctor --mend` removes the registration: nothing was built of it.",
            urls,
        )


def _folders(files: Iterable[Unread]) -> list[str]:
    counts = Counter(file.url.rpartition("/")[0] for file in files)
    return [f"{folder} ({count})" for folder, count in sorted(counts.items())]


def _build(files: Sequence[Unread], readers: Sequence[Reader], now: datetime) -> str:
    """What to build: up to the first published partition, or `status` would call the hours in between overdue."""
    ranges = []
    for one in readers:
        wanted = [one.newest(file.hour) for file in files if one.kept_until(file.hour) > now]
        if wanted and one.first is not None:
            name_of = one.table.every.name_of
            ranges.append(
                f"`feedmill build {one.table.name} --start {name_of(min(wanted))} --end {name_of(one.first)}`"
            )
    return f"{' and '.join(ranges)}, or their DAGs with this start and end, read them."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
