"""What a range waits for: the partitions that its inputs have had, and no others; and what is said about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from feedmill.ledger.readiness import Wait, lacking, missing, not_ready
from feedmill.ledger.staleness import Facts, Published
from feedmill.ledger.store import Ledger
from feedmill.spec import Files, Input, Maintainer, Table
from feedmill.timeline import DAY, days

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
