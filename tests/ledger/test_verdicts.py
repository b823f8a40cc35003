"""Rule 4: what may be published needs a passing verdict for that very snapshot, or a person's accept."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from feedmill.ledger import builds, verdicts
from feedmill.ledger.builds import Written
from feedmill.ledger.models import Acceptance, Build, Verdict
from feedmill.ledger.store import Ledger
from feedmill.spec import Table
from feedmill.timeline import HOUR, Range, hours

pytestmark = pytest.mark.rule(4)

START = datetime(2026, 5, 1, tzinfo=UTC)
NEXT = START + hours(1)


@pytest.fixture
def built(ledger: Ledger, hourly: Table) -> Build:
    """A build of two hours with snapshot 42."""
    with ledger.transaction() as session:
        build = builds.begin(session, hourly, Range(START, START + hours(2), HOUR), "dag/run", "code")
    with ledger.transaction() as session:
        builds.finish(session, build.id, 42, [Written(START, 3, "a", None), Written(NEXT, 3, "b", None)])
    with ledger.transaction() as session:
        return builds.get(session, build.id)


def judge(ledger: Ledger, build: Build, first: bool, second: bool) -> None:
    with ledger.transaction() as session:
        verdicts.record(session, build, [(START, first, []), (NEXT, second, [])], "suite")


def publishable(ledger: Ledger, build: Build) -> set[datetime]:
    with ledger.transaction() as session:
        return verdicts.publishable(session, build)


def accept(ledger: Ledger, build: Build, partition: datetime, name: str = "Ada", reason: str = "as sold") -> None:
    with ledger.transaction() as session:
        verdicts.accept(session, build, partition, name, reason)


def test_verdicts_are_per_partition(ledger: Ledger, built: Build) -> None:
    assert publishable(ledger, built) == set()
    judge(ledger, built, True, False)
    assert publishable(ledger, built) == {START}


def test_a_verdict_for_another_snapshot_lets_nothing_through(ledger: Ledger, built: Build) -> None:
    judge(ledger, built, True, True)
    with ledger.transaction() as session:
        builds.get(session, built.id).snapshot_id = 43
    with ledger.transaction() as session:
        assert verdicts.publishable(session, builds.get(session, built.id)) == set()


def test_an_accept_for_another_snapshot_lets_nothing_through(ledger: Ledger, built: Build) -> None:
    judge(ledger, built, False, False)
    accept(ledger, built, START)
    assert publishable(ledger, built) == {START}
    with ledger.transaction() as session:
        builds.get(session, built.id).snapshot_id = 43
    with ledger.transaction() as session:
        assert verdicts.publishable(session, builds.get(session, built.id)) == set()


def test_a_newer_check_replaces_the_older_one_with_its_time(ledger: Ledger, built: Build) -> None:
    judge(ledger, built, True, False)
    with ledger.transaction() as session:
        before = session.get_one(Verdict, (built.id, START)).judged_at
    judge(ledger, built, False, True)
    assert publishable(ledger, built) == {NEXT}
    with ledger.transaction() as session:
        assert session.get_one(Verdict, (built.id, START)).judged_at > before


@pytest.mark.parametrize(("name", "reason"), [("", "as sold"), ("Ada", ""), (" ", "as sold"), ("Ada", "\n")])
def test_an_accept_needs_a_name_and_a_reason(ledger: Ledger, built: Build, name: str, reason: str) -> None:
    judge(ledger, built, False, True)
    with pytest.raises(ValueError, match="needs a name and a reason"):
        accept(ledger, built, START, name, reason)
    assert publishable(ledger, built) == {NEXT}


def test_an_accept_needs_a_failed_verdict(ledger: Ledger, built: Build) -> None:
    with pytest.raises(ValueError, match="was never checked"):
        accept(ledger, built, START)
    judge(ledger, built, True, False)
    with pytest.raises(ValueError, match="there is nothing to accept"):
        accept(ledger, built, START)


def test_an_accept_stays_in_the_ledger_with_name_reason_and_time(ledger: Ledger, built: Build) -> None:
    judge(ledger, built, False, False)
    accept(ledger, built, NEXT, " Ada ", " the feed was off ")
    assert publishable(ledger, built) == {NEXT}
    with ledger.transaction() as session:
        row = session.get_one(Acceptance, (built.id, NEXT))
        assert (row.name, row.reason, row.snapshot_id) == ("Ada", "the feed was off", 42)
        assert row.accepted_at is not None
