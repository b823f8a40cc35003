"""Rule 3 to 5 on real Iceberg and PostgreSQL: what is published, by whom, however often and whatever dies."""

from __future__ import annotations

import json
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from builds import Workshop, each, seen
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyiceberg.exceptions import CommitStateUnknownException
from sqlalchemy import select

from feedmill.deployment import Deployment
from feedmill.flow import publish as publisher
from feedmill.flow.check import NothingToCheckError, check
from feedmill.flow.publish import LedgerBehindError, NothingToPublishError, publish, reconcile
from feedmill.lake.catalog import Lake
from feedmill.ledger import publishes
from feedmill.ledger.models import Build, Partition, Publish
from feedmill.ledger.store import Ledger, lock_counter
from feedmill.spec import Map
from feedmill.timeline import HOUR, Range, hours

pytestmark = pytest.mark.rule(3, 4, 5)

START = datetime(2026, 5, 1, tzinfo=UTC)
NEXT = START + hours(1)
TWO = Range(START, START + hours(2), HOUR)
ONE = Range.one(START, HOUR)


@pytest.fixture
def shop(lake: Lake, ledger: Ledger, tmp_path: Path) -> Workshop:
    """An hourly table that nothing was published to."""
    return Workshop(lake, ledger, tmp_path)


class Crash(BaseException):
    """The process dies here."""


def agree(shop: Workshop) -> None:
    """The ledger's partitions are Iceberg's: the same build's rows, and as many."""
    recorded = shop.recorded()
    main = shop.main()
    assert {p: rows for p, (_, rows) in recorded.items() if rows} == {p: rows for p, (rows, _) in main.items()}
    assert shop.intents() == []
    with shop.ledger.transaction() as session:
        known = set(session.scalars(select(Publish.build_id).where(Publish.table_name == shop.table.name)))
    assert set(shop.commits()) == known


def test_a_long_range_replaces_the_hours_that_were_published_one_by_one(
    shop: Workshop, request: pytest.FixtureRequest
) -> None:
    """Each of them has a manifest of its own, and threads look for the replaced files in all of them at once."""
    span = Range(START, START + hours(40), HOUR)
    for partition in span.partitions():
        shop.publish(shop.build(Range.one(partition, HOUR), {partition: 1}, 1))
    build = shop.build(span, each(span, 2), 2)
    request.addfinalizer(partial(sys.setswitchinterval, sys.getswitchinterval()))
    sys.setswitchinterval(1e-6)
    shop.publish(build)
    assert shop.main() == dict.fromkeys(span.partitions(), (2, 2))
    agree(shop)


def test_exactly_the_partitions_that_passed_are_published_and_the_branch_of_the_held_stays(shop: Workshop) -> None:
    build = shop.build(TWO, each(TWO, 4), 1, passed={NEXT})
    assert shop.main() == {}, "a build is not on main before it is published"
    outcome = shop.publish(build)
    assert (outcome.published, outcome.held) == ([NEXT], [START])
    assert shop.main() == {NEXT: (4, 1)}
    assert shop.recorded() == {NEXT: (build, 4)}
    assert shop.has_branch(build), "somebody will want to look at the failing rows"
    assert "1 published; 1 held: 2026-05-01T00" in outcome.describe(HOUR)
    shop.accept(build, START)
    outcome = shop.publish(build)
    assert (outcome.published, outcome.held) == ([START, NEXT], [])
    assert shop.main() == {START: (4, 1), NEXT: (4, 1)}
    assert not shop.has_branch(build)
    agree(shop)


def test_partitions_beside_the_range_keep_their_rows(shop: Workshop) -> None:
    shop.publish(shop.build(TWO, each(TWO, 4), 1))
    shop.publish(shop.build(ONE, each(ONE, 3), 2))
    assert shop.main() == {START: (3, 2), NEXT: (4, 1)}
    agree(shop)


def test_publishing_twice_is_harmless(shop: Workshop) -> None:
    build = shop.build(TWO, each(TWO, 4), 1)
    first = shop.publish(build)
    snapshots = len(shop.lake.load(shop.table).metadata.snapshots)
    again = shop.publish(build)
    assert again.published == first.published == [START, NEXT]
    assert shop.main() == {START: (4, 1), NEXT: (4, 1)}
    assert len(shop.lake.load(shop.table).metadata.snapshots) == snapshots
    assert shop.commits() == [build]


@pytest.mark.parametrize("newest_first", [True, False])
def test_of_two_builds_of_one_range_the_one_that_began_last_stands_whatever_finishes_last(
    shop: Workshop, newest_first: bool
) -> None:
    older = shop.build(TWO, each(TWO, 4), 1)
    newer = shop.build(ONE, each(ONE, 3), 2)
    outcomes = {build: shop.publish(build) for build in ((newer, older) if newest_first else (older, newer))}
    assert shop.main() == {START: (3, 2), NEXT: (4, 1)}
    assert shop.recorded() == {START: (newer, 3), NEXT: (older, 4)}
    assert outcomes[older].superseded == ([START] if newest_first else [])
    assert START not in outcomes[older].published or not newest_first
    assert outcomes[newer].published == [START]
    # And whoever publishes once more changes nothing.
    assert shop.publish(older).superseded == [START]
    assert shop.publish(newer).published == [START]
    assert shop.main() == {START: (3, 2), NEXT: (4, 1)}
    agree(shop)


def test_what_was_held_is_superseded_once_a_later_build_is_published(shop: Workshop) -> None:
    older = shop.build(TWO, each(TWO, 4), 1, passed={NEXT})
    assert shop.publish(older).held == [START]
    newer = shop.build(ONE, each(ONE, 3), 2)
    assert shop.publish(older).held == [START], "a later build that is not published helps no reader"
    shop.publish(newer)
    outcome = shop.publish(older)
    assert (outcome.published, outcome.superseded, outcome.held) == ([NEXT], [START], [])
    assert not shop.has_branch(older), "nobody needs to look at its rows any more"
    assert shop.main() == {START: (3, 2), NEXT: (4, 1)}
    agree(shop)


def test_who_is_current_is_known_when_upkeep_has_expired_the_commits(shop: Workshop) -> None:
    older = shop.build(TWO, each(TWO, 4), 1)
    newer = shop.build(ONE, each(ONE, 3), 2)
    shop.publish(newer)
    iceberg = shop.lake.load(shop.table)
    with iceberg.transaction() as transaction, transaction.update_snapshot().fast_append():
        pass  # as a rewrite of files would leave it: a head that no build made
    expired = shop.lake.load(shop.table)
    gone = expired.metadata.snapshot_by_name("main")
    assert gone is not None
    assert gone.parent_snapshot_id is not None
    expired.maintenance.expire_snapshots().by_id(gone.parent_snapshot_id).commit()
    assert shop.commits() == []
    outcome = shop.publish(older)
    assert (outcome.published, outcome.superseded) == ([NEXT], [START])
    assert shop.main() == {START: (3, 2), NEXT: (4, 1)}


def test_without_the_lock_too_an_attempt_that_meets_a_newer_build_gives_way(shop: Workshop) -> None:
    """The lock's connection may die with its server while the publisher lives on: every attempt compares anew."""
    older = shop.build(TWO, each(TWO, 4), 1)
    newer = shop.build(ONE, each(ONE, 3), 2)

    class Unlocked(Ledger):
        def table_lock(self, table_name: str) -> Any:
            return nullcontext()

    unlocked = Unlocked(shop.ledger.url)

    class Interrupted(Lake):
        def files(self, *arguments: Any) -> Any:
            if not done:
                done.append(publish(shop.table, newer, unlocked, shop.lake))
            return super().files(*arguments)

    done: list[object] = []
    slow = Interrupted(shop.lake.properties, shop.lake.landing, shop.lake.pages, shop.lake.project)
    outcome = publish(shop.table, older, unlocked, slow)
    unlocked.engine.dispose()
    slow.catalog.close()
    assert (outcome.published, outcome.superseded) == ([NEXT], [START])
    assert shop.main() == {START: (3, 2), NEXT: (4, 1)}
    assert shop.recorded() == {START: (newer, 3), NEXT: (older, 4)}
    agree(shop)


def test_an_empty_partition_replaces_the_rows_of_a_fuller_one(shop: Workshop) -> None:
    shop.publish(shop.build(TWO, each(TWO, 4), 1))
    empty = shop.build(ONE, {}, 2)
    assert shop.publish(empty).published == [START]
    assert shop.main() == {NEXT: (4, 1)}
    assert shop.recorded()[START] == (empty, 0)
    agree(shop)


def test_the_first_publish_of_all_may_be_empty(shop: Workshop) -> None:
    build = shop.build(ONE, {}, 1)
    assert shop.publish(build).published == [START]
    assert shop.publish(build).published == [START]
    assert shop.recorded() == {START: (build, 0)}
    assert shop.commits() == [build], "the commit stands in Iceberg too, so that a lost ledger can be rebuilt"


def test_equal_rows_are_published_as_unchanged(shop: Workshop) -> None:
    shop.publish(shop.build(TWO, each(TWO, 4), 1))
    with shop.ledger.transaction() as session:
        numbers = {row.partition: row.number for row in session.scalars(select(Partition))}
    outcome = shop.publish(shop.build(TWO, {START: 4, NEXT: 3}, 1))
    assert (outcome.published, outcome.unchanged) == ([START, NEXT], [START])
    with shop.ledger.transaction() as session:
        now = {row.partition: row.number for row in session.scalars(select(Partition))}
    assert now[START] == numbers[START]
    assert now[NEXT] > numbers[NEXT]


def test_a_check_marked_as_success_publishes_nothing(shop: Workshop) -> None:
    build = shop.begin(ONE)
    shop.finish(build, ONE, shop.write(build.id, ONE, each(ONE, 4), 1), each(ONE, 4), 1)
    with pytest.raises(NothingToPublishError, match=r"demo\.hourly: build .* was never checked.*clear `check`"):
        shop.publish(build.id)
    assert (shop.main(), shop.recorded()) == ({}, {})


def test_a_build_marked_as_success_publishes_nothing(shop: Workshop) -> None:
    build = shop.begin(ONE)
    shop.judge(build.id, True, snapshot_id=shop.write(build.id, ONE, each(ONE, 4), 1))
    with pytest.raises(NothingToPublishError, match="is running; clear `build`"):
        shop.publish(build.id)
    with pytest.raises(LookupError, match="knows no build"):
        shop.publish("nothing")
    assert (shop.main(), shop.recorded()) == ({}, {})


def test_a_verdict_for_another_snapshot_publishes_nothing(shop: Workshop) -> None:
    build = shop.begin(ONE)
    shop.finish(build, ONE, shop.write(build.id, ONE, each(ONE, 4), 1), each(ONE, 4), 1)
    shop.judge(build.id, True, snapshot_id=4711)
    assert shop.publish(build.id).held == [START]
    assert (shop.main(), shop.recorded()) == ({}, {})


def test_what_is_published_is_what_was_judged_even_when_the_branch_has_moved_since(shop: Workshop) -> None:
    build = shop.build(ONE, each(ONE, 4), 1)
    iceberg = shop.lake.load(shop.table)
    other = shop.begin(ONE)
    shop.write(other.id, ONE, each(ONE, 9), 9)
    head = shop.lake.branch_head(shop.table, other.id)
    assert head is not None
    iceberg = shop.lake.load(shop.table)
    iceberg.manage_snapshots().remove_branch(f"build_{build}").commit()
    shop.lake.load(shop.table).manage_snapshots().create_branch(head, f"build_{build}").commit()
    shop.publish(build)
    assert shop.main() == {START: (4, 1)}


def test_a_build_of_another_epoch_is_refused(shop: Workshop) -> None:
    build = shop.build(ONE, each(ONE, 4), 1)
    with shop.ledger.transaction() as session:
        lock_counter(session).epoch = 2
    with pytest.raises(NothingToPublishError, match="is of epoch 1, the ledger's is 2; build again"):
        shop.publish(build)
    assert shop.main() == {}


def test_the_commit_tells_all_that_the_ledger_would_need_to_be_rebuilt(shop: Workshop) -> None:
    build = shop.build(TWO, {START: 4}, 1)
    shop.publish(build)
    head = shop.lake.load(shop.table).metadata.snapshot_by_name("main")
    assert head is not None
    assert head.summary is not None
    facts = head.summary.additional_properties
    assert facts["feedmill.build-id"] == build
    assert facts["feedmill.begin"] == "1"
    assert facts["feedmill.epoch"] == "1"
    assert facts["feedmill.identity"] == "code"
    assert facts["feedmill.range"] == "2026-05-01T00:00:00+00:00/2026-05-01T02:00:00+00:00"
    assert facts.keys() >= {"feedmill.inputs", "feedmill.partitions", "feedmill.owner"}
    # A ledger that has never known this build is no ledger to publish with; tests/test_rebuild.py brings it back.
    with shop.ledger.transaction() as session:
        for row in (*session.scalars(select(Partition)), *session.scalars(select(Publish))):
            session.delete(row)
        session.flush()
        session.delete(session.get_one(Build, build))
    with shop.ledger.table_lock(shop.table.name), pytest.raises(LedgerBehindError, match="feedmill ledger rebuild"):
        reconcile(shop.table, shop.ledger, shop.lake)


def forget(shop: Workshop, build_id: str) -> None:
    """Drop the build's branch and expire its snapshot, as upkeep does in time."""
    publisher.drop_branch(shop.table, build_id, shop.lake)
    with shop.ledger.transaction() as session:
        snapshot_id = session.get_one(Build, build_id).snapshot_id
    assert snapshot_id is not None
    shop.lake.load(shop.table).maintenance.expire_snapshots().by_id(snapshot_id).commit()


def test_a_branch_is_dropped_though_other_commits_come_before(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    build_id = shop.build(ONE, {START: 1}, 1)
    head = shop.lake.branch_head(shop.table, build_id)
    assert head is not None
    stage, others = shop.lake.catalog._update_and_stage_table, []  # type: ignore[attr-defined]

    def overtaken(*arguments: Any) -> Any:
        staged = stage(*arguments)
        if len(others) < 2:
            others.append(f"other_{len(others)}")
            with shop.another_process() as other:
                other.load(shop.table).manage_snapshots().create_branch(head, others[-1]).commit()
        return staged

    monkeypatch.setattr(shop.lake.catalog, "_update_and_stage_table", overtaken)
    publisher.drop_branch(shop.table, build_id, shop.lake)
    refs = shop.lake.load(shop.table).metadata.refs
    assert refs.keys() >= {"other_0", "other_1"}
    assert f"build_{build_id}" not in refs, "else it stays for a week"


def test_an_old_build_whose_branch_is_gone_is_not_checked_again_and_says_so(shop: Workshop) -> None:
    suite = shop.lake.project / shop.table.suite_path
    suite.parent.mkdir(parents=True)
    rule = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "item"}, "severity": "critical"}
    suite.write_text(json.dumps({"name": shop.table.name, "expectations": [rule | {"meta": {"notes": "Look."}}]}))
    build = shop.build(ONE, each(ONE, 4), 1)
    shop.publish(build)
    forget(shop, build)
    here = Deployment(shop.lake.project, Map([shop.table]), {}, shop.ledger, shop.lake)
    with pytest.raises(NothingToCheckError, match=rf"the branch of build {build} was dropped, .*; clear `build`"):
        check(shop.table, build, here)
    assert shop.publish(build).published == [START], "what is published stays so"


def test_publishes_at_once_leave_each_row_once(shop: Workshop) -> None:
    ranges = [Range(START + hours(2 * n), START + hours(2 * n + 2), HOUR) for n in range(4)]
    older = [shop.build(span, each(span, 4), 1) for span in ranges]
    newer = [shop.build(span, each(span, 3), 2) for span in ranges[:2]]
    # Every build twice at once, from eight threads with a catalog each.
    work = [build for build in (*older, *newer) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool, ExitStack() as opened:
        lakes = [opened.enter_context(shop.another_process()) for _ in range(8)]
        outcomes = list(pool.map(lambda n: publish(shop.table, work[n], shop.ledger, lakes[n % 8]), range(len(work))))
    assert all(outcome.held == [] for outcome in outcomes)
    expected = {p: (3, 2) if n < 2 else (4, 1) for n, span in enumerate(ranges) for p in span.partitions()}
    assert shop.main() == expected
    commits = shop.commits()
    assert len(commits) == len(set(commits)), "no build is committed twice"
    assert {p: build for p, (build, _) in shop.recorded().items()} == {
        p: (newer[n] if n < 2 else older[n]) for n, span in enumerate(ranges) for p in span.partitions()
    }
    agree(shop)


def test_publishes_meet_builds_that_commit_to_their_branches(shop: Workshop) -> None:
    """Spark commits to branches of the same table all the time; each costs a publish an attempt and nothing else."""
    spans = [Range.one(START + hours(n), HOUR) for n in range(4)]
    ready = [shop.build(span, each(span, 4), 1) for span in spans]
    stop = threading.Event()
    written: list[int] = []

    def keep_writing() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            written.append(shop.write(f"noise{number}", ONE, {}, 9))

    def quietly() -> None:
        while not stop.is_set():
            try:
                keep_writing()
            except Exception as error:
                refusals.append(error)

    refusals: list[Exception] = []
    thread = threading.Thread(target=quietly)
    thread.start()
    try:
        for build in ready:
            shop.publish(build)
    finally:
        stop.set()
        thread.join(30)
    assert written or refusals, "nothing came between"
    assert shop.main() == {span.start: (4, 1) for span in spans}
    agree(shop)


# Each publish costs some 5 ms more than the one before it, for the manifest that it adds: 100 take half a minute.
@pytest.mark.parametrize("count", [40, pytest.param(100, marks=pytest.mark.slow)])
def test_a_reader_never_sees_a_part_of_an_hour_while_publishes_go_on(shop: Workshop, count: int) -> None:
    counts = {1: 40, 2: 70}
    snapshots = {v: shop.write(f"v{v}", ONE, each(ONE, n), v) for v, n in counts.items()}

    def ready(number: int) -> str:
        version = 1 + number % 2
        build = shop.begin(ONE)
        shop.finish(build, ONE, snapshots[version], each(ONE, counts[version]), version)
        shop.judge(build.id, True)
        return build.id

    stop = threading.Event()
    views: list[dict[datetime, tuple[int, int]]] = []
    errors: list[BaseException] = []

    def read() -> None:
        with shop.another_process() as reader:
            while not stop.is_set():
                try:
                    views.append(seen(reader.load(shop.table).scan().to_arrow()))
                except BaseException as error:
                    errors.append(error)
                    return

    shop.publish(ready(0))
    thread = threading.Thread(target=read)
    thread.start()
    try:
        for number in range(1, count):
            shop.publish(ready(number))
    finally:
        stop.set()
        thread.join(30)
    assert errors == []
    assert {view.get(START) for view in views} == {(40, 1), (70, 2)}
    assert len(views) > 5
    assert len(shop.commits()) == count


BEFORE = {"before the intent": (publishes, "write_intent"), "after the intent": (publisher, "_commit")}
UNRECORDED = "before the ledger's rows"
AFTER = {UNRECORDED: (publishes, "record"), "before the branch is dropped": (publisher, "drop_branch")}


@contextmanager
def crash(point: str | None) -> Iterator[None]:
    """The process dies at that point, if it comes there."""
    if point is None:
        yield
        return
    module, name = {**BEFORE, **AFTER}[point]
    original: Callable[..., object] = getattr(module, name)

    def die(*_: object, **__: object) -> object:
        raise Crash

    setattr(module, name, die)
    try:
        yield
    except Crash:
        pass
    finally:
        setattr(module, name, original)


@pytest.mark.parametrize("point", [*BEFORE, *AFTER])
def test_wherever_a_publish_dies_the_next_try_ends_with_the_right_rows(shop: Workshop, point: str) -> None:
    shop.publish(shop.build(ONE, each(ONE, 9), 1))
    build = shop.build(TWO, each(TWO, 4), 2)
    with crash(point):
        shop.publish(build)
    assert shop.main() == ({START: (9, 1)} if point in BEFORE else {START: (4, 2), NEXT: (4, 2)})
    assert shop.publish(build).published == [START, NEXT]
    assert shop.main() == {START: (4, 2), NEXT: (4, 2)}
    assert shop.commits().count(build) == 1
    assert not shop.has_branch(build)
    agree(shop)


@pytest.mark.parametrize("point", [*BEFORE, *AFTER])
def test_wherever_a_publish_dies_another_build_s_publish_first_records_what_it_left(shop: Workshop, point: str) -> None:
    dead = shop.build(TWO, each(TWO, 4), 1)
    other = shop.build(ONE, each(ONE, 3), 2)
    with crash(point):
        shop.publish(dead)
    shop.publish(other)
    assert shop.main() == {START: (3, 2)} | ({NEXT: (4, 1)} if point in AFTER else {})
    assert shop.recorded() == {START: (other, 3)} | ({NEXT: (dead, 4)} if point in AFTER else {})
    agree(shop)


def test_a_commit_whose_answer_was_lost_is_found_again_and_not_repeated(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = shop.build(TWO, each(TWO, 4), 1)
    catalog = type(shop.lake.catalog)
    original = catalog.commit_table
    lost: list[str] = []

    def commit_and_forget(self: Any, *arguments: Any) -> Any:
        result = original(self, *arguments)
        if not lost:
            lost.append(build)
            raise CommitStateUnknownException("the server went away")
        return result

    monkeypatch.setattr(catalog, "commit_table", commit_and_forget)
    assert shop.publish(build).published == [START, NEXT]
    assert lost
    assert shop.commits() == [build]
    assert shop.main() == {START: (4, 1), NEXT: (4, 1)}
    agree(shop)


def test_an_error_that_no_retry_can_heal_is_not_retried(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    build = shop.build(ONE, each(ONE, 4), 1)
    calls: list[int] = []

    def refuse(self: Any, *arguments: Any) -> Any:
        calls.append(1)
        raise ValueError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(type(shop.lake.catalog), "commit_table", refuse)
        with pytest.raises(ValueError, match="a bug"):
            shop.publish(build)
    assert len(calls) == 1
    assert shop.publish(build).published == [START]
    agree(shop)


@pytest.mark.parametrize("dead_began_first", [True, False])
def test_a_commit_beneath_anothers_is_recorded_though_its_publisher_lost_the_lock_and_died(
    shop: Workshop, dead_began_first: bool
) -> None:
    """A loses its lock's connection, B takes the lock and reconciles; A commits, B commits; A dies, and B records."""

    def late() -> str:
        return shop.build(Range(NEXT, NEXT + hours(2), HOUR), each(Range(NEXT, NEXT + hours(2), HOUR), 3), 2)

    shop.publish(shop.build(Range(START, START + hours(4), HOUR), {START: 9}, 0))
    other = None if dead_began_first else late()
    dead = shop.build(TWO, each(TWO, 4), 1)
    other = other or late()

    class Unlocked(Ledger):
        def table_lock(self, table_name: str) -> Any:
            return nullcontext()

    unlocked = Unlocked(shop.ledger.url)
    done: list[bool] = []

    class Interrupted(Lake):
        def files(self, *arguments: Any) -> Any:
            if not done:
                done.append(True)
                with crash(UNRECORDED):
                    publish(shop.table, dead, unlocked, shop.lake)
            return super().files(*arguments)

    slow = Interrupted(shop.lake.properties, shop.lake.landing, shop.lake.pages, shop.lake.project)
    publish(shop.table, other, shop.ledger, slow)
    slow.catalog.close()
    unlocked.engine.dispose()
    assert shop.commits()[-2:] == [dead, other]
    both = (other, 3) if dead_began_first else (dead, 4)
    expected = {START: (dead, 4), NEXT: both, START + hours(2): (other, 3)}
    assert {p: found for p, found in shop.recorded().items() if p in expected} == expected
    agree(shop)
    with shop.ledger.table_lock(shop.table.name):
        assert reconcile(shop.table, shop.ledger, shop.lake) == [], "and is not recorded again and again"
    agree(shop)


def test_two_who_record_at_once_without_the_lock_leave_the_newest_begin(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, wait_for_locks: Callable[[Any, int], None]
) -> None:
    older, newer = (shop.build(ONE, each(ONE, n), n) for n in (1, 2))

    class Unlocked(Ledger):
        def table_lock(self, table_name: str) -> Any:
            return nullcontext()

    unlocked, take_number = Unlocked(shop.ledger.url), publishes.next_number
    meanwhile: list[Future[object]] = []
    with ThreadPoolExecutor(1) as pool, shop.another_process() as other:

        def overtaken(session: Any) -> int:
            # The older build's publisher has looked who is current, and is about to write that it is.
            if not meanwhile:
                meanwhile.append(pool.submit(publish, shop.table, newer, unlocked, other))
                wait_for_locks(shop.ledger.engine, 1)
            return take_number(session)

        monkeypatch.setattr(publishes, "next_number", overtaken)
        publish(shop.table, older, unlocked, shop.lake)
        meanwhile[0].result()
    unlocked.engine.dispose()
    assert shop.recorded() == {START: (newer, 2)}
    agree(shop)


SPANS = [Range(START, START + hours(2), HOUR), Range(NEXT, NEXT + hours(2), HOUR), Range(START, START + hours(3), HOUR)]
POINTS = st.sampled_from([None, None, *BEFORE, *AFTER])
BUILD = st.tuples(
    st.just("build"), st.sampled_from(SPANS), st.integers(0, 3), st.sets(st.integers(0, 2)) | st.just({0, 1, 2})
)
PUBLISH = st.tuples(st.just("publish"), st.integers(0, 3), POINTS)
ACCEPT = st.tuples(st.just("accept"), st.integers(0, 3), st.integers(0, 2))
STEPS = st.tuples(
    st.lists(BUILD, min_size=1, max_size=3), st.lists(BUILD | PUBLISH | PUBLISH | ACCEPT, min_size=2, max_size=6)
).map(lambda both: both[0] + both[1])


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
@example(
    [
        ("build", SPANS[0], 0, {0, 1}),
        ("build", SPANS[0], 1, {0}),
        ("publish", 0, UNRECORDED),
        ("publish", 1, UNRECORDED),
        ("publish", 1, None),
    ]
)
def test_after_any_sequence_the_newest_begin_that_was_published_stands(
    lake: Lake, ledger: Ledger, tmp_path: Path, steps: list[tuple[Any, ...]]
) -> None:
    shop = Workshop(lake, ledger, tmp_path, f"demo.t{uuid.uuid4().hex[:8]}")
    made: list[tuple[str, dict[datetime, int], set[datetime]]] = []
    current: dict[datetime, int] = {}
    left_open = False  # main has a commit that the ledger lacks
    for step in steps:
        match step:
            case ("build", span, rows, passing):
                passed = {START + hours(n) for n in passing} & set(span.partitions())
                made.append((shop.build(span, each(span, rows), len(made), passed), each(span, rows), passed))
            case ("publish", index, point):
                index %= len(made)
                build, rows, passed = made[index]
                moves = any(current.get(partition, -1) < index for partition in passed)
                newer = {partition for partition in rows if current.get(partition, -1) > index}
                with crash(point):
                    outcome = shop.publish(build)
                    assert set(outcome.superseded) == newer
                    assert set(outcome.held) == rows.keys() - passed - newer
                    assert set(outcome.published) == passed - newer
                # Else it died while it recorded what the one before had left, and moved nothing itself.
                if not (left_open and point == UNRECORDED):
                    left_open = moves and point == UNRECORDED
                    if point not in BEFORE:
                        for partition in passed:
                            current[partition] = max(current.get(partition, -1), index)
            case ("accept", index, hour):
                index %= len(made)
                build, rows, passed = made[index]
                partition = START + hours(hour)
                if partition in rows.keys() - passed:
                    shop.accept(build, partition)
                    passed.add(partition)
        expected = {p: (made[index][1][p], index) for p, index in current.items() if made[index][1][p]}
        assert shop.main() == expected
    with ledger.table_lock(shop.table.name):
        reconcile(shop.table, ledger, shop.lake)
    assert shop.recorded() == {p: (made[index][0], made[index][1][p]) for p, index in current.items()}
    agree(shop)
