"""The number of each commit, for a ledger that has lost it (rule 10). Pure; see :mod:`feedmill.doctor.rebuild`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import TypeAlias

from feedmill.lake.commits import Commit
from feedmill.ledger import pins
from feedmill.spec import Map, Table

CommitKey: TypeAlias = tuple[str, int]
"""A commit by its table and snapshot."""

Histories: TypeAlias = Mapping[str, Sequence[Commit]]
"""Each table's commits on main, oldest first."""


@dataclass(frozen=True)
class Numbers:
    """What a rebuilt ledger counts by."""

    of_commit: Mapping[CommitKey, int]
    before: Mapping[str, int]
    """By table: the number of everything that came before its oldest commit."""

    def largest(self) -> int:
        """The largest number given; 0 if none is."""
        return max([*self.of_commit.values(), *self.before.values()], default=0)


def numbers(tables: Map, histories: Histories, known: Mapping[CommitKey, int], counter: int) -> Numbers:
    """Give each commit a number.

    ``known`` are the numbers that the ledger still has; none is lowered. ``counter`` is the ledger's last number: a
    commit that the ledger does not know was recorded later, above the begins of all builds that it knows.
    """
    of_commit: dict[CommitKey, int] = {}
    before: dict[str, int] = {}
    for table in tables:
        history = histories.get(table.name, [])
        not_covered = _not_covered(table, tables, histories)
        before[table.name] = not_covered[0] + 1
        last, digests = 0, dict[datetime, str]()
        for commit, begin in zip(history, not_covered[1:], strict=True):
            key = table.name, commit.snapshot_id
            of_commit[key] = max(known.get(key, counter + 1), 1 + max(begin, commit.begin), last)
            changed = {m.partition: m.digest for m in commit.moved if digests.get(m.partition) != m.digest}
            if changed:
                digests |= changed
                last = of_commit[key]
    return Numbers(of_commit, before)


def _not_covered(table: Table, tables: Map, histories: Histories) -> list[int]:
    """The largest begin among the readers' builds that had not covered: what came before all; then each commit."""
    history = histories.get(table.name, [])
    place = {commit.snapshot_id: n for n, commit in enumerate(history, 1)}
    # A build that covered one commit covered all before it. So its begin counts from the first that it did not cover.
    begins = [0] * (len(history) + 2)
    for reader in tables.readers(table):
        for build in histories.get(reader.name, []):
            covered = pins.recorded(build.pins).get(table.name)
            first = 0 if covered is None else place.get(covered, -1) + 1
            begins[first] = max(begins[first], build.begin)
    return list(accumulate(begins[:-1], max))
