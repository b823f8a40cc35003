"""Cutting a range into passes, so that a partition's rows never depend on the range it was built with.

Every partition of a pass would read the same rows if it were built alone. Inputs that are aligned with the output
need no cut. Of windows and of dimensions, a row comes once for each partition that reads it: a range is cut where that
becomes too much. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from feedmill.freshness.facts import Facts
from feedmill.freshness.staleness import as_of_partition, reads
from feedmill.spec import Files, Input, Table
from feedmill.timeline import Range

ROWS_OF_A_PASS = 5_000_000
"""Rows of all windows and dimensions of a pass together, unless one partition alone reads more.

A pass has a fixed cost, which small windows should share. With large ones it does not matter, and the rows of many
would be shuffled at once.
"""

WINDOWS_OF_FILES = 7
"""Partitions of a pass that read windows of files, whose rows nobody has counted before they are read."""


@dataclass(frozen=True)
class Pass:
    """A part of a range that is built by one call of the transform."""

    span: Range
    as_of: Mapping[str, Mapping[datetime, datetime]]
    """For each ``as_of`` input, by table name: what each partition reads of it, of those that read anything."""


def cut(table: Table, span: Range, facts: Facts) -> list[Pass]:
    """The passes of a range, in order."""
    windows_of_files = any(isinstance(entry, Files) and entry.lookback for entry in table.inputs)
    spans: list[Range] = []
    rows = 0
    for moment in span.partitions():
        more = _rows_read_by_one(table, moment, facts)
        full = rows + more > ROWS_OF_A_PASS or (windows_of_files and spans and len(spans[-1]) >= WINDOWS_OF_FILES)
        if spans and not full:
            spans[-1] = table.range(spans[-1].start, moment + table.every.length)
            rows += more
        else:
            spans.append(table.one(moment))
            rows = more
    return [Pass(one, _dimensions(table, one, facts)) for one in spans]


def _dimensions(table: Table, span: Range, facts: Facts) -> dict[str, dict[datetime, datetime]]:
    return {
        entry.table.name: {
            moment: read
            for moment in span.partitions()
            if (read := as_of_partition(entry, table, moment, facts)) is not None
        }
        for entry in table.inputs
        if isinstance(entry, Input) and entry.as_of
    }


def _rows_read_by_one(table: Table, partition: datetime, facts: Facts) -> int:
    """Rows that come for this partition alone: of windows and dimensions. Aligned inputs are read once for a range."""
    return sum(
        facts.published[entry.table.name][read].rows
        for entry in table.inputs
        if isinstance(entry, Input) and (entry.lookback or entry.as_of)
        for read in reads(entry, table, partition, facts)
        if read in facts.published.get(entry.table.name, {})
    )
