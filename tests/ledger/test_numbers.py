"""Rule 1 and 5: numbers become visible in the order in which they were given; equal rows keep their number."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from sqlalchemy import event, select

from feedmill.freshness.load import load
from feedmill.freshness.staleness import stale_because
from feedmill.ledger import builds, publishes
from feedmill.ledger.models import Build, Touch
from feedmill.ledger.publishes import Moved
from feedmill.ledger.store import Ledger, lock_counter, next_number
from feedmill.spec import Input, Table
from feedmill.timeline import HOUR, Range, hours

pytestmark = pytest.mark.rule(1, 5)

START = datetime(2026, 5, 1, 10, tzinfo=UTC)


def begin(ledger: Ledger, table: Table) -> Build:
    with ledger.transaction() as session:
        return builds.begin(session, table, Range.one(START, HOUR), "test/run", "code")


def publish(
    ledger: Ledger, build: Build, digest: str, snapshot_id: int, touches: Mapping[datetime, int] | None = None
) -> int:
    """Record a publish of the hour as an Iceberg commit would; the number that the partition carries now."""
    with ledger.transaction() as session:
        publishes.record(session, build, [Moved(START, 3, digest, touches)], snapshot_id)
    with ledger.transaction() as session:
        return publishes.current(session, build.table_name, [START])[START].number


def test_a_later_number_is_never_visible_before_an_earlier_one(ledger: Ledger) -> None:
    given: list[int] = []
    with ledger.transaction() as session:
        first = next_number(session)

        def second() -> None:
            with ledger.transaction() as other:
                given.append(next_number(other))

        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        assert given == [], "the second must wait until the first is committed"
    thread.join(10)
    assert given == [first + 1]


def test_a_number_of_a_transaction_that_rolled_back_is_given_again(ledger: Ledger) -> None:
    try:
        with ledger.transaction() as session:
            assert next_number(session) == 1
            raise RuntimeError
    except RuntimeError:
        pass
    with ledger.transaction() as session:
        assert next_number(session) == 1


def test_a_begin_waits_for_a_publish_that_has_its_number_but_is_not_committed(ledger: Ledger, hourly: Table) -> None:
    """Else the build could begin above the publish's number without seeing its rows: stale for ever unnoticed."""
    build = begin(ledger, hourly)
    reader = Table("demo.reader", HOUR, [Input(hourly)], hourly.maintainer, 2, hourly.keep)
    begun: list[int] = []
    with ledger.transaction() as session:
        publishes.record(session, build, [Moved(START, 1, "a", None)], 1)
        thread = threading.Thread(target=lambda: begun.append(begin(ledger, reader).begin))
        thread.start()
        time.sleep(0.3)
        assert begun == []
    thread.join(10)
    with ledger.transaction() as session:
        number = publishes.current(session, hourly.name, [START])[START].number
    assert begun == [number + 1]


def test_equal_rows_keep_the_number_take_the_newer_begin_and_wake_nobody(ledger: Ledger, hourly: Table) -> None:
    reader = Table("demo.reader", HOUR, [Input(hourly)], hourly.maintainer, 2, hourly.keep)
    number = publish(ledger, begin(ledger, hourly), "3:a", 1)
    publish(ledger, begin(ledger, reader), "3:r", 1)
    again = begin(ledger, hourly)
    assert publish(ledger, again, "3:a", 2) == number
    with ledger.transaction() as session:
        current = publishes.current(session, hourly.name, [START])[START]
        assert (current.begin, current.build_id) == (again.begin, again.id)
        assert stale_because(reader, START, load(session, [reader])) == []
        value = lock_counter(session).value
    changed = begin(ledger, hourly)
    assert publish(ledger, changed, "3:b", 3) == value + 2, "begin took one number, the publish the next"
    with ledger.transaction() as session:
        assert [c.input for c in stale_because(reader, START, load(session, [reader]))] == [hourly.name]


def test_rows_that_change_back_are_a_change_too(ledger: Ledger, hourly: Table) -> None:
    numbers = [publish(ledger, begin(ledger, hourly), digest, n) for n, digest in enumerate(("a", "b", "a"))]
    assert numbers == sorted(set(numbers))


def test_recording_a_publish_of_an_older_begin_never_replaces_the_newer_one(ledger: Ledger, hourly: Table) -> None:
    older, newer = begin(ledger, hourly), begin(ledger, hourly)
    publish(ledger, newer, "new", 2)
    publish(ledger, older, "old", 1)
    with ledger.transaction() as session:
        assert publishes.current(session, hourly.name, [START])[START].build_id == newer.id


def test_old_and_new_touches_together_carry_the_publish_s_number(ledger: Ledger, hourly: Table) -> None:
    early, late, never = START - hours(1), START, START + hours(1)
    first = publish(ledger, begin(ledger, hourly), "a", 1, {early: 2, late: 1})
    clean = Table("demo.clean", HOUR, [Input(hourly, by="touches")], hourly.maintainer, 2, hourly.keep)
    with ledger.transaction() as session:
        assert load(session, [clean]).touches[hourly.name] == {early: {START: first}, late: {START: first}}
    # The row that touched `early` is gone; its reader has lost it, and must be told.
    second = publish(ledger, begin(ledger, hourly), "b", 2, {late: 2})
    with ledger.transaction() as session:
        assert load(session, [clean]).touches[hourly.name] == {early: {START: second}, late: {START: second}}
        assert session.get(Touch, (hourly.name, START, early)).rows == 0  # type: ignore[union-attr]
        assert session.get(Touch, (hourly.name, START, late)).rows == 2  # type: ignore[union-attr]
        assert session.get(Touch, (hourly.name, START, never)) is None
    # Equal rows touch nothing anew.
    publish(ledger, begin(ledger, hourly), "b", 3, {late: 2})
    with ledger.transaction() as session:
        assert session.get(Touch, (hourly.name, START, late)).number == second  # type: ignore[union-attr]


def test_the_counter_is_held_for_as_many_statements_by_a_month_as_by_an_hour(ledger: Ledger, hourly: Table) -> None:
    sent: list[str] = []
    event.listen(ledger.engine, "before_cursor_execute", lambda *arguments: sent.append(arguments[2]))
    counts = []
    for length in (1, 720):
        partitions = [START + hours(n) for n in range(length)]
        build = begin(ledger, hourly)
        moved = [Moved(p, n % 3, f"{length}:{n}", {p: n, p + hours(1): 1}) for n, p in enumerate(partitions)]
        with ledger.transaction() as session:
            sent.clear()
            publishes.record(session, build, moved, length)
            counts.append(len(sent))
        with ledger.transaction() as session:
            current = publishes.current(session, hourly.name, partitions)
            touches = {(t.partition, t.touched): t.rows for t in session.scalars(select(Touch))}
        assert {p: (c.rows, c.digest, c.build_id) for p, c in current.items()} == {
            m.partition: (m.rows, m.digest, build.id) for m in moved
        }
        assert touches == {(m.partition, t): rows for m in moved for t, rows in (m.touches or {}).items()}
    # SQLAlchemy cuts what it inserts into statements of 1,000 rows.
    assert counts[1] <= counts[0] + 1
