"""``feedmill land``: put files into the landing zone."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedmill.cli.command import output
from feedmill.cli.options import utc_now
from feedmill.timeline import HOUR, parse

if TYPE_CHECKING:
    from feedmill.landing.land import Arrival


def land(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH…", help="Files, folders to search, or archives (.whl, .zip).")
    ],
    source: Annotated[
        list[str],
        typer.Option("--source", "-s", metavar="NAME", help="The log format. May be given several times."),
    ],
    shift_to: Annotated[
        str | None,
        typer.Option(
            metavar="DATETIME|now",
            help="Replay: move the events in time so that their last hour ends at this time (UTC). Each hour of events "
            "lands in its own hour.",
        ),
    ] = None,
) -> None:
    """Put files into the landing zone, in the folder of the present hour, or replay them with --shift-to.

    [bold]Examples:[/bold]  feedmill land --source events_jsonl clicks.jsonl.gz

      feedmill land --source open_bandit --source open_bandit_items obp-0.4.1-py3-none-any.whl --shift-to now

    A file lands as a whole or not at all, and never replaces another. Landing the same content again is no error.
    Items have no event times. In a replay they land in the first hour of the events given with them; without events,
    in the hour of DATETIME.

    Exits with 2 if a source, a file or its name is wrong, with 3 if the landing zone takes no file.
    """
    from feedmill import connections
    from feedmill.landing import land as arrivals
    from include.spark.sources import SOURCES

    out, now = output(), utc_now()
    with out.progress("landing", None) as bar:
        landed = arrivals.land(
            connections.get(connections.ICEBERG).landing,
            SOURCES,
            source,
            paths,
            now,
            shift_to=_moment(shift_to, now),
            progress=bar.to,
        )
    out.result([_plain(arrival) for arrival in landed], _summary(landed))


def _moment(text: str | None, now: datetime) -> datetime | None:
    if text is None:
        return None
    return now if text == "now" else parse(text)


def _plain(arrival: Arrival) -> dict[str, Any]:
    return {**asdict(arrival), "hour": HOUR.name_of(arrival.hour)}


def _summary(landed: list[Arrival]) -> str:
    new = [arrival for arrival in landed if arrival.state == "landed"]
    old = len(landed) - len(new)
    hours = sorted(arrival.hour for arrival in landed)
    span = HOUR.name_of(hours[0])
    if hours[0] != hours[-1]:
        span += f" to {HOUR.name_of(hours[-1])}"
    lines = [f"Landed {_files(len(new))} ({sum(arrival.bytes for arrival in new):,} bytes) in {span}."] if new else []
    if old:
        lines.append(f"{_files(old)} in {span} had already landed, with the same content.")
    return "\n".join(lines)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"
