"""How every partition of a table is. Pure: facts of the ledger, code identities and ``now`` go in, states come out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from feedmill.freshness.staleness import Cause, Facts, frozen_because, stale_because
from feedmill.spec import Table
from feedmill.timeline import Range


class State(StrEnum):
    """A partition's state; where several hold, the first of this order is shown."""

    BUILDING = "building"
    """A build that lives has claimed it."""
    HELD = "held"
    """Its last checked build failed, and neither it, accepted, nor a later one is published."""
    FROZEN = "frozen"
    """An input that it needs has passed its retention: never rebuilt, and it keeps its rows."""
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


MEANINGS: Mapping[State, str] = {
    State.BUILDING: "a build is at work on it",
    State.HELD: "its last build failed its check",
    State.FROZEN: "an input that it needs has passed its retention",
    State.OVERDUE: "not published, past its deadline",
    State.STALE: "an input changed after it was built",
    State.OUTDATED: "made by other code than today's",
    State.MISSING: "not published yet",
    State.EMPTY: "published, without rows",
    State.PUBLISHED: "published",
}

NEEDS_A_PERSON = frozenset({State.HELD, State.OVERDUE})
"""What does not heal by the next run of the schedule or of a restatement."""

NEEDS_A_BUILD = frozenset({State.HELD, State.OVERDUE, State.STALE, State.OUTDATED, State.MISSING})
"""What stands between here and convergence."""


@dataclass(frozen=True)
class Held:
    """Why a partition is held: the build, and the first critical finding's message."""

    build_id: str
    message: str


@dataclass(frozen=True)
class Knowledge:
    """What is known of all tables at one moment."""

    facts: Facts
    held: Mapping[str, Mapping[datetime, Held]] = field(default_factory=dict)
    """By table name, by partition."""
    building: Mapping[str, list[tuple[Range, str]]] = field(default_factory=dict)
    """By table name: claimed ranges with their builds."""
    identities: Mapping[str, str] = field(default_factory=dict)
    """By table name: the code's identity today."""


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
class TableStatus:
    """A table's partitions from its first published (or held, or claimed) one to now, without those that expired."""

    table: Table
    cells: list[Cell]

    @property
    def counts(self) -> Counter[State]:
        """Partitions by the state that is shown."""
        return Counter(cell.state for cell in self.cells)

    def within(self, states: Iterable[State]) -> list[Cell]:
        """The partitions that are in any of these states, oldest first."""
        wanted = set(states)
        return [cell for cell in self.cells if wanted & set(cell.states)]


def status_of(table: Table, known: Knowledge, now: datetime) -> TableStatus:
    """Every partition of the table: from the first that is known to the last that has ended, and what is building."""
    published = known.facts.published.get(table.name, {})
    expired = known.facts.expired.get(table.name, frozenset())
    held = {p for p in known.held.get(table.name, {}) if p not in expired}
    claimed = {p: build for span, build in known.building.get(table.name, []) for p in span.partitions()}
    moments = {*published, *held, *claimed, *(p for p in _ended(table, published, now) if p not in expired)}
    return TableStatus(table, [_cell(table, moment, known, claimed, now) for moment in sorted(moments)])


def _ended(table: Table, published: Iterable[datetime], now: datetime) -> Iterator[datetime]:
    """The partitions from the first published one to the last that has ended: history begins somewhere."""
    moment = min(published, default=None)
    while moment is not None and moment + table.every.length <= now:
        yield moment
        moment += table.every.length


def _cell(table: Table, moment: datetime, known: Knowledge, claimed: Mapping[datetime, str], now: datetime) -> Cell:
    mine = known.facts.published.get(table.name, {}).get(moment)
    held = known.held.get(table.name, {}).get(moment)
    today = known.identities.get(table.name)
    causes = stale_because(table, moment, known.facts)
    frozen = frozen_because(table, moment, known.facts)
    deadline = moment + table.every.length + table.due
    found: dict[State, str] = {}
    if moment in claimed:
        found[State.BUILDING] = f"build {claimed[moment]} is at work on it"
    if held is not None:
        found[State.HELD] = f"build {held.build_id} failed its check: {held.message}"
    if frozen is not None:
        never = "" if mine else "never published, and "
        found[State.FROZEN] = f"{never}it needs {frozen}, which has passed its retention"
    elif mine is None and moment + table.every.length <= now:
        if now > deadline:
            found[State.OVERDUE] = f"not published, and it was due at {deadline:%Y-%m-%d %H:%M}"
        else:
            found[State.MISSING] = f"not published yet; it is due at {deadline:%Y-%m-%d %H:%M}"
    if causes:
        found[State.STALE] = _in_words(causes, table)
    if mine is not None and frozen is None and today is not None and mine.identity != today:
        found[State.OUTDATED] = f"its rows were made by code {mine.identity}, today's is {today}"
    if mine is not None and not found.keys() & {State.FROZEN, State.STALE, State.OUTDATED}:
        found[State.EMPTY if mine.rows == 0 else State.PUBLISHED] = ""
    states = tuple(state for state in State if state in found)
    return Cell(moment, states, mine.rows if mine else None, found[states[0]])


def _in_words(causes: list[Cause], table: Table) -> str:
    """The first cause, and how many more."""
    first = min(causes, key=lambda cause: (cause.number, cause.input, cause.partition))
    happened = "were registered" if first.input.startswith("files of ") else "was published"
    when = _named(first, table)
    more = f", and {len(causes) - 1} more" if len(causes) > 1 else ""
    return f"{first.input} {when} {happened} after it was built{more}"


def _named(cause: Cause, table: Table) -> str:
    for entry in table.inputs:
        other = getattr(entry, "table", None)
        if other is not None and other.name == cause.input:
            name: str = other.every.name_of(cause.partition)
            return name
    return f"of {cause.partition:%Y-%m-%dT%H}"
