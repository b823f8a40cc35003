"""``feedmill sql``: query the published tables."""

from __future__ import annotations

import csv
import json
import math
import sys
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedmill.cli.command import output
from feedmill.cli.exits import CommandError
from feedmill.cli.options import ledger_and_lake
from feedmill.cli.output import listing, plain

if TYPE_CHECKING:
    from feedmill.ledger.store import Ledger

SHOWN = 100
"""How many rows the text form shows; --csv and --json give all."""


def sql(
    query: Annotated[
        str, typer.Argument(metavar="SELECT", help="One SELECT in DuckDB's dialect, or - to read it from stdin.")
    ],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print all rows as CSV.")] = False,
    as_of_build: Annotated[
        str | None,
        typer.Option(
            metavar="BUILD",
            help="Read this build's table as the build wrote it, published or held, and its inputs as it read them.",
        ),
    ] = None,
) -> None:
    """Query the published tables with DuckDB. Tables are named <schema>.<table>; times are UTC.

    [bold]Examples:[/bold]  feedmill sql "select sum(impressions), sum(clicks) from rollups.item_engagement_daily"

      feedmill sql "describe events.clean"

      feedmill sql --as-of-build 0f3a… "select * from events.clean where duration_ms < 0"

    A query reads the published rows and nothing else: no other file, no other address, and it writes nothing.

    Exits with 1 if another engine deleted rows of a table, with 2 if the query is wrong.
    """
    from feedmill.explore.sql import ask
    from include.tables import TABLES

    out = output()
    if as_csv and out.as_json:
        raise CommandError("give --csv or --json, not both")
    ledger, lake = ledger_and_lake()
    snapshots = _as_of(as_of_build, ledger) if as_of_build else None
    answer = ask(sys.stdin.read() if query == "-" else query, TABLES, lake, snapshots)
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows([_text(cell, null="") for cell in row] for row in answer.rows)
    elif out.as_json:
        out.result([dict(zip(answer.columns, map(_plain, row), strict=True)) for row in answer.rows])
    else:
        numbers = [c for c, kind in zip(answer.columns, answer.types, strict=True) if _is_number(kind)]
        rows = [[_text(cell, null="null") for cell in row] for row in answer.rows[:SHOWN]]
        out.result(None, listing(answer.columns, rows, right=numbers))
        if len(answer.rows) > SHOWN:
            out.note(f"{SHOWN} of {len(answer.rows):,} rows; use --csv or --json to get all")


def _as_of(build_id: str, ledger: Ledger) -> dict[str, int | None]:
    """The snapshots that the build wrote and read, by table name."""
    from feedmill.ledger import builds

    with ledger.transaction() as session:
        build = builds.get(session, build_id)
    if build.snapshot_id is None:
        raise CommandError(f"build {build_id} of {build.table_name} is {build.state} and wrote nothing")
    return {**build.pins, build.table_name: build.snapshot_id}


def _plain(value: Any) -> Any:
    """A value for JSON. Times are UTC and end with Z; NaN and infinity become null."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value.tzinfo else value.isoformat()
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else plain(value)


def _text(value: Any, null: str) -> str:
    """A value for people: times as 2026-05-01 13:00:00, sketches as their size."""
    if value is None:
        return null
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return f"<{len(value):,} bytes>"
    if isinstance(value, list | dict):
        return json.dumps(_plain(value), default=plain, ensure_ascii=False)
    return str(value)


def _is_number(kind: str) -> bool:
    return kind.upper().startswith(
        ("NUMBER", "BIGINT", "INTEGER", "HUGEINT", "DOUBLE", "FLOAT", "DECIMAL", "U", "SMALL")
    )
