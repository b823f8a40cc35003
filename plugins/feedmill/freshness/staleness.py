"""Staleness, computed: a partition is stale exactly when something that it reads carries a larger number.

Pure: :class:`Facts` are what the ledger knows, the rest is arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime

from feedmill.spec import FileKind, Files, Input, Ripple, Table


@dataclass(frozen=True)
class Published:
    """A published partition, as far as staleness needs it."""

    begin: int
    number: int
    identity: str
    rows: int


@dataclass(frozen=True)
class Facts:
    """What the ledger knows about published partitions, files and touches."""

    published: Mapping[str, Mapping[datetime, Published]] = field(default_factory=dict)
    """By table name, by partition."""
    files: Mapping[FileKind, Mapping[datetime, int]] = field(default_factory=dict)
    """The largest number of a kind's files by arrival hour."""
    touches: Mapping[str, Mapping[datetime, Mapping[datetime, int]]] = field(default_factory=dict)
    """Table name, touched partition, arrival partition: the number that said so."""
    expired: Mapping[str, Set[datetime]] = field(default_factory=dict)
    """By table name: the partitions that were published once and have passed their retention."""


@dataclass(frozen=True)
class Cause:
    """Why a partition is stale: this input's partition (or arrival hour) carries a number above its begin."""

    input: str
    partition: datetime
    number: int


@dataclass(frozen=True)
class Expired:
    """An input partition that has passed its retention."""

    table: Table
    partition: datetime

    def __str__(self) -> str:
        return f"{self.table.name} {self.table.every.name_of(self.partition)}"


def frozen_because(table: Table, partition: datetime, facts: Facts) -> Expired | None:
    """The oldest partition that this one needs and that has expired: it is never rebuilt. None: it can be."""
    gone = []
    for entry in table.inputs:
        expired = facts.expired.get(entry.table.name) if isinstance(entry, Input) else None
        if isinstance(entry, Input) and expired:
            gone += [Expired(entry.table, p) for p in reads(entry, table, partition, facts) if p in expired]
    return min(gone, key=lambda one: (one.partition, one.table.name), default=None)


def reads(entry: Input, table: Table, partition: datetime, facts: Facts) -> list[datetime]:
    """The input's partitions that a build of this partition reads, or would read if they had not expired."""
    published = facts.published.get(entry.table.name, {})
    expired = facts.expired.get(entry.table.name, frozenset())
    if entry.by == "touches":
        return sorted(facts.touches.get(entry.table.name, {}).get(partition, {}))
    if entry.as_of:
        newest = _newest(entry, table, partition, [*published, *expired])
        return [] if newest is None else [newest]
    start, end = entry.window(table.one(partition))
    found = []
    while start < end:
        if start in published or start in expired:
            found.append(start)
        start += entry.table.every.length
    return found


def stale_because(table: Table, partition: datetime, facts: Facts) -> list[Cause]:
    """Everything that the published partition reads and that was published or registered after its begin.

    Empty: it is fresh, or it was never published, or it is frozen and keeps its rows.
    """
    mine = facts.published.get(table.name, {}).get(partition)
    if mine is None or frozen_because(table, partition, facts) is not None:
        return []
    causes = []
    for entry in table.inputs:
        if not _ripples(entry, table, partition, facts):
            continue
        for where, number in _numbers(entry, table, partition, facts):
            if number > mine.begin:
                causes.append(Cause(_name(entry), where, number))
    return causes


def as_of_partition(entry: Input, table: Table, partition: datetime, facts: Facts) -> datetime | None:
    """The newest published partition of a dimension that ended, plus its lag, before the reader's end."""
    return _newest(entry, table, partition, facts.published.get(entry.table.name, {}))


def _newest(entry: Input, table: Table, partition: datetime, among: Iterable[datetime]) -> datetime | None:
    limit = partition + table.every.length - entry.lag - entry.table.every.length
    return max((p for p in among if p <= limit), default=None)


def _numbers(entry: Input | Files, table: Table, partition: datetime, facts: Facts) -> list[tuple[datetime, int]]:
    start, end = entry.window(table.one(partition))
    if isinstance(entry, Files):
        return [(hour, n) for hour, n in facts.files.get(entry.kind, {}).items() if start <= hour < end]
    if entry.by == "touches":
        # Of an expired arrival partition nothing is to be read any more: see :func:`frozen_because`.
        expired = facts.expired.get(entry.table.name, frozenset())
        touches = facts.touches.get(entry.table.name, {}).get(partition, {})
        return [(arrival, number) for arrival, number in touches.items() if arrival not in expired]
    published = facts.published.get(entry.table.name, {})
    return [(p, published[p].number) for p in reads(entry, table, partition, facts) if p in published]


def _ripples(entry: Input | Files, table: Table, partition: datetime, facts: Facts) -> bool:
    if entry.ripple is Ripple.LATEST:
        return partition == max(facts.published.get(table.name, {}), default=None)
    return entry.ripple is Ripple.ALL


def _name(entry: Input | Files) -> str:
    return entry.table.name if isinstance(entry, Input) else f"files of {entry.kind}"
