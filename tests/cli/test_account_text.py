"""What `feedmill account` says: where rows are, and what is unexplained."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console

from feedmill.cli.account import SHOWN, _text
from feedmill.explore.account import Account, EventHourCount, FileCount
from feedmill.timeline import hours

HOUR = datetime(2026, 11, 1, 9, tzinfo=UTC)


def said(found: Account) -> str:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(_text(found))
    return captured.get()


def test_what_is_not_built_is_told_with_its_reason_once_and_what_is_unexplained_with_what_to_do() -> None:
    why = "events.clean 2026-11-01T08 is never built: restate it if needed"
    files = [FileCount(f"file:///zone/web/2026-11-01T09/{n}.jsonl", "web", "events", 10, 9, 1, None) for n in range(40)]
    events = [EventHourCount(HOUR, 350, 340, 10, 0, None), EventHourCount(HOUR - hours(1), 10, 0, 0, 0, why)]
    text = said(Account(HOUR, files, events))
    assert "web/2026-11-01T09/0.jsonl" in text
    assert f"and {40 - SHOWN} more files" in text
    assert ["all", "40", "files", "400", "360", "40", "0", "0"] in [line.split() for line in text.splitlines()]
    assert f"10 not built: {why}" in text
    assert text.rstrip().endswith("Every row is accounted for.")
    lost = said(Account(HOUR, files, [EventHourCount(HOUR, 360, 340, 10, 0, None)]))
    assert "10 rows are unexplained. Run `feedmill doctor --rows`" in lost


def test_an_hour_without_files_says_so() -> None:
    assert "No file is registered for 2026-11-01T09" in said(Account(HOUR, [], []))
