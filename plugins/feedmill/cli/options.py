"""Arguments that several commands share, and the objects made from them."""

from __future__ import annotations

import getpass
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from feedmill.cli.exits import CommandError
from feedmill.timeline import parse

if TYPE_CHECKING:
    from feedmill.lake.catalog import Lake
    from feedmill.ledger.store import Ledger
    from feedmill.spec import Table
    from feedmill.timeline import Range

TableName: TypeAlias = Annotated[
    str, typer.Argument(metavar="TABLE", help="A table of include/tables.py, such as rollups.item_engagement_hourly.")
]


def table_of(name: str) -> Table:
    """The table of that name. The error lists the names that exist."""
    from include.tables import TABLES

    return TABLES[name]


def ledger_and_lake() -> tuple[Ledger, Lake]:
    """The two, without what only a build needs (importing the sources imports PySpark)."""
    from feedmill.lake.catalog import open_lake
    from feedmill.ledger.store import open_ledger
    from feedmill.project import project_path

    lake = open_lake(project_path())
    if lake.properties.get("warehouse", "").startswith("file:"):
        # PyIceberg's default reads local files by pyarrow.dataset, which imports pandas: 1.1 s of 3.
        lake = replace(lake, properties={**lake.properties, "py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO"})
    return open_ledger(), lake


def range_of(table: Table, start: str | None, end: str | None, now: datetime) -> Range:
    """The range of ``--start`` and ``--end``.

    Without an end it is one partition. Without both it is the newest partition that has ended.

    Raises:
        CommandError: an end without a start.
        ValueError: the range is empty or does not consist of whole partitions.
    """
    length = table.every.length
    if start is None:
        if end is not None:
            raise CommandError("--end needs --start; without both, the newest partition that has ended is built")
        first = table.every.floor(now) - length
        return table.range(first, first + length)
    first = parse(start)
    return table.range(first, parse(end) if end else first + length)


def utc_now() -> datetime:
    """The present time. All commands read this clock."""
    return datetime.now(UTC)


def user() -> str:
    """The system's name of the user who runs the command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container the user may have no name
        return "somebody"
