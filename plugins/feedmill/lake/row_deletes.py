"""Row-level deletes: files beside the data files that say which of their rows are gone (merge on read).

Feedmill writes none. Another engine that deletes or updates rows on ``main`` may. Trino and Spark obey them; DuckDB and
a count from the manifests would not see them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pyiceberg.table import FileScanTask

from feedmill.lake.catalog import Lake
from feedmill.spec import Table
from feedmill.timeline import runs

_NAMED = 3


def partitions_of(table: Table, tasks: Iterable[FileScanTask], lake: Lake) -> list[datetime]:
    """The partitions in which rows were deleted, of those that a scan reads."""
    return sorted({lake.partition_of(table, task.file) for task in tasks if task.delete_files})


def restatement(table: Table, partitions: Iterable[datetime]) -> str:
    """The commands that build these partitions anew, which replaces files and deletes alike."""
    spans = runs(list(partitions), table.every)
    name_of = table.every.name_of
    commands = [f"`feedmill build {table.name} --start {name_of(s.start)} --end {name_of(s.end)}`" for s in spans]
    more = f" and {len(commands) - _NAMED:,} more ranges" if len(commands) > _NAMED else ""
    return " and ".join(commands[:_NAMED]) + more
