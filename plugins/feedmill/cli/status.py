"""``feedmill status``: every table's partitions, as a calendar and in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedmill.cli.command import ended, output
from feedmill.cli.options import ledger_and_lake, utc_now
from feedmill.cli.output import harmless, listing
from feedmill.errors import Exit
from feedmill.freshness.states import MEANINGS, NEEDS_A_BUILD, NEEDS_A_PERSON, State, TableStatus
from feedmill.timeline import DAY, HOUR, runs

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from feedmill.spec import Table

LISTED = NEEDS_A_BUILD | {State.NEVER_BUILT}
"""What --stale-only lists."""

PROBLEMS = 5
"""How many partitions of a table the text form explains; --json has all."""

DAYS_OF_DAILY = 28
"""How many days a daily table's row of cells shows by default."""

# A letter beside the colour, for readers who do not see colours and terminals that do not show them.
_LOOKS: dict[State, tuple[str, str]] = {
    State.BUILDING: ("b", "black on bright_cyan"),
    State.HELD: ("H", "white on red"),
    State.FAILED: ("F", "white on dark_red"),
    State.FROZEN: ("f", "black on steel_blue1"),
    State.BLOCKED: ("B", "black on plum1"),
    State.OVERDUE: ("O", "white on magenta"),
    State.STALE: ("s", "black on yellow"),
    State.OUTDATED: ("o", "black on dark_orange"),
    State.MISSING: ("-", "black on bright_black"),
    State.NEVER_BUILT: ("n", "black on grey70"),
    State.EMPTY: ("0", "black on pale_green3"),
    State.PUBLISHED: ("■", "green"),
}


def status(
    tables: Annotated[
        list[str] | None, typer.Argument(metavar="[TABLE…]", help="Only these tables. Default: all.")
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, help="Days in the calendar. Default: 7 for hourly tables, 28 for daily ones.")
    ] = None,
    stale_only: Annotated[
        bool, typer.Option("--stale-only", help="Show only tables and partitions that need attention.")
    ] = False,
    builds: Annotated[bool, typer.Option("--builds", help="Show the newest builds instead.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many builds --builds shows.")] = 20,
) -> None:
    """Every table's partitions: what is published, and what is stale, outdated, held, overdue or missing, and why.

    Partitions before a table's history that its inputs have rows for are "never built": nobody waits for them.

    [bold]Examples:[/bold]  feedmill status

      feedmill status rollups.item_engagement_hourly --days 14

      feedmill status --stale-only --json

      feedmill status --builds

    Exits with 1 where a partition is held or overdue; with --stale-only, also where one is stale, outdated or missing.
    """
    from include.tables import TABLES

    chosen = [TABLES[name] for name in tables] if tables else list(TABLES)
    if builds:
        _builds(chosen, limit)
        return
    now = utc_now()
    found = _look(chosen, now)
    shown = [one for one in found if one.has(LISTED)] if stale_only else found
    out = output()
    data = [_plain(one, stale_only) for one in shown]
    out.result(data, None if out.as_json else _text(shown, now, days, stale_only))
    bad = NEEDS_A_BUILD if stale_only else NEEDS_A_PERSON
    ended(Exit.PROBLEM if any(one.has(bad) for one in found) else Exit.OK)


def _look(tables: list[Table], now: datetime) -> list[TableStatus]:
    from feedmill.freshness.ask_airflow import ask
    from feedmill.freshness.identity import identity
    from feedmill.freshness.load import picture

    ledger, lake = ledger_and_lake()
    airflow = ask(tables, now)
    with ledger.transaction() as session:
        identities = {table.name: identity(table, lake.project) for table in tables}
        made = picture(session, tables, identities, now, airflow)
    return [made.status(table) for table in tables]


def _plain(one: TableStatus, stale_only: bool) -> dict[str, Any]:
    cells = one.within(LISTED) if stale_only else one.cells
    return {
        "table": one.table.name,
        "every": one.table.every.value,
        "maintainer": one.table.maintainer.name,
        "counts": {state.value: one.counts[state] for state in State if one.counts[state]},
        "partitions": [
            {
                "partition": one.table.every.name_of(cell.partition),
                "state": cell.state.value,
                "states": [state.value for state in cell.states],
                "rows": cell.rows,
                "why": cell.why,
            }
            for cell in cells
        ],
    }


def _text(shown: list[TableStatus], now: datetime, days: int | None, stale_only: bool) -> RenderableType:
    from rich.console import Group

    parts: list[RenderableType] = []
    for one in shown:
        parts += [*_table(one, now, days), ""]
    if not shown and stale_only:
        return "Nothing is stale, outdated, held, overdue, missing or never built."
    used = {cell.state for one in shown for cell in one.cells}
    return Group(*parts, _legend(used))


def _table(one: TableStatus, now: datetime, days: int | None) -> Iterator[RenderableType]:
    from rich.text import Text

    yield Text.assemble((one.table.name, "bold"), f"  {one.table.every.value}, {one.table.maintainer.name}")
    if not one.cells:
        yield "  nothing was ever published"
        return
    yield from _hours(one, now, days or 7) if one.table.every is HOUR else _days(one, now, days or DAYS_OF_DAILY)
    yield "  " + ", ".join(f"{one.counts[state]:,} {state.value}" for state in State if one.counts[state])
    problems = one.within(NEEDS_A_BUILD)
    for cell in problems[:PROBLEMS]:
        yield Text(f"  {one.table.every.name_of(cell.partition)} {cell.state.value}: {cell.why}")
    if len(problems) > PROBLEMS:
        yield f"  … and {len(problems) - PROBLEMS:,} more; --stale-only --json lists all"
    never = one.within([State.NEVER_BUILT])
    if never:
        spans = [str(span) for span in runs([cell.partition for cell in never], one.table.every)]
        more = f" and {len(spans) - PROBLEMS:,} more ranges" if len(spans) > PROBLEMS else ""
        yield Text(f"  never built: {', '.join(spans[:PROBLEMS])}{more}: {never[0].why}")


def _hours(one: TableStatus, now: datetime, days: int) -> Iterator[Text]:
    """A row of 24 cells for each day."""
    from rich.text import Text

    states = {cell.partition: cell.state for cell in one.cells}
    first = max(DAY.floor(now) - timedelta(days=days - 1), DAY.floor(one.cells[0].partition))
    yield Text("  " + " " * 12 + "0     6     12    18", style="dim")
    day = first
    while day <= DAY.floor(max(now, one.cells[-1].partition)):
        line = Text(f"  {day:%Y-%m-%d}  ")
        for hour in range(24):
            _draw(line, states.get(day + timedelta(hours=hour)))
        yield line
        day += DAY.length


def _days(one: TableStatus, now: datetime, days: int) -> Iterator[Text]:
    """One row of cells, one for each day, between the first and the last day."""
    from rich.text import Text

    states = {cell.partition: cell.state for cell in one.cells}
    first = max(DAY.floor(now) - timedelta(days=days - 1), one.cells[0].partition)
    last = max(DAY.floor(now) - DAY.length, one.cells[-1].partition)
    line = Text(f"  {first:%Y-%m-%d}  ")
    day = min(first, last)
    while day <= last:
        _draw(line, states.get(day))
        day += DAY.length
    line.append(f"  {last:%Y-%m-%d}")
    yield line


def _draw(line: Text, state: State | None) -> None:
    letter, style = _LOOKS[state] if state else ("·", "dim")
    line.append(letter, style=style)


def _legend(used: set[State]) -> Text:
    from rich.text import Text

    line = Text()
    for state in State:
        if state in used:
            letter, style = _LOOKS[state]
            line.append(letter, style=style)
            line.append(f" {state.value}: {MEANINGS[state]}   ")
    return line


def _builds(tables: list[Table], limit: int) -> None:
    from rich.console import Group
    from rich.text import Text

    from feedmill.ledger import builds
    from feedmill.timeline import Range

    ledger, _ = ledger_and_lake()
    by_name = {table.name: table for table in tables}
    with ledger.transaction() as session:
        found = builds.newest(session, by_name, limit)
    data = [
        {
            "build": build.id,
            "table": build.table_name,
            "range": str(Range(build.range_start, build.range_end, by_name[build.table_name].every)),
            "state": build.state,
            "rows": rows,
            "started": build.started_at,
            "seconds": (build.finished_at - build.started_at).total_seconds() if build.finished_at else None,
            "owner": build.owner,
            "error": build.error,
        }
        for build, rows in found
    ]
    text: list[RenderableType] = [
        listing(
            ("build", "table", "range", "state", "rows", "started", "s"),
            [
                (
                    row["build"],
                    row["table"],
                    row["range"],
                    row["state"],
                    "" if row["rows"] is None else f"{row['rows']:,}",
                    f"{row['started']:%m-%d %H:%M:%S}",
                    "" if row["seconds"] is None else f"{row['seconds']:.1f}",
                )
                for row in data
            ],
            right=("rows", "s"),
        ),
        *(
            Text(harmless(f"{row['build']} {row['state']}: {str(row['error']).splitlines()[0][:200]}"))
            for row in data
            if row["error"]
        ),
    ]
    output().result(data, Group(*text))
