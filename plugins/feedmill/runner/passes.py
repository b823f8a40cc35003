"""Cutting a range into passes, so that a partition's rows never depend on the range it was built with.

Every partition of a pass would read the same rows if it were built alone. Inputs that are aligned with the output
need no cut; ``as_of`` cuts where the dimension changes; windows that overlap give a row to each partition that reads
it, and are cut where that becomes too much; a window over files is built partition by partition. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from feedmill.ledger.staleness import Facts, as_of_partition, reads
from feedmill.spec import Files, Input, Table
from feedmill.timeline import Range

ROWS_OF_A_PASS = 5_000_000
"""Rows of all windows of a pass together, unless one partition alone reads more.

A pass has a fixed cost, which small windows should share. With large ones it does not matter, and the rows of many
would be shuffled at once.
"""


@dataclass(frozen=True)
class Pass:
    """A part of a range that is built by one call of the transform."""

    span: Range
    as_of: Mapping[str, datetime | None]
    """For each ``as_of`` input, by table name: the partition that is read."""


def cut(table: Table, span: Range, facts: Facts) -> list[Pass]:
    """The passes of a range, in order."""
    dimensions = [entry for entry in table.inputs if isinstance(entry, Input) and entry.as_of]
    alone = any(isinstance(entry, Files) and entry.lookback for entry in table.inputs)
    passes: list[Pass] = []
    rows = 0
    for moment in span.partitions():
        as_of = {entry.table.name: as_of_partition(entry, table, moment, facts) for entry in dimensions}
        more = _rows_of_windows(table, moment, facts)
        if passes and not alone and passes[-1].as_of == as_of and rows + more <= ROWS_OF_A_PASS:
            passes[-1] = Pass(table.range(passes[-1].span.start, moment + table.every.length), as_of)
            rows += more
        else:
            passes.append(Pass(table.one(moment), as_of))
            rows = more
    return passes


def _rows_of_windows(table: Table, partition: datetime, facts: Facts) -> int:
    """Rows that the partition reads through windows; those of aligned inputs are read once however long the range."""
    return sum(
        facts.published[entry.table.name][read].rows
        for entry in table.inputs
        if isinstance(entry, Input) and entry.lookback
        for read in reads(entry, table, partition, facts)
        if read in facts.published.get(entry.table.name, {})
    )
