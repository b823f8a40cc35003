"""``feedmill simulate``: a simulated feed whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from feedmill.cli.command import output
from feedmill.timeline import parse


def simulate(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to write to. It must be new or empty.")],
    start: Annotated[str, typer.Option(metavar="DATE", help="The first day (UTC).")] = "2026-01-05",
    days: Annotated[int, typer.Option(metavar="N", help="How many days.")] = 35,
    users: Annotated[int, typer.Option(metavar="N", help="Number of users. Four in ten come once, if at all.")] = 5_000,
    events_per_day: Annotated[int, typer.Option(metavar="N", help="Impressions of an average day.")] = 20_000,
    items: Annotated[
        int, typer.Option(metavar="N", help="Number of items. Half appear during the simulated days.")
    ] = 2_000,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same rows.")] = 7,
) -> None:
    """Simulate a feed: events and items as they would land, and the truth behind them.

    [bold]Example:[/bold]  feedmill simulate /tmp/feed --days 35 --users 5000 --events-per-day 20000

    FOLDER gets three folders. events_parquet and items_jsonl look like a landing zone. truth holds what each user
    likes, how good each item is, when each trend begins, what the experiment does, and the totals that the tables must
    show. docs/simulator.md has the formulas. FOLDER appears only when it is complete.

    Exits with 2 if the folder is not empty or the numbers cannot make a feed.
    """
    from feedmill.simulate.feed import simulate as write
    from feedmill.simulate.settings import Settings

    out = output()
    settings = Settings(parse(start), days, users, events_per_day, items, seed)
    with out.progress("simulating", settings.hours) as bar:
        made = write(settings, folder, bar.to)
    out.result(made, _summary(folder, made))


def _summary(folder: Path, made: dict[str, Any]) -> str:
    rows = made["rows"]
    return (
        f"Simulated {rows['events']:,} events from {made['start'][:10]} to {made['end'][:10]} (exclusive) in {folder}: "
        f"{rows['landed']:,} rows in {rows['files']:,} files, {rows['duplicates']:,} of them duplicates, "
        f"{rows['late']:,} late."
    )
