"""``feedmill account``: where each row of the landed files is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedmill.cli.command import ended, output
from feedmill.cli.options import utc_now
from feedmill.cli.output import listing
from feedmill.errors import Exit
from feedmill.timeline import HOUR, parse

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import RenderableType

    from feedmill.explore.account import Account, EventHourCount, FileCount

SHOWN = 30
"""Files, and event hours, that the text form shows: first those that need an explanation. --json has all."""


def account(
    what: Annotated[
        str,
        typer.Argument(
            metavar="HOUR|FILE", help="An arrival hour, such as 2026-05-01T13; or a landed file, by its path's end."
        ),
    ],
) -> None:
    """Account for every row of the files that arrived in an hour, or of one file: landed, rejected, clean, duplicate.

    [bold]Examples:[/bold]  feedmill account 2026-05-01T13

      feedmill account events_jsonl/2026-05-01T13/web-7.jsonl.gz

    The rows of a file are counted in the file itself, and then looked for in events.landed, events.rejected and
    events.clean as they are published. For rows that are not built yet it says what they wait for.

    A row can stand for a whole file that cannot be read. Of the items it says only what is rejected.

    Exits with 1 where a row is unexplained: lost, or in a table without being in a file.
    """
    from feedmill.deployment import open_deployment
    from feedmill.explore import count
    from feedmill.ledger import files

    deployment, now, hour = open_deployment(), utc_now(), _hour(what)
    with output().steps("counting rows"):
        if hour is None:
            with deployment.ledger.transaction() as session:
                file = files.find(session, what)
            found = count.account(file.arrival_hour, deployment, now, file.path)
        else:
            found = count.account(hour, deployment, now)
    output().result(_plain(found), _text(found))
    ended(Exit.PROBLEM if found.unexplained else Exit.OK)


def _hour(what: str) -> datetime | None:
    """The hour that the argument names; None: it names a file.

    Raises:
        ValueError: it is a time, and no whole hour.
    """
    try:
        moment = parse(what)
    except ValueError:
        return None
    if HOUR.floor(moment) != moment:
        raise ValueError(f"{what} is no whole hour; files arrive in hours, such as {HOUR.name_of(HOUR.floor(moment))}")
    return moment


def _plain(found: Account) -> dict[str, Any]:
    return {
        "arrival_hour": HOUR.name_of(found.hour),
        "rows": found.rows,
        "unexplained": found.unexplained,
        "files": [
            {
                "file": one.path,
                "source": one.source or None,
                "kind": one.kind,
                "rows": one.rows,
                "landed": one.landed,
                "rejected": one.rejected,
                "outstanding": one.outstanding,
                "unexplained": one.unexplained,
                "because": one.because,
            }
            for one in found.files
        ],
        "event_hours": [
            {
                "hour": HOUR.name_of(one.hour),
                "landed": one.landed,
                "clean": one.clean,
                "duplicates": one.duplicates,
                "outstanding": one.outstanding,
                "unexplained": one.unexplained,
                "because": one.because,
            }
            for one in found.events
        ],
    }


def _text(found: Account) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    if not found.files and not found.events:
        return f"No file is registered for {HOUR.name_of(found.hour)}, and no row arrived then."
    parts: list[RenderableType] = [
        Text(f"Files that arrived in {HOUR.name_of(found.hour)}", style="bold"),
        _file_table(found.files),
        *_reasons(found.files),
    ]
    if found.events:
        parts += ["", Text("Their landed rows, by the hour of the event", style="bold")]
        parts += [_event_table(found.events), *_reasons(found.events)]
    verdict = "Every row is accounted for." if not found.unexplained else _unexplained(found.unexplained)
    return Group(*parts, "", Text(verdict, style="red" if found.unexplained else "green"))


def _unexplained(rows: int) -> str:
    return (
        f"{rows:,} rows are unexplained. Run `feedmill doctor --rows`: it says whether something else than Feedmill "
        "changed a table or a file. If it finds nothing, tell the maintainer of events.landed."
    )


def _file_table(files: Iterable[FileCount]) -> RenderableType:
    numbers = ("rows", "landed", "rejected", "not built", "unexplained")
    ordered = sorted(files, key=lambda one: (not one.unexplained, not one.outstanding, one.path))
    rows = [
        ("/".join(one.path.split("/")[-3:]), one.rows, one.landed, one.rejected, one.outstanding, one.unexplained)
        for one in ordered
    ]
    return _table("file", numbers, rows, "files")


def _event_table(hours: Iterable[EventHourCount]) -> RenderableType:
    numbers = ("landed", "clean", "duplicates", "not built", "unexplained")
    ordered = sorted(hours, key=lambda one: (not one.unexplained, not one.outstanding, one.hour))
    rows = [
        (HOUR.name_of(one.hour), one.landed, one.clean, one.duplicates, one.outstanding, one.unexplained)
        for one in ordered
    ]
    return _table("event hour", numbers, rows, "event hours")


def _table(first: str, numbers: tuple[str, ...], rows: list[tuple[Any, ...]], what: str) -> RenderableType:
    """The first rows, a line for those that are left out, and a sum of all."""
    shown = [(name, *(f"{value:,}" for value in values)) for name, *values in rows[:SHOWN]]
    if len(rows) > SHOWN:
        shown.append((f"… and {len(rows) - SHOWN:,} more {what}; --json has all", *("" for _ in numbers)))
    if len(rows) > 1:
        shown.append(
            (f"all {len(rows):,} {what}", *(f"{sum(column):,}" for column in list(zip(*rows, strict=True))[1:]))
        )
    return listing((first, *numbers), shown, right=numbers)


def _reasons(counts: Iterable[FileCount | EventHourCount]) -> list[RenderableType]:
    """Why rows are not built, each reason once with its rows."""
    from rich.text import Text

    rows: dict[str, int] = {}
    for one in counts:
        if one.because is not None and one.outstanding:
            rows[one.because] = rows.get(one.because, 0) + one.outstanding
    lines = [Text(f"{count:,} not built: {why}") for why, count in list(rows.items())[:SHOWN]]
    more = len(rows) - SHOWN
    return [*lines, *([Text(f"… and {more:,} more reasons; --json has all")] if more > 0 else [])]
