"""Cutting a range into passes, so that a partition's rows never depend on the range it was built with.

Every partition of a pass would read the same rows if it were built alone. Inputs that are aligned with the output
need no cut; ``as_of`` cuts where the dimension changes; a lookback builds partition by partition. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from feedmill.ledger.staleness import Facts, as_of_partition
from feedmill.spec import Files, Input, Table
from feedmill.timeline import Range


@dataclass(frozen=True)
class Pass:
    """A part of a range that is built by one call of the transform."""

    span: Range
    as_of: Mapping[str, datetime | None]
    """For each ``as_of`` input, by table name: the partition that is read."""


def cut(table: Table, span: Range, facts: Facts) -> list[Pass]:
    """The passes of a range, in order."""
    dimensions = [entry for entry in table.inputs if isinstance(entry, Input) and entry.as_of]
    reads = [
        (moment, {entry.table.name: as_of_partition(entry, table, moment, facts) for entry in dimensions})
        for moment in span.partitions()
    ]
    if any(isinstance(entry, Files | Input) and entry.lookback for entry in table.inputs):
        return [Pass(table.one(moment), as_of) for moment, as_of in reads]
    passes = []
    for as_of, group in groupby(reads, key=lambda read: read[1]):
        moments = [moment for moment, _ in group]
        passes.append(Pass(table.range(moments[0], moments[-1] + table.every.length), as_of))
    return passes
