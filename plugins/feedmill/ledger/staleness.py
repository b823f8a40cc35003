"""Staleness, computed: a partition is stale exactly when something that it reads carries a larger number.

Pure: :class:`Facts` are what the ledger knows, the rest is arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
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


@dataclass(frozen=True)
class Cause:
    """Why a partition is stale: this input's partition (or arrival hour) carries a number above its begin."""

    input: str
    partition: datetime
    number: int


def stale_because(table: Table, partition: datetime, facts: Facts) -> list[Cause]:
    """Everything that the published partition reads and that was published or registered after its begin.

    Empty: it is fresh, or it was never published.
    """
    mine = facts.published.get(table.name, {}).get(partition)
    if mine is None:
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
    limit = partition + table.every.length - entry.lag - entry.table.every.length
    ended = [p for p in facts.published.get(entry.table.name, {}) if p <= limit]
    return max(ended, default=None)


def _numbers(entry: Input | Files, table: Table, partition: datetime, facts: Facts) -> list[tuple[datetime, int]]:
    start, end = entry.window(table.one(partition))
    if isinstance(entry, Files):
        return [(hour, n) for hour, n in facts.files.get(entry.kind, {}).items() if start <= hour < end]
    published = facts.published.get(entry.table.name, {})
    if entry.by == "touches":
        return list(facts.touches.get(entry.table.name, {}).get(partition, {}).items())
    if entry.as_of:
        newest = as_of_partition(entry, table, partition, facts)
        return [] if newest is None else [(newest, published[newest].number)]
    found = []
    moment = start
    while moment < end:
        if moment in published:
            found.append((moment, published[moment].number))
        moment += entry.table.every.length
    return found


def _ripples(entry: Input | Files, table: Table, partition: datetime, facts: Facts) -> bool:
    if entry.ripple is Ripple.LATEST:
        return partition == max(facts.published.get(table.name, {}), default=None)
    return entry.ripple is Ripple.ALL


def _name(entry: Input | Files) -> str:
    return entry.table.name if isinstance(entry, Input) else f"files of {entry.kind}"
