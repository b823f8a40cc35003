"""What `feedmill status` says of partitions that nobody is waiting for."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console

from feedmill.cli.status import _plain, _text
from feedmill.freshness.facts import Facts, Knowledge, Published
from feedmill.freshness.states import Picture
from feedmill.timeline import days, hours
from include.tables import TABLES

HOUR = datetime(2026, 11, 1, 9, tzinfo=UTC)
OLD = datetime(2026, 9, 15, 7, tzinfo=UTC)
LANDED, CLEAN = TABLES["events.landed"], TABLES["events.clean"]


def test_hours_before_the_history_are_listed_as_never_built_and_what_must_come_first() -> None:
    """An event of September came with the first hour of an installation that began in November."""
    fresh = {HOUR: Published(5, 5, "code", 1)}
    touches = {LANDED.name: {OLD: {HOUR: 4}, HOUR: {HOUR: 4}}}
    known = Knowledge(Facts({LANDED.name: fresh, CLEAN.name: fresh}, touches=touches, since=HOUR))
    now = HOUR + hours(1)
    status = Picture.of([CLEAN], known, now).status(CLEAN)
    for stale_only in (False, True):
        console = Console(width=200)
        with console.capture() as captured:
            console.print(_text([status], now, 7, stale_only))
        said = captured.get()
        assert "1 never built" in said
        assert "never built: 2026-09-15T07: it lies before the table's history, but its inputs have rows for it" in said
        assert "restate events.landed 2026-09-15T07 first" in said
        (listed,) = [one for one in _plain(status, stale_only)["partitions"] if one["state"] == "never built"]
        assert listed["partition"] == "2026-09-15T07"
    assert not Picture.of([CLEAN], known, OLD + CLEAN.keep + days(1)).status(CLEAN).states(OLD), "too old to be had"
