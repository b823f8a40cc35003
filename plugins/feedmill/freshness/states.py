"""How every partition of every table is: facts, code identities and ``now`` go in, states come out. Pure.

The arithmetic is on whole columns (:mod:`feedmill.freshness.series`): what is true of one partition is defined in
:mod:`feedmill.freshness.staleness`, and a property test holds the two together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from itertools import pairwise

import numpy as np

from feedmill.freshness.code import changed
from feedmill.freshness.facts import AirflowFacts, Cause, Facts, Held, Knowledge, Published, Spot, Try
from feedmill.freshness.series import (
    NOTHING,
    Columns,
    Flags,
    Ints,
    Series,
    any_of,
    largest,
    moment_of,
    padded,
    place_of,
    seconds,
)
from feedmill.freshness.staleness import frozen_because, reads_the_same, stale_because
from feedmill.spec import Files, Input, Ripple, Table
from feedmill.timeline import HOUR, Range


class State(StrEnum):
    """A partition's state; where several hold, the first of this order is shown."""

    BUILDING = "building"
    """A build that lives has claimed it."""
    HELD = "held"
    """Its last checked build failed, and neither it, accepted, nor a later one is published."""
    FAILED = "failed"
    """The newest try of it ended in an error, no retry is coming, and it is unpublished or stale."""
    FROZEN = "frozen"
    """An input that it needs has passed its retention: never rebuilt, and it keeps its rows."""
    NEVER_BUILT = "never built"
    """Its inputs have rows for it, and it lies before the table's history: never overdue, and no gap for windows."""
    BLOCKED = "blocked"
    """It cannot be built until another partition is."""
    OVERDUE = "overdue"
    """Not published, and past its deadline."""
    STALE = "stale"
    """Something that it reads was published or registered after its begin."""
    OUTDATED = "outdated"
    """Other code, columns or windows than today's made its rows."""
    MISSING = "missing"
    """It has ended since the table's history began, and is not published; its deadline has not passed."""
    EMPTY = "empty"
    """Published and fresh, with no rows."""
    PUBLISHED = "published"
    """Published and fresh."""

    @property
    def bit(self) -> int:
        """Its place in a mask of states."""
        return 1 << _ORDER[self]


_ORDER: dict[State, int] = {state: place for place, state in enumerate(State)}

MEANINGS: Mapping[State, str] = {
    State.BUILDING: "a build is at work on it",
    State.HELD: "its last build failed its check",
    State.FAILED: "its last try ended in an error",
    State.FROZEN: "an input that it needs has passed its retention",
    State.NEVER_BUILT: "before the table's history; its inputs have rows for it",
    State.BLOCKED: "it waits for another partition",
    State.OVERDUE: "not published, past its deadline",
    State.STALE: "an input changed after it was built",
    State.OUTDATED: "made by other code than today's",
    State.MISSING: "not published yet",
    State.EMPTY: "published, without rows",
    State.PUBLISHED: "published",
}

NEEDS_A_PERSON = frozenset({State.HELD, State.FAILED, State.OVERDUE})
"""What does not heal by the next run of the schedule or of a restatement."""

NEEDS_A_BUILD = frozenset(
    {State.HELD, State.FAILED, State.OVERDUE, State.STALE, State.OUTDATED, State.MISSING},
)
"""What stands between here and convergence."""


@dataclass(frozen=True)
class Cell:
    """One partition."""

    partition: datetime
    states: tuple[State, ...]
    """All that hold, in the order of :class:`State`; the first is the one to show."""
    rows: int | None
    """None where it is not published."""
    why: str
    """The first state in words, with its cause; empty where it is fine."""

    @property
    def state(self) -> State:
        """The state to show."""
        return self.states[0]


@dataclass(frozen=True)
class Run:
    """Consecutive partitions that are in the same states."""

    span: Range
    states: tuple[State, ...]


@dataclass(frozen=True)
class Picture:
    """The states of all tables at one moment, computed table by table as they are asked for.

    A picture holds until the next look at the ledger, which brings its columns up to date.
    """

    tables: Mapping[str, Table]
    columns: Columns
    held: Mapping[str, Mapping[datetime, Held]]
    building: Mapping[str, Sequence[tuple[Range, str]]]
    identities: Mapping[str, str]
    tries: Mapping[str, Sequence[Try]]
    airflow: AirflowFacts | None
    now: datetime
    codes: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    """By table name and code identity, as far as it is known: a digest of each part of that code."""
    _known: dict[str, TableStatus] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, tables: Iterable[Table], known: Knowledge, now: datetime) -> Picture:
        """The picture of these tables and of what they read, from facts that are given one by one."""
        every = {table.name: table for table in upstream(tables)}
        columns = Columns.of(known.facts, {name: table.every for name, table in every.items()})
        return cls(every, columns, known.held, known.building, known.identities, known.tries, known.airflow, now)

    def status(self, table: Table) -> TableStatus:
        """Every partition of the table."""
        found = self._known.get(table.name)
        if found is None:
            found = self._known[table.name] = _Computation(self, table).status()
        return found

    def all(self) -> list[TableStatus]:
        """The status of every table."""
        return [self.status(table) for table in self.tables.values()]

    def keep(self, earlier: Picture, changed: Iterable[str]) -> Picture:
        """Take over from an earlier picture of the same map what did not change: neither facts nor the clock's answer.

        ``changed`` names the tables and file kinds whose facts have changed since.
        """
        touched = set(changed)
        for table in self.tables.values():
            before = earlier._known.get(table.name)
            inputs = {e.table.name if isinstance(e, Input) else e.kind for e in table.inputs}
            same = before is not None and not (touched & (inputs | {table.name})) and self.now < before.valid_until
            if before is not None and same:
                self._known[table.name] = before.seen_by(self)
            elif before is None or not before.alike(self.status(table)):
                # Its readers may be touched by what was never built of it: they look again.
                touched.add(table.name)
        return self

    def differing(self, earlier: Picture) -> set[str]:
        """The tables of which something is known otherwise than in an earlier picture, besides the columns."""
        found = set()
        for mine, theirs in (
            (self.held, earlier.held),
            (self.building, earlier.building),
            (self.tries, earlier.tries),
            (self.identities, earlier.identities),
        ):
            found |= {name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)}
        return found | self._otherwise_in_airflow(earlier)

    def _otherwise_in_airflow(self, earlier: Picture) -> set[str]:
        if self.airflow == earlier.airflow:
            return set()
        if self.airflow is None or earlier.airflow is None:
            return set(self.tables)
        dags = {owner.partition("/")[0] for owner in self.airflow.alive ^ earlier.airflow.alive}
        dags |= self.airflow.paused ^ earlier.airflow.paused
        mine, theirs = self.airflow.failed, earlier.airflow.failed
        dags |= {dag for dag in mine.keys() | theirs.keys() if mine.get(dag) != theirs.get(dag)}
        return {table.name for table in self.tables.values() if table.dag_id in dags}

    def blocked_by(self, table: Table, partition: datetime) -> list[Spot]:
        """The roots: every unpublished partition upstream that this one needs and that is not itself blocked."""
        found: dict[tuple[str, datetime], Spot] = {}
        seen: set[tuple[str, datetime]] = set()
        pending = [Spot(table, partition)]
        while pending:
            spot = pending.pop()
            for needed in self.status(spot.table).lacks(spot.partition):
                key = (needed.table.name, needed.partition)
                if key in seen:
                    continue
                seen.add(key)
                if self.status(needed.table).is_blocked(needed.partition):
                    pending.append(needed)
                else:
                    found[key] = needed
        order = {name: place for place, name in enumerate(self.tables)}
        return sorted(found.values(), key=lambda spot: (order[spot.table.name], spot.partition))

    def facts_of(self, table: Table, partition: datetime) -> Facts:
        """The facts that the definitions of :mod:`feedmill.freshness.staleness` need to judge one partition."""
        published: dict[str, dict[datetime, Published]] = {}
        expired: dict[str, set[datetime]] = {}
        files: dict[str, dict[datetime, int]] = {}
        touches: dict[str, dict[datetime, dict[datetime, int]]] = {}

        def take(other: Table, places: Iterable[int]) -> None:
            series = self.columns.published.get(other.name)
            mine = published.setdefault(other.name, {})
            for place in places if series else ():
                assert series is not None
                moment = moment_of(place, other.every)
                if (entry := series.published_at(place)) is not None:
                    mine[moment] = entry
                elif series.expired.within(place, place + 1)[0] >= 0:
                    expired.setdefault(other.name, set()).add(moment)

        own = self.columns.published.get(table.name)
        newest = own.published_places()[-1:] if own else ()
        take(table, {*map(int, newest), place_of(partition, table.every)})
        for entry in table.inputs:
            start, end = entry.window(table.one(partition))
            if isinstance(entry, Files):
                low, high = place_of(start, HOUR), place_of(end, HOUR)
                numbers = self.columns.files.get(entry.kind)
                values = numbers.within(low, high) if numbers else ()
                files[entry.kind] = {
                    moment_of(low + n, HOUR): int(value) for n, value in enumerate(values) if value >= 0
                }
                continue
            every, series = entry.table.every, self.columns.published.get(entry.table.name)
            if entry.by == "touches":
                known = self.columns.touches.get(entry.table.name)
                here = known.touched == place_of(partition, table.every) if known else None
                by_arrival = (
                    {moment_of(a, every): int(n) for a, n in zip(known.arrival[here], known.number[here], strict=True)}
                    if known is not None
                    else {}
                )
                touches[entry.table.name] = {partition: by_arrival}
                take(entry.table, {place_of(moment, every) for moment in [*by_arrival, partition]})
            elif entry.as_of:
                limit = place_of(partition + table.every.length - entry.lag - every.length, every)
                places = np.union1d(series.published_places(), series.expired_places()) if series else np.empty(0)
                there = series.published_places() if series else np.empty(0)
                take(
                    entry.table,
                    {*map(int, places[places <= limit][-1:]), *map(int, there[there <= limit][-1:])},
                )
            else:
                take(entry.table, range(place_of(start, every), place_of(end, every)))
        return Facts(published, files, touches, expired, self.columns.since)  # type: ignore[arg-type]  # files by name


def status_of(table: Table, known: Knowledge, now: datetime) -> TableStatus:
    """Every partition of one table."""
    return Picture.of([table], known, now).status(table)


@dataclass(frozen=True)
class TableStatus:
    """A table's partitions: those that are due since its history began, and whatever else is known of, without those
    that expired.
    """

    table: Table
    picture: Picture = field(repr=False)
    base: int
    """The place of the first entry of ``mask``."""
    mask: Ints = field(repr=False)
    """The states of each partition as bits; 0 where the partition is not the table's concern."""
    needs: tuple[_Needs, ...] = field(repr=False)
    """What each input must have published."""
    since: datetime | None
    """Where its history begins: from here on partitions are due. None: nobody knows, or its DAG was never started."""
    valid_until: datetime
    """The first moment at which the clock alone changes a state."""

    def seen_by(self, picture: Picture) -> TableStatus:
        """The same, as a part of a later picture."""
        return replace(self, picture=picture)

    def alike(self, other: TableStatus) -> bool:
        """Whether the states are the same, partition by partition."""
        low = min(self.base, other.base)
        high = max(self.base + len(self.mask), other.base + len(other.mask))
        return bool(
            np.array_equal(padded(self.mask, self.base, low, high, 0), padded(other.mask, other.base, low, high, 0))
        )

    @cached_property
    def counts(self) -> Counter[State]:
        """Partitions by the state that is shown."""
        masks, many = np.unique(self.mask[self.mask > 0], return_counts=True)
        found: Counter[State] = Counter()
        for mask, count in zip(masks, many, strict=True):
            found[_states(int(mask))[0]] += int(count)
        return found

    def runs(self, states: Iterable[State] | None = None) -> list[Run]:
        """The partitions as runs of equal states, oldest first; of ``states`` only, where they are given."""
        wanted = -1 if states is None else sum(state.bit for state in set(states))
        mask = np.where(self.mask & wanted, self.mask, 0)
        edges = np.flatnonzero(np.diff(mask, prepend=0, append=0))
        return [
            Run(
                self.table.range(
                    moment_of(self.base + low, self.table.every), moment_of(self.base + high, self.table.every)
                ),
                _states(int(mask[low])),
            )
            for low, high in pairwise(edges.tolist())
            if mask[low]
        ]

    @property
    def cells(self) -> list[Cell]:
        """Every partition in words, oldest first."""
        return self.within(State)

    def within(self, states: Iterable[State]) -> list[Cell]:
        """The partitions that are in any of these states, in words, oldest first."""
        wanted = sum(state.bit for state in set(states))
        return [self.cell(moment_of(self.base + int(n), self.table.every)) for n in np.flatnonzero(self.mask & wanted)]

    def has(self, states: Iterable[State]) -> bool:
        """Whether a partition is in any of these states."""
        return bool((self.mask & sum(state.bit for state in set(states))).any())

    def cell(self, partition: datetime) -> Cell:
        """One partition in words.

        Raises:
            LookupError: the table does not have it.
        """
        states = self.states(partition)
        if not states:
            raise LookupError(f"{self.table.name} has no partition {self.table.every.name_of(partition)}")
        series = self.picture.columns.published.get(self.table.name)
        mine = series.published_at(place_of(partition, self.table.every)) if series else None
        return Cell(partition, states, mine.rows if mine else None, self._why(partition, states[0]))

    def states(self, partition: datetime) -> tuple[State, ...]:
        """All states of a partition; empty where the table does not have it."""
        place = place_of(partition, self.table.every) - self.base
        return _states(int(self.mask[place])) if 0 <= place < len(self.mask) else ()

    @property
    def is_since_given(self) -> bool:
        """Whether the map or FEEDMILL_SINCE says where its history begins; else it is the first published partition."""
        return (self.table.since or self.picture.columns.since) is not None

    def is_published(self, partition: datetime) -> bool:
        """Whether it is published now, and has not expired."""
        series = self.picture.columns.published.get(self.table.name)
        return series is not None and series.published_at(place_of(partition, self.table.every)) is not None

    def is_by_today(self, partition: datetime) -> bool:
        """Whether today's code made its rows; also of a frozen partition, which is never outdated.

        True where today's code is not known.
        """
        series = self.picture.columns.published.get(self.table.name, Series())
        place = place_of(partition, self.table.every)
        return not _of_other_code(series, self.picture.identities.get(self.table.name), place, place + 1)[0]

    def is_expired(self, partition: datetime) -> bool:
        """Whether it was published and has passed its retention."""
        series = self.picture.columns.published.get(self.table.name)
        place = place_of(partition, self.table.every)
        return series is not None and bool(series.expired.within(place, place + 1)[0] >= 0)

    def is_blocked(self, partition: datetime) -> bool:
        """Whether it cannot be built until another partition is."""
        return State.BLOCKED in self.states(partition)

    def lacks(self, partition: datetime) -> list[Spot]:
        """The input partitions that it needs and that are not published."""
        place = place_of(partition, self.table.every)
        return [Spot(need.entry.table, moment) for need in self.needs for moment in need.lacking(place)]

    def causes(self, partition: datetime) -> dict[State, str]:
        """Each of its states with its cause in words; empty words where it is fine."""
        return {state: self._why(partition, state) for state in self.states(partition)}

    def must_repeat(self, partition: datetime) -> bool:
        """Whether a build now would have to give the published rows again: its inputs and its code are the same.

        Inputs whose changes do not ripple count too: whoever builds reads them as they are.
        """
        facts = self.picture.facts_of(self.table, partition)
        return self.is_by_today(partition) and reads_the_same(self.table, partition, facts)

    def _other_code(self, then: str, today: str) -> str:
        codes = self.picture.codes
        before, now = codes.get((self.table.name, then)), codes.get((self.table.name, today))
        names = changed(before, now) if before is not None and now is not None else []
        if not names:
            return f"its rows were made by code {then}, today's is {today}"
        return f"changed since its rows were made: {', '.join(names)}"

    def _why(self, partition: datetime, state: State) -> str:
        table, picture = self.table, self.picture
        deadline = partition + table.every.length + table.due
        match state:
            case State.BUILDING:
                build = next(build for span, build in picture.building[table.name] if partition in span)
                return f"build {build} is at work on it"
            case State.HELD:
                held = picture.held[table.name][partition]
                return f"build {held.build_id} failed its check: {held.message}"
            case State.FAILED:
                return _failure(picture, table, partition)
            case State.FROZEN:
                mine = self.is_published(partition)
                gone = frozen_because(table, partition, picture.facts_of(table, partition))
                never = "" if mine else "never published, and "
                return f"{never}it needs {gone}, which has passed its retention"
            case State.NEVER_BUILT:
                return _never_built(picture, table, partition)
            case State.BLOCKED:
                return _blocked(picture, table, partition)
            case State.OVERDUE:
                paused = picture.airflow is not None and table.dag_id in picture.airflow.paused
                more = "; its DAG is paused" if paused else ""
                return f"not published, and it was due at {deadline:%Y-%m-%d %H:%M}{more}"
            case State.MISSING:
                return f"not published yet; it is due at {deadline:%Y-%m-%d %H:%M}"
            case State.STALE:
                return _in_words(stale_because(table, partition, picture.facts_of(table, partition)), table)
            case State.OUTDATED:
                series = picture.columns.published[table.name]
                mine_then = series.published_at(place_of(partition, table.every))
                assert mine_then is not None
                return self._other_code(mine_then.identity, picture.identities[table.name])
            case _:
                return ""


@dataclass(frozen=True)
class _Needs:
    """What a reader must find published of one input: for each of its partitions, a window of the input's places."""

    entry: Input
    base: int
    """The reader's first place."""
    low: Ints
    high: Ints
    """Windows ``[low, high)``; empty where nothing is needed."""
    unpublished: Flags
    """Of the input, from ``origin`` on: neither published nor expired."""
    origin: int

    def lacking(self, place: int) -> list[datetime]:
        """The input's partitions that the reader's partition at that place needs and that are not published."""
        n = place - self.base
        if not 0 <= n < len(self.low) or self.low[n] >= self.high[n]:
            return []
        window = self.unpublished[self.low[n] - self.origin : self.high[n] - self.origin]
        return [moment_of(int(self.low[n] + at), self.entry.table.every) for at in np.flatnonzero(window)]

    def blocked(self) -> Flags:
        """For each partition of the reader, whether it lacks one."""
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.unpublished)])
        low = np.minimum(self.low, self.high)
        return np.asarray(before[self.high - self.origin] > before[low - self.origin])


class _Computation:
    """The states of one table, step by step."""

    def __init__(self, picture: Picture, table: Table):
        self.picture, self.table = picture, table
        self.every = table.every
        self.own = picture.columns.published.get(table.name, Series())
        self.ended = place_of(picture.now, self.every)
        """The first place that has not ended."""
        self.since = self._since()
        self.low, self.high = self._horizon()
        self.count = self.high - self.low
        self.places = np.arange(self.low, self.high)

    def _since(self) -> int | None:
        """The first place of the table's history; None: nobody knows, or its DAG was never switched on."""
        published = self.own.published_places()
        since = self.table.since or self.picture.columns.since
        if since is None:
            return int(published[0]) if len(published) else None
        airflow, name = self.picture.airflow, self.table.name
        seen = len(published) or any(known.get(name) for known in self._happened())
        if airflow is not None and self.table.dag_id in airflow.paused and not seen:
            return None
        return place_of(since, self.every)

    def _happened(self) -> tuple[Mapping[str, Sized], ...]:
        return self.picture.held, self.picture.building, self.picture.tries

    def _horizon(self) -> tuple[int, int]:
        """The places ``[low, high)`` of which anything is known or due."""
        known = self.own.published_places()
        marks = [*map(int, known[:1]), *map(int, known[-1:])]
        marks += [place_of(p, self.every) for p in self.picture.held.get(self.table.name, {})]
        for span, _ in self.picture.building.get(self.table.name, ()):
            marks += [place_of(span.start, self.every), place_of(span.end, self.every) - 1]
        oldest, may_be_due = self._oldest_kept(), []
        airflow = self.picture.airflow
        runs = airflow.failed.get(self.table.dag_id, ()) if airflow is not None else ()
        tried = [*(one.span for one in self.picture.tries.get(self.table.name, ())), *(run.span for run in runs)]
        for span in tried:
            may_be_due += [place_of(span.start, self.every), place_of(span.end, self.every) - 1]
        if self.since is not None and self.since < self.ended:
            may_be_due += [self.since, self.ended - 1]
        if self.since is not None:
            may_be_due += [mark for entry in self.table.inputs for mark in self._marks(entry)]
        marks += [max(mark, oldest) for mark in may_be_due if mark < self.ended]
        return (min(marks), max(marks) + 1) if marks else (self.ended, self.ended)

    def _marks(self, entry: Input | Files) -> list[int]:
        """The first place that an input has something for: it may lie before the history."""
        columns = self.picture.columns
        if isinstance(entry, Files):
            numbers = columns.files.get(entry.kind)
            first = np.flatnonzero(numbers.values >= 0)[:1] if numbers else ()
            return [place_of(moment_of(int(n) + numbers.base, HOUR), self.every) for n in first if numbers]
        if entry.by == "touches":
            touches = columns.touches.get(entry.table.name)
            return [int(touches.touched.min())] if touches is not None and len(touches.touched) else []
        if entry.as_of:
            return []
        status = self.picture.status(entry.table)
        first = np.flatnonzero(status.mask)[:1]
        return [place_of(moment_of(int(n) + status.base, entry.table.every), self.every) for n in first]

    def _oldest_kept(self) -> int:
        """The first place that has not passed its retention."""
        return place_of(self.picture.now - self.table.keep, self.every)

    def status(self) -> TableStatus:
        """All states, as bits."""
        begin = self.own.begin.within(self.low, self.high)
        published = begin >= 0
        gone = self.own.expired.within(self.low, self.high) >= 0
        frozen = self._frozen()
        needs = tuple(self._needs(entry) for entry in self.table.inputs if isinstance(entry, Input))
        blocked = np.zeros(self.count, bool)
        for need in needs:
            blocked |= need.blocked()
        stale = published & ~frozen & self._stale(begin)
        today = self.picture.identities.get(self.table.name)
        outdated = published & ~frozen & _of_other_code(self.own, today, self.low, self.high)
        kept = self.places >= self._oldest_kept()
        ended = self.places < self.ended
        begun = self.ended if self.since is None else self.since
        known = self.places >= begun
        due = ended & known & ~gone & kept
        unpublished = ~published & ~frozen & due
        late = unpublished & self._past_deadline()
        before = ~published & ~frozen & ended & ~gone & kept & ~known
        never = before & self._touched() if self.since is not None and before.any() else np.zeros(self.count, bool)
        building = self._marked(self.picture.building.get(self.table.name, ()))
        held = self._at(self.picture.held.get(self.table.name, {})) & ~gone
        failed = self._failed(begin) & ~gone & (~published | stale)
        fine = published & ~frozen & ~stale & ~outdated
        rows = self.own.rows.within(self.low, self.high)
        shown = published | held | building | failed | due | never
        needing = ~published & ~frozen & (unpublished | never | held | failed)
        mask = np.zeros(self.count, np.int64)
        for state, flags in (
            (State.BUILDING, building),
            (State.HELD, held),
            (State.FAILED, failed),
            (State.FROZEN, frozen & (published | due | held | building)),
            (State.NEVER_BUILT, never),
            (State.BLOCKED, blocked & needing & ~held),
            (State.OVERDUE, late),
            (State.STALE, stale),
            (State.OUTDATED, outdated),
            (State.MISSING, unpublished & ~late),
            (State.EMPTY, fine & (rows == 0)),
            (State.PUBLISHED, fine & (rows != 0)),
        ):
            mask |= np.where(flags & shown, state.bit, 0)
        since = None if self.since is None else moment_of(self.since, self.every)
        until = self._valid_until(unpublished & ~late)
        return TableStatus(self.table, self.picture, self.low, mask, needs, since, until)

    def _at(self, moments: Iterable[datetime]) -> Flags:
        flags = np.zeros(self.count, bool)
        places = [place_of(moment, self.every) - self.low for moment in moments]
        flags[[place for place in places if 0 <= place < self.count]] = True
        return flags

    def _marked(self, spans: Iterable[tuple[Range, str]]) -> Flags:
        flags = np.zeros(self.count, bool)
        for span, _ in spans:
            low, high = place_of(span.start, self.every) - self.low, place_of(span.end, self.every) - self.low
            flags[max(low, 0) : max(high, 0)] = True
        return flags

    def _past_deadline(self) -> Flags:
        """``now`` is later than the partition's end and what it may take."""
        due = seconds(self.table.due)
        length = seconds(self.every.length)
        now = (self.picture.now - moment_of(0, HOUR)).total_seconds()
        return np.asarray((self.places + 1) * length + due < now)

    def _window(self, entry: Input) -> tuple[int, int, int]:
        """By interval: the input's first place that the first partition reads, how many, and the step to the next."""
        theirs = entry.table.every
        start, end = entry.window(self.table.one(moment_of(self.low, self.every)))
        low = place_of(start, theirs)
        return low, place_of(end, theirs) - low, self.every.length // theirs.length

    def _as_of(self, entry: Input, among: Flags, base: int) -> Ints:
        """For each partition, the newest place of a dimension that is set and had ended; before ``base``: none."""
        limits = self._limits(entry)
        newest = np.maximum.accumulate(np.where(among, np.arange(len(among)), NOTHING)) if len(among) else among
        at = np.minimum(limits - base, len(among) - 1)
        found = np.full(self.count, base - 1)
        inside = at >= 0
        chosen = newest[at[inside]]
        found[inside] = np.where(chosen >= 0, chosen + base, base - 1)
        return found

    def _limits(self, entry: Input) -> Ints:
        """For each partition, the last place of a dimension that has ended, with its lag, when the partition ends."""
        theirs = seconds(entry.table.every.length)
        ends = (self.places + 1) * seconds(self.every.length)
        return np.asarray(np.floor_divide(ends - seconds(entry.lag) - theirs, theirs))

    def _frozen(self) -> Flags:
        """Whether it needs a partition that has expired."""
        found = np.zeros(self.count, bool)
        for entry in self.table.inputs:
            theirs = self.picture.columns.published.get(entry.table.name) if isinstance(entry, Input) else None
            if not isinstance(entry, Input) or theirs is None or not len(theirs.expired_places()):
                continue
            if entry.by == "touches":
                touches = self.picture.columns.touches.get(entry.table.name)
                if touches is not None and len(touches.touched):
                    gone = _looked_up(theirs.expired.values, theirs.expired.base, touches.arrival) >= 0
                    found |= self._in(touches.touched[gone])
            elif entry.as_of:
                base, expired, published = _expired_and_published(theirs)
                chosen = self._as_of(entry, expired | published, base)
                found |= np.where(chosen >= base, _looked_up(expired, base, chosen, False), False)
            else:
                low, width, step = self._window(entry)
                span = theirs.expired.within(low, low + step * (self.count - 1) + width) >= 0
                found |= any_of(span, width, step, self.count)
        return found

    def _stale(self, begin: Ints) -> Flags:
        """Whether something that it reads carries a number above its begin."""
        found = np.zeros(self.count, bool)
        for entry in self.table.inputs:
            if entry.ripple is Ripple.NONE:
                continue
            newer = self._largest(entry) > begin
            if entry.ripple is Ripple.LATEST:
                newest = self.own.published_places()[-1:]
                newer &= np.isin(self.places, newest)
            found |= newer
        return found

    def _largest(self, entry: Input | Files) -> Ints:
        """For each partition, the largest number of what it reads of one input."""
        columns = self.picture.columns
        if isinstance(entry, Files):
            numbers = columns.files.get(entry.kind)
            if numbers is None:
                return np.full(self.count, NOTHING)
            start, end = entry.window(self.table.one(moment_of(self.low, self.every)))
            low, width = place_of(start, HOUR), place_of(end, HOUR) - place_of(start, HOUR)
            step = self.every.length // HOUR.length
            return (
                largest(numbers.within(low, low + step * (self.count - 1) + width), width, step, self.count)
                if self.count
                else np.empty(0, np.int64)
            )
        theirs = columns.published.get(entry.table.name)
        if theirs is None or not self.count:
            return np.full(self.count, NOTHING)
        if entry.by == "touches":
            touches = columns.touches.get(entry.table.name)
            found = np.full(self.count, NOTHING)
            if touches is not None and len(touches.touched):
                alive = _looked_up(theirs.expired.values, theirs.expired.base, touches.arrival) < 0
                inside = alive & (touches.touched >= self.low) & (touches.touched < self.high)
                np.maximum.at(found, touches.touched[inside] - self.low, touches.number[inside])
            return found
        if entry.as_of:
            base, _, published = _expired_and_published(theirs)
            chosen = self._as_of(entry, published, base)
            return _looked_up(theirs.number.values, theirs.number.base, chosen)
        low, width, step = self._window(entry)
        return largest(theirs.number.within(low, low + step * (self.count - 1) + width), width, step, self.count)

    def _needs(self, entry: Input) -> _Needs:
        """What must be published of an input, as :func:`feedmill.freshness.staleness.missing` defines it for one."""
        theirs = self.picture.columns.published.get(entry.table.name, Series())
        every = entry.table.every
        since = entry.table.since or self.picture.columns.since
        first = theirs.published_places()[:1]
        begins = place_of(since, every) if since is not None else (int(first[0]) if len(first) else None)
        if entry.as_of:
            base, _, published = _expired_and_published(theirs)
            lacks = self._as_of(entry, published, base) < base if not entry.optional else np.zeros(self.count, bool)
            low = self._limits(entry)
            high = np.where(lacks, low + 1, low)
        else:
            start, width, step = self._window(entry)
            low = start + step * np.arange(self.count)
            high = low + width
            own = np.floor_divide(self.places * seconds(self.every.length), seconds(every.length))
            if entry.lookback:
                low = np.maximum(low, own if begins is None else np.minimum(own, begins))
            if since is not None:
                holds_since = self.places == place_of(every.floor(since), self.every)
                low = np.where(holds_since, np.maximum(low, place_of(since, every)), low)
            if begins is None:
                nothing = low >= high
                low, high = np.where(nothing, own, low), np.where(nothing, own + 1, high)
        if not self.count:
            return _Needs(entry, self.low, low, high, np.zeros(0, bool), 0)
        origin, end = int(min(low.min(), high.min())), int(high.max())
        there = (theirs.begin.within(origin, end) >= 0) | (theirs.expired.within(origin, end) >= 0)
        if entry.as_of:
            there = np.zeros(end - origin, bool)
        return _Needs(entry, self.low, low, high, ~there, origin)

    def _touched(self) -> Flags:
        """Whether an input has something for it, though it lies before the table's history."""
        found = np.zeros(self.count, bool)
        for entry in self.table.inputs:
            if isinstance(entry, Files):
                numbers = self.picture.columns.files.get(entry.kind)
                if numbers is not None and self.count:
                    step = self.every.length // HOUR.length
                    low = place_of(moment_of(self.low, self.every), HOUR)
                    there = numbers.within(low, low + step * self.count) >= 0
                    found |= any_of(there, step, step, self.count)
            elif entry.by == "touches":
                touches = self.picture.columns.touches.get(entry.table.name)
                if touches is not None:
                    found |= self._in(touches.touched)
            elif not entry.as_of and self.count:
                theirs = self.picture.status(entry.table)
                step = self.every.length // entry.table.every.length
                low = place_of(moment_of(self.low, self.every), entry.table.every)
                wanted = ~(State.MISSING.bit | State.OVERDUE.bit | State.BLOCKED.bit)
                there = (padded(theirs.mask, theirs.base, low, low + step * self.count, 0) & wanted) > 0
                found |= any_of(there, step, step, self.count)
        return found

    def _failed(self, begin: Ints) -> Flags:
        """Whether the newest try of it ended in an error, and no retry is coming."""
        airflow = self.picture.airflow
        newest = begin.copy()
        found = np.zeros(self.count, bool)
        for one in sorted(self.picture.tries.get(self.table.name, ()), key=lambda one: one.begin):
            low = max(place_of(one.span.start, self.every) - self.low, 0)
            high = max(place_of(one.span.end, self.every) - self.low, 0)
            later = one.begin > newest[low:high]
            coming = airflow is not None and one.owner in airflow.alive
            found[low:high] = np.where(later, one.ended is not None and not coming, found[low:high])
            newest[low:high] = np.maximum(newest[low:high], one.begin)
        runs = airflow.failed.get(self.table.dag_id, ()) if airflow is not None else ()
        return np.asarray(found | (self._marked((run.span, run.run_id) for run in runs) & (newest < 0)))

    def _in(self, places: Ints) -> Flags:
        flags = np.zeros(self.count, bool)
        flags[places[(places >= self.low) & (places < self.high)] - self.low] = True
        return flags

    def _valid_until(self, waiting: Flags) -> datetime:
        """The first moment at which a partition ends, passes its deadline or its retention."""
        moments = [moment_of(self.ended + 1, self.every)]
        if waiting.any():
            moments.append(moment_of(int(self.places[waiting][0]) + 1, self.every) + self.table.due)
        moments.append(self.table.kept_until(moment_of(self._oldest_kept(), self.every)))
        return min(moments)


def _states(mask: int) -> tuple[State, ...]:
    return tuple(state for state in State if mask & state.bit)


def upstream(tables: Iterable[Table]) -> list[Table]:
    """The tables and everything that they read, inputs first."""
    found: dict[str, Table] = {}

    def visit(table: Table) -> None:
        if table.name in found:
            return
        for entry in table.inputs:
            if isinstance(entry, Input):
                visit(entry.table)
        found[table.name] = table

    for table in tables:
        visit(table)
    return list(found.values())


def _of_other_code(series: Series, today: str | None, low: int, high: int) -> Flags:
    """Of the places ``[low, high)``, those whose rows other code made than today's; none where that is not known."""
    if today is None:
        return np.zeros(high - low, bool)
    code = series.codes.index(today) if today in series.codes else NOTHING
    return np.asarray(series.identity.within(low, high) != code)


def _expired_and_published(series: Series) -> tuple[int, Flags, Flags]:
    """Both as flags over one stretch of places, and its first place."""
    columns = [column for column in (series.begin, series.expired) if len(column.values)]
    low = min((column.base for column in columns), default=0)
    high = max((column.base + len(column.values) for column in columns), default=0)
    return low, series.expired.within(low, high) >= 0, series.begin.within(low, high) >= 0


def _looked_up(values: Ints | Flags, base: int, places: Ints, nothing: int | bool = NOTHING) -> Ints:
    """The value at each place; ``nothing`` outside of the column."""
    at = places - base
    inside = (at >= 0) & (at < len(values))
    found = np.full(len(places), nothing, values.dtype)
    found[inside] = values[at[inside]]
    return found  # type: ignore[return-value]


def _failure(picture: Picture, table: Table, partition: datetime) -> str:
    tries = [one for one in picture.tries.get(table.name, ()) if partition in one.span]
    if not tries:
        assert picture.airflow is not None
        run = max((r for r in picture.airflow.failed[table.dag_id] if partition in r.span), key=lambda r: r.ended_at)
        return f"run {run.run_id} of its DAG failed at {run.ended_at:%H:%M}"
    newest = max(tries, key=lambda one: one.begin)
    asked = "" if picture.airflow is not None else "; whether a retry is coming is not known"
    return f"build {newest.build_id} of {newest.owner} {newest.ended}{asked}"


def _never_built(picture: Picture, table: Table, partition: datetime) -> str:
    said = "it lies before the table's history, but its inputs have rows for it"
    if not picture.status(table).is_blocked(partition):
        return f"{said}; restate it if needed"
    roots = picture.blocked_by(table, partition)
    more = f" and {len(roots) - 1} more" if len(roots) > 1 else ""
    return f"{said}; if needed, restate {roots[0]}{more} first"


def _blocked(picture: Picture, table: Table, partition: datetime) -> str:
    roots = picture.blocked_by(table, partition)
    first = roots[0]
    more = f" and {len(roots) - 1} more" if len(roots) > 1 else ""
    states = picture.status(first.table).states(first.partition)
    how = f"is {states[0].value}" if states else "is not published"
    return f"it waits for {first}{more}, which {how}; {first.table.maintainer.name} owns it"


def _in_words(causes: list[Cause], table: Table) -> str:
    """The first cause, and how many more."""
    first = min(causes, key=lambda cause: (cause.number, cause.input, cause.partition))
    files = first.input.startswith("files of ")
    happened = "were registered, ruled out or readmitted" if files else "was published"
    more = f", and {len(causes) - 1} more" if len(causes) > 1 else ""
    return f"{first.input} {_named(first, table)} {happened} after it was built{more}"


def _named(cause: Cause, table: Table) -> str:
    for entry in table.inputs:
        if isinstance(entry, Input) and entry.table.name == cause.input:
            return entry.table.every.name_of(cause.partition)
    return f"of {cause.partition:%Y-%m-%dT%H}"
