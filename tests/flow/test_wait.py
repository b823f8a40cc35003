"""What a range waits for: the partitions that its inputs have had, and no others; and what is said about them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from feedmill.flow.wait import Wait, lacking, not_ready
from feedmill.freshness.facts import Facts, Published
from feedmill.freshness.staleness import missing
from feedmill.ledger import builds, publishes
from feedmill.ledger.builds import Written
from feedmill.ledger.publishes import Moved
from feedmill.ledger.store import Ledger
from feedmill.spec import Files, Input, Maintainer, Table
from feedmill.timeline import DAY, days
from include.tables import TABLES

TEAM = Maintainer("team", description="tests", link="mailto:team@example.com")
DAY_1 = datetime(2026, 5, 1, tzinfo=UTC)
DAILY = Table("r.daily", DAY, [Files("events")], TEAM, 2, days(90))
BEFORE = Table("f.before", DAY, [Input(DAILY, lookback=days(3), lag=days(1))], TEAM, 2, days(90))
WITH_OWN_DAY = Table("f.window", DAY, [Input(DAILY, lookback=days(2))], TEAM, 2, days(90))


def lacks(reader: Table, first: int, end: int, *published: int) -> list[int]:
    """Days after the first of May that a range of the reader waits for."""
    facts = Facts({"r.daily": {DAY_1 + days(n): Published(1, 1, "code", 1) for n in published}})
    found = missing(reader, reader.range(DAY_1 + days(first), DAY_1 + days(end)), facts)
    return [(m.partition - DAY_1).days for m in found]


def test_a_window_with_a_lag_does_not_wait_for_its_own_day() -> None:
    assert lacks(BEFORE, 5, 6, 1, 2, 3, 4) == []
    assert lacks(BEFORE, 5, 6, 1, 2, 3) == [4]
    assert lacks(WITH_OWN_DAY, 5, 6, 2, 3, 4) == [5]


def test_a_range_waits_for_every_day_that_one_of_its_partitions_reads() -> None:
    assert lacks(BEFORE, 5, 9, 1) == [2, 3, 4, 5, 6, 7]


def test_the_first_day_of_a_history_reads_nothing_and_waits_only_until_it_is_known_to_be_the_first() -> None:
    assert lacks(BEFORE, 5, 6) == [5], "nobody knows yet whether the history begins earlier"
    assert lacks(BEFORE, 5, 6, 5) == []
    assert lacks(BEFORE, 5, 6, 7) == [], "a day before the first is empty"
    assert lacks(BEFORE, 5, 8) == [5, 6]


def test_who_waits_and_who_does_not_are_told_what_is_missing_whose_it_is_and_what_became_of_it(ledger: Ledger) -> None:
    span = BEFORE.range(DAY_1 + days(5), DAY_1 + days(6))
    wait = Wait(BEFORE, span, "dag/run", DAY_1 + timedelta(days=6, minutes=5))
    with ledger.transaction() as session:
        waits, lacks = not_ready(session, [wait])[wait], lacking(session, BEFORE, span)
    fate = "It belongs to team; it was never built: look at the DAG r.daily."
    assert waits == f"f.before 2026-05-06: waiting for r.daily 2026-05-06 since 00:05. {fate}"
    assert lacks == f"f.before 2026-05-06 lacks r.daily 2026-05-06. {fate}"
    nothing = DAILY.range(DAY_1, DAY_1 + days(1))
    with ledger.transaction() as session:
        assert lacking(session, DAILY, nothing) is None, "files keep nobody waiting"


def test_an_old_day_that_was_restated_alone_keeps_no_window_waiting(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = Table("f.four_weeks", DAY, [Input(DAILY, lookback=days(27))], TEAM, 2, days(90))
    with ledger.transaction() as session:
        for day in (9, *range(22, 30)):
            span = DAILY.one(DAY_1 + days(day))
            build = builds.begin(session, DAILY, span, f"test/{day}", "code")
            moved = [Moved(span.start, 1, "d", None)]
            builds.finish(session, build.id, 7, [Written(span.start, 1, "d", None)])
            publishes.record(session, build, moved, 7)
    wait = Wait(window, window.one(DAY_1 + days(29)), "dag/run", DAY_1 + days(30))
    gap = Wait(window, window.one(DAY_1 + days(30)), "dag/run", DAY_1 + days(31))
    monkeypatch.setenv("FEEDMILL_SINCE", "2026-05-23T07:00:00Z")
    for asked, later in ((wait, gap), (Wait.unpacked(wait.packed()), Wait.unpacked(gap.packed()))):
        with ledger.transaction() as session:
            found = not_ready(session, [asked, later])
        assert found[asked] is None
        assert "waiting for r.daily 2026-05-31" in str(found[later])
        assert "more" not in str(found[later])


def test_a_wait_that_was_packed_asks_the_same_without_a_map(ledger: Ledger) -> None:
    at = DAY_1 + timedelta(days=1, minutes=5)
    waits = [Wait(table, table.one(DAY_1), "dag/run", at) for table in TABLES]
    unpacked = [Wait.unpacked(json.loads(json.dumps(wait.packed()))) for wait in waits]
    for wait, other in zip(waits, unpacked, strict=True):
        assert (other.span, other.owner, other.since) == (wait.span, wait.owner, wait.since)
        assert asked_of(other.table) == asked_of(wait.table)
    with ledger.transaction() as session:
        said, again = not_ready(session, waits), not_ready(session, unpacked)
    assert list(again.values()) == list(said.values())
    assert sum(why is not None for why in said.values()) > 10


def asked_of(table: Table) -> list[object]:
    """What a wait asks of its table: how it reads others, whose they are, and how long they are kept."""
    inputs = [entry for entry in table.inputs if isinstance(entry, Input)]
    return [
        (table.name, table.every, table.keep, table.maintainer.name),
        *((e.table.name, e.table.every, e.table.keep, e.table.maintainer.name) for e in inputs),
        *((e.lookback, e.lag, e.as_of, e.optional, e.by) for e in inputs),
    ]
