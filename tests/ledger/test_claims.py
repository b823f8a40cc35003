"""Rule 2 and 9: a build takes its begin and its partitions at once, and holds them while its heart beats."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, func, select, update

from feedmill.ledger import builds
from feedmill.ledger.builds import ClaimedError, Written
from feedmill.ledger.claims import CLAIM_DEAD, CLAIM_EXPIRES, alive
from feedmill.ledger.models import Build, Claim
from feedmill.ledger.store import Ledger, lock_counter
from feedmill.spec import Table
from feedmill.timeline import HOUR, Range, hours

pytestmark = pytest.mark.rule(2, 9)

START = datetime(2026, 5, 1, tzinfo=UTC)


def span(first: int, last: int) -> Range:
    return Range(START + hours(first), START + hours(last), HOUR)


def begin(ledger: Ledger, table: Table, over: Range, owner: str) -> Build:
    with ledger.transaction() as session:
        return builds.begin(session, table, over, owner, "code")


def silence(ledger: Ledger, build: Build, since: timedelta) -> None:
    """As if the build's process had stood still for so long."""
    with ledger.transaction() as session:
        session.execute(update(Claim).where(Claim.build_id == build.id).values(heartbeat_at=func.now() - since))


def test_of_16_builds_that_begin_overlapping_ranges_at_once_exactly_one_claims(ledger: Ledger, hourly: Table) -> None:
    barrier = threading.Barrier(16)
    begun: list[Build] = []
    refused: list[str] = []

    def run(number: int) -> None:
        barrier.wait()
        try:
            # Hour 8 is in every range.
            begun.append(begin(ledger, hourly, span(number % 8, 9 + number % 5), f"dag/{number}"))
        except ClaimedError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(begun), len(refused)) == (1, 15)
    assert all(f"build {begun[0].id} of {begun[0].owner} is at work on" in text for text in refused)
    with ledger.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Build)) == 1


def test_neighbouring_ranges_and_other_tables_do_not_meet(ledger: Ledger, hourly: Table) -> None:
    begin(ledger, hourly, span(0, 5), "dag/one")
    begin(ledger, hourly, span(5, 9), "dag/two")
    other = Table("demo.other", HOUR, hourly.inputs, hourly.maintainer, 2, hourly.keep)
    begin(ledger, other, span(0, 9), "dag/three")
    with pytest.raises(ClaimedError):
        begin(ledger, hourly, span(4, 6), "dag/four")


def test_a_build_that_died_without_a_word_is_closed_by_the_next_build_of_any_table(
    ledger: Ledger, hourly: Table
) -> None:
    """A run that is marked as failed while it builds: nobody may ever build its hours again."""
    dead, asleep = begin(ledger, hourly, span(0, 1), "dag/marked"), begin(ledger, hourly, span(1, 2), "dag/asleep")
    silence(ledger, dead, CLAIM_DEAD + timedelta(seconds=5))
    # As after an outage of the ledger: it beats again in a moment.
    silence(ledger, asleep, CLAIM_EXPIRES + timedelta(seconds=5))
    other = Table("demo.other", HOUR, hourly.inputs, hourly.maintainer, 2, hourly.keep)
    begin(ledger, other, span(5, 6), "dag/other")
    with ledger.transaction() as session:
        found = session.get_one(Build, dead.id)
        assert (found.state, found.error) == ("interrupted", "its process died")
        assert session.get(Claim, dead.id) is None
        assert session.get_one(Build, asleep.id).state == "running"
        assert builds.heartbeat(session, asleep.id)


def test_begins_are_given_in_order_and_each_once(ledger: Ledger, hourly: Table) -> None:
    begins = [begin(ledger, hourly, span(n, n + 1), f"dag/{n}").begin for n in range(5)]
    assert begins == [1, 2, 3, 4, 5]


def test_a_claim_lasts_while_its_heart_beats_and_not_much_longer(ledger: Ledger, hourly: Table) -> None:
    build = begin(ledger, hourly, span(0, 2), "dag/one")
    silence(ledger, build, CLAIM_EXPIRES - timedelta(seconds=10))
    with pytest.raises(ClaimedError):
        begin(ledger, hourly, span(1, 3), "dag/two")
    with ledger.transaction() as session:
        assert builds.heartbeat(session, build.id)
        assert [c.build_id for c in builds.live_claims(session, hourly, span(1, 2))] == [build.id]
    silence(ledger, build, CLAIM_EXPIRES + timedelta(seconds=1))
    with ledger.transaction() as session:
        assert builds.live_claims(session, hourly, span(1, 2)) == []
    begin(ledger, hourly, span(1, 3), "dag/two")


def test_a_claim_s_first_heartbeat_is_when_it_was_made_however_long_its_build_waited_to_begin(
    ledger: Ledger, hourly: Table, wait_for_locks: Callable[[Engine, int], None]
) -> None:
    begun: list[Build] = []
    with ledger.transaction() as session:
        lock_counter(session)
        thread = threading.Thread(target=lambda: begun.append(begin(ledger, hourly, span(0, 2), "dag/one")))
        thread.start()
        wait_for_locks(ledger.engine, 1)
        time.sleep(1)
    thread.join(10)
    with ledger.transaction() as session:
        started = builds.get(session, begun[0].id).started_at
        heartbeat = session.scalars(select(Claim.heartbeat_at)).one()
    assert heartbeat - started > timedelta(seconds=0.5), "by then a claim of 45 seconds may be over"


def test_a_claim_that_died_while_a_begin_waited_is_dead_to_it(ledger: Ledger, hourly: Table) -> None:
    dying = begin(ledger, hourly, span(0, 2), "dag/one")
    silence(ledger, dying, CLAIM_EXPIRES - timedelta(seconds=1))
    with ledger.transaction() as session:
        session.execute(select(func.now()))
        assert [c.build_id for c in builds.live_claims(session, hourly, span(0, 2))] == [dying.id]
        time.sleep(1.5)
        assert builds.live_claims(session, hourly, span(0, 2)) == []


def test_a_claim_lives_by_the_clock_of_the_statement_not_of_the_transaction(ledger: Ledger, hourly: Table) -> None:
    dying = begin(ledger, hourly, span(0, 2), "dag/one")
    silence(ledger, dying, CLAIM_EXPIRES - timedelta(seconds=1))
    living = select(Claim.build_id).where(alive())
    with ledger.transaction() as session:
        assert session.scalars(living).all() == [dying.id]
        time.sleep(1.5)
        assert session.scalars(living).all() == []
        by_the_transaction = select(Claim.heartbeat_at > func.now() - CLAIM_EXPIRES)
        assert session.scalars(by_the_transaction).one(), "now() stands still, or this test shows nothing"


def test_a_build_that_slept_past_its_claim_is_told_to_stop_once_another_has_begun(
    ledger: Ledger, hourly: Table
) -> None:
    asleep = begin(ledger, hourly, span(0, 2), "dag/one")
    silence(ledger, asleep, CLAIM_EXPIRES + timedelta(seconds=1))
    awake = begin(ledger, hourly, span(1, 3), "dag/two")
    with ledger.transaction() as session:
        assert not builds.heartbeat(session, asleep.id), "two builds of one hour must not both live"
        assert builds.heartbeat(session, awake.id)
        assert [c.build_id for c in builds.live_claims(session, hourly, span(0, 3))] == [awake.id]
    with pytest.raises(ClaimedError, match="was interrupted meanwhile"), ledger.transaction() as session:
        builds.finish(session, asleep.id, 1, [])


def test_a_retry_of_the_same_owner_takes_over_and_the_try_before_it_can_not_finish(
    ledger: Ledger, hourly: Table
) -> None:
    first = begin(ledger, hourly, span(0, 2), "dag/one")
    with ledger.transaction() as session:
        assert [b.id for b in builds.unfinished(session, "dag/one")] == [first.id]
        assert builds.unfinished(session, "dag/two") == []
    second = begin(ledger, hourly, span(0, 2), "dag/one")
    with ledger.transaction() as session:
        assert not builds.heartbeat(session, first.id)
        assert builds.heartbeat(session, second.id)
        assert [b.id for b in builds.unfinished(session, "dag/one")] == [second.id]
    with pytest.raises(ClaimedError, match="meanwhile"), ledger.transaction() as session:
        builds.finish(session, first.id, 1, [])
    assert second.begin > first.begin
    assert second.session_id != first.session_id, "the retry can interrupt the old session without hurting its own"


@pytest.mark.parametrize("end", ["finish", "failed", "interrupted"])
def test_the_end_of_a_build_however_it_ends_frees_its_partitions(ledger: Ledger, hourly: Table, end: str) -> None:
    build = begin(ledger, hourly, span(0, 2), "dag/one")
    with ledger.transaction() as session:
        if end == "finish":
            builds.finish(session, build.id, 42, [Written(START, 3, "3:a", None)])
        else:
            getattr(builds, end)(session, build.id, "reason")
    begin(ledger, hourly, span(0, 2), "dag/two")
    with ledger.transaction() as session:
        ended = builds.get(session, build.id)
        assert ended.state == {"finish": "built"}.get(end, end)
        assert ended.finished_at is not None
        assert ended.error == (None if end == "finish" else "reason")


def test_a_build_s_begin_pins_and_partitions_stay_in_the_ledger(ledger: Ledger, hourly: Table) -> None:
    build = begin(ledger, hourly, span(0, 2), "dag/one")
    with ledger.transaction() as session:
        builds.pin(session, build.id, {"a.x": 7, "a.y": None})
        builds.finish(
            session, build.id, 42, [Written(START, 3, "3:a", {START: 3}), Written(START + hours(1), 0, "0", {})]
        )
    with ledger.transaction() as session:
        found = builds.get(session, build.id)
        written = builds.written(session, build.id)
    assert (found.pins, found.snapshot_id, found.identity) == ({"a.x": 7, "a.y": None}, 42, "code")
    assert {p: (w.rows, w.digest, w.touches) for p, w in written.items()} == {
        START: (3, "3:a", {START.isoformat(): 3}),
        START + hours(1): (0, "0", {}),
    }
    with pytest.raises(LookupError, match="knows no build nothing"), ledger.transaction() as session:
        builds.get(session, "nothing")
