"""Housekeeping on real Iceberg, Spark and PostgreSQL: each step does what it says once, and no row is lost by it."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from builds import Workshop, each
from sqlalchemy import select, update

from feedmill.deployment import Deployment
from feedmill.flow.publish import NothingToPublishError
from feedmill.freshness import load as facts
from feedmill.housekeeping import branches, retention, upkeep
from feedmill.housekeeping.house import keep_house
from feedmill.lake.catalog import Lake, branch_name
from feedmill.ledger import builds
from feedmill.ledger.models import Claim, Partition, Touch
from feedmill.ledger.store import Ledger
from feedmill.spec import Input, Map, Table
from feedmill.timeline import HOUR, Range, days, hours

START = datetime(2026, 5, 1, tzinfo=UTC)
FOUR = Range(START, START + hours(4), HOUR)
TWO = Range(START, START + hours(2), HOUR)
PAST_TWO = START + hours(2) + days(90)
"""When the first two of the hours have passed their retention."""


class Crash(BaseException):
    """The process dies here."""


@pytest.fixture
def shop(lake: Lake, ledger: Ledger, tmp_path: Path) -> Workshop:
    """An hourly table that nothing was published to, in a folder that no other test has written to."""
    return Workshop(lake, ledger, tmp_path, f"demo.hourly_{uuid.uuid4().hex[:8]}")


@pytest.fixture
def here(shop: Workshop) -> Deployment:
    """The table, and one that reads it hour by hour."""
    reader = Table("demo.reader", HOUR, [Input(shop.table)], shop.table.maintainer, 2, days(400))
    touching = Table("demo.touching", HOUR, [Input(shop.table, by="touches")], shop.table.maintainer, 2, days(400))
    return Deployment(shop.lake.project, Map([shop.table, reader, touching]), {}, shop.ledger, shop.lake)


def later(**by: int) -> datetime:
    """Now is so many days and hours later: what was just done is old."""
    return datetime.now(UTC) + days(by.get("days", 0)) + hours(by.get("hours", 0))


def expired(shop: Workshop) -> list[datetime]:
    with shop.ledger.transaction() as session:
        query = select(Partition.partition).where(Partition.expired_at.is_not(None)).order_by(Partition.partition)
        return list(session.scalars(query))


def snapshots(shop: Workshop) -> set[int]:
    return {s.snapshot_id for s in shop.lake.load(shop.table).metadata.snapshots}


def files_of(shop: Workshop) -> dict[str, Path]:
    """The table's data and metadata files on disk, by name."""
    root = Path(shop.lake.load(shop.table).metadata.location.removeprefix("file://"))
    return {path.name: path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")}


def fragment(shop: Workshop, span: Range, version: int = 1, files: int = 6) -> str:
    """Publish the range with every partition in several small files."""
    build = shop.begin(span)
    rows = each(span, files)
    snapshot = shop.write(build.id, span, rows, version, files)
    shop.finish(build, span, snapshot, rows, version)
    shop.judge(build.id, True)
    shop.publish(build.id)
    return build.id


# Retention


@pytest.mark.rule(8)
def test_what_has_passed_its_retention_leaves_ledger_and_main_and_the_rest_stays(
    shop: Workshop, here: Deployment
) -> None:
    shop.publish(shop.build(FOUR, each(FOUR, 4), 1))
    assert retention.expire(shop.table, here, PAST_TWO - hours(2)) == "nothing has passed its retention"
    said = retention.expire(shop.table, here, PAST_TWO)
    assert said.startswith("2 partitions expired (2026-05-01T00 to 2026-05-01T02); the 4 files of 2 removed from main")
    assert shop.main() == {START + hours(2): (4, 1), START + hours(3): (4, 1)}
    assert expired(shop) == [START, START + hours(1)]
    head = shop.lake.load(shop.table).metadata.snapshot_by_name("main")
    assert head is not None
    assert head.summary is not None
    said_there = json.loads(head.summary.additional_properties["feedmill.expired"])
    assert [datetime.fromisoformat(p) for p in said_there] == expired(shop)
    before = snapshots(shop)
    assert retention.expire(shop.table, here, PAST_TWO) == "nothing has passed its retention"
    assert snapshots(shop) == before


@pytest.mark.rule(8)
def test_killed_between_ledger_and_iceberg_the_next_run_removes_the_rows(
    shop: Workshop, here: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.publish(shop.build(FOUR, each(FOUR, 4), 1))

    def die(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(retention, "_remove", die)
        with pytest.raises(Crash):
            retention.expire(shop.table, here, PAST_TWO)
    assert expired(shop) == [START, START + hours(1)], "the ledger comes first"
    assert len(shop.main()) == 4
    said = retention.expire(shop.table, here, PAST_TWO)
    assert said == "0 partitions expired; the 4 files of 2 removed from main"
    assert sorted(shop.main()) == [START + hours(2), START + hours(3)]


def test_a_commit_that_came_first_is_looked_at_and_retention_tries_again(
    shop: Workshop, here: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.publish(shop.build(FOUR, each(FOUR, 4), 1))
    asked = retention._expired
    calls: list[int] = []

    def meanwhile(table: Table, ledger: Ledger) -> set[datetime]:
        calls.append(1)
        if len(calls) == 1:  # after the table was loaded: somebody forks a branch from main
            shop.build(Range.one(START + hours(3), HOUR), {START + hours(3): 2}, 2)
        return asked(table, ledger)

    monkeypatch.setattr(retention, "_expired", meanwhile)
    retention.expire(shop.table, here, PAST_TWO)
    assert len(calls) == 2
    assert sorted(shop.main()) == [START + hours(2), START + hours(3)]


def test_what_a_living_build_has_claimed_or_reads_is_spared_until_it_has_ended(
    shop: Workshop, here: Deployment
) -> None:
    shop.publish(shop.build(FOUR, each(FOUR, 4), 1))
    reader = here.tables["demo.reader"]
    first, second = Range.one(START, HOUR), Range.one(START + hours(1), HOUR)
    with shop.ledger.transaction() as session:
        reading = builds.begin(session, reader, first, "test/reader", "code").id
        mine = builds.begin(session, shop.table, second, "test/mine", "code").id
    said = retention.expire(shop.table, here, PAST_TWO)
    assert "0 partitions expired" in said
    assert "2 kept for now" in said
    assert len(shop.main()) == 4
    with shop.ledger.transaction() as session:
        builds.failed(session, reading, "ended")
        # A killed build's claim dies with its heartbeat.
        session.execute(update(Claim).where(Claim.build_id == mine).values(heartbeat_at=START))
    assert retention.expire(shop.table, here, PAST_TWO).startswith("2 partitions expired")


def test_a_build_that_reads_by_touches_keeps_the_arrival_hours_that_touch_its_own(
    shop: Workshop, here: Deployment
) -> None:
    shop.publish(shop.build(FOUR, each(FOUR, 4), 1))
    with shop.ledger.transaction() as session:
        for arrival, rows in ((START, 3), (START + hours(1), 0)):
            session.add(
                Touch(table_name=shop.table.name, partition=arrival, touched=START + hours(9), rows=rows, number=1)
            )
        builds.begin(session, here.tables["demo.touching"], Range.one(START + hours(9), HOUR), "t/r", "code")
    assert "2 kept for now" in retention.expire(shop.table, here, PAST_TWO)
    with shop.ledger.transaction() as session:
        session.execute(update(Claim).values(heartbeat_at=START))
    retention.expire(shop.table, here, PAST_TWO)
    with shop.ledger.transaction() as session:
        known = facts.load(session, list(here.tables))
    assert known.touches[shop.table.name] == {START + hours(9): {START: 1}}, "a touch without rows freezes nobody"
    assert known.expired[shop.table.name] == {START, START + hours(1)}


def test_an_expired_partition_that_is_published_anew_is_no_longer_expired(shop: Workshop, here: Deployment) -> None:
    shop.publish(shop.build(FOUR, each(FOUR, 4), 1))
    retention.expire(shop.table, here, PAST_TWO)
    shop.publish(shop.build(TWO, each(TWO, 4), 1))
    assert expired(shop) == []
    assert len(shop.main()) == 4
    retention.expire(shop.table, here, PAST_TWO)
    assert sorted(shop.main()) == [START + hours(2), START + hours(3)]


# Branches and pages


def test_branches_of_builds_that_ended_a_week_ago_are_dropped_whatever_became_of_them(shop: Workshop) -> None:
    held = shop.build(TWO, each(TWO, 2), 1, passed=False)
    shop.publish(shop.build(TWO, each(TWO, 2), 2))
    failed = shop.begin(TWO)
    shop.write(failed.id, TWO, each(TWO, 1), 3)
    with shop.ledger.transaction() as session:
        builds.failed(session, failed.id, "ended")
    iceberg = shop.lake.load(shop.table)
    head = iceberg.metadata.snapshot_by_name("main")
    assert head is not None
    iceberg.manage_snapshots().create_branch(head.snapshot_id, branch_name("unknown")).commit()
    running = shop.begin(TWO)
    shop.write(running.id, TWO, each(TWO, 1), 4)
    assert branches.drop(shop.table, shop.ledger, shop.lake, later(days=6)).startswith("0 of 4 branches dropped")
    assert branches.drop(shop.table, shop.ledger, shop.lake, later(days=8)).startswith("3 of 4 branches dropped")
    assert [shop.has_branch(b) for b in (held, failed.id, "unknown", running.id)] == [False, False, False, True]
    assert branches.drop(shop.table, shop.ledger, shop.lake, later(days=8)).startswith("0 of 1 branches dropped")
    with shop.ledger.transaction() as session:
        session.execute(update(Claim).values(heartbeat_at=START))
    assert branches.drop(shop.table, shop.ledger, shop.lake, later(days=8)).startswith("1 of 1 branches dropped")
    assert branches.drop(shop.table, shop.ledger, shop.lake, later(days=8)) == "no branches"
    assert shop.main() == dict.fromkeys(TWO.partitions(), (2, 2))


def test_pages_older_than_their_keep_are_deleted_and_newer_ones_stay(shop: Workshop) -> None:
    folder = Path(shop.lake.pages.removeprefix("file://")) / shop.table.name
    assert branches.delete_pages(shop.table, shop.lake, later()).startswith("0 check pages")
    folder.mkdir(parents=True)
    for name, age in (("old.html", 91), ("new.html", 89), ("commits.jsonl", 91)):
        (folder / name).write_text("page")
        os.utime(folder / name, (time.time() - age * 86_400,) * 2)
    assert branches.delete_pages(shop.table, shop.lake, later()).startswith("1 check pages")
    assert sorted(path.name for path in folder.iterdir()) == ["commits.jsonl", "new.html"]
    assert branches.delete_pages(shop.table, shop.lake, later()).startswith("0 check pages")


# Snapshots


def test_snapshots_that_were_replaced_long_ago_are_expired_with_their_files(shop: Workshop, spark: Any) -> None:
    versions = [shop.build(TWO, each(TWO, 4), version) for version in (1, 2, 3)]
    for build in versions:
        shop.publish(build)
    before = files_of(shop)
    assert upkeep.expire_snapshots(shop.table, shop.ledger, shop.lake, spark, later()) == "no snapshots to expire"
    said = upkeep.expire_snapshots(shop.table, shop.ledger, shop.lake, spark, later(days=4))
    assert "snapshots expired that were replaced or dropped before" in said
    assert shop.main() == dict.fromkeys(TWO.partitions(), (4, 3))
    assert shop.commits() == versions[-1:]
    gone = before.keys() - files_of(shop).keys()
    assert sum(name.endswith(".parquet") for name in gone) == 8, "two files in each of two partitions, twice"
    again = upkeep.expire_snapshots(shop.table, shop.ledger, shop.lake, spark, later(days=4))
    assert again == "no snapshots to expire"


def test_a_pinned_read_goes_on_however_old_its_snapshot_and_whatever_is_compacted_and_expired(
    shop: Workshop, here: Deployment, spark: Any
) -> None:
    fragment(shop, TWO)
    pinned = shop.lake.current_snapshot(shop.table)
    assert pinned is not None
    with shop.ledger.transaction() as session:
        reading = builds.begin(session, here.tables["demo.reader"], TWO, "test/reader", "code").id
    # Main moves on: what the reader has pinned is replaced, by a publish and by a compaction.
    fragment(shop, TWO, 2)
    assert "12 small files of 2 partitions rewritten as 2" in upkeep.compact(shop.table, shop.lake, spark)
    with shop.ledger.transaction() as session:
        session.execute(update(Claim).values(heartbeat_at=later(days=40)))
    upkeep.expire_snapshots(shop.table, shop.ledger, shop.lake, spark, later(days=40))
    rows = spark.read.option("versionAsOf", str(pinned)).table(f"feedmill.{shop.table.name}")
    assert {(row["version"], row["count"]) for row in rows.groupBy("version").count().collect()} == {(1, 12)}
    with shop.ledger.transaction() as session:
        builds.failed(session, reading, "ended")
    upkeep.expire_snapshots(shop.table, shop.ledger, shop.lake, spark, later(days=40))
    assert pinned not in snapshots(shop)
    assert shop.main() == dict.fromkeys(TWO.partitions(), (6, 2))


def test_a_branch_keeps_its_rows_when_main_s_snapshots_expire(shop: Workshop, spark: Any) -> None:
    shop.publish(shop.build(FOUR, each(FOUR, 4), 1))
    waiting = shop.build(TWO, each(TWO, 3), 2)
    shop.publish(shop.build(Range.one(START + hours(3), HOUR), {START + hours(3): 5}, 3))
    upkeep.expire_snapshots(shop.table, shop.ledger, shop.lake, spark, later(days=4))
    shop.publish(waiting)
    expected = {START: (3, 2), START + hours(1): (3, 2), START + hours(2): (4, 1), START + hours(3): (5, 3)}
    assert shop.main() == expected


def test_a_build_whose_branch_was_dropped_says_so(shop: Workshop, spark: Any) -> None:
    shop.publish(shop.build(TWO, each(TWO, 4), 1))
    late = shop.build(TWO, each(TWO, 3), 2)
    branches.drop(shop.table, shop.ledger, shop.lake, later(days=8))
    upkeep.expire_snapshots(shop.table, shop.ledger, shop.lake, spark, later(days=8))
    with pytest.raises(NothingToPublishError, match=rf"branch of build {late} was dropped.*clear `build`"):
        shop.publish(late)
    assert shop.main() == dict.fromkeys(TWO.partitions(), (4, 1))


# Small files, manifests, orphans


def test_partitions_with_several_small_files_are_compacted_once_and_others_left_alone(
    shop: Workshop, spark: Any
) -> None:
    shop.publish(shop.build(FOUR, each(FOUR, 4), 1))
    assert upkeep.compact(shop.table, shop.lake, spark) == "no partition has several small files"
    fragment(shop, TWO, 2)
    before = {t.file.file_path for t in shop.lake.load(shop.table).scan().plan_files()}
    assert upkeep.compact(shop.table, shop.lake, spark) == "12 small files of 2 partitions rewritten as 2"
    after = {t.file.file_path for t in shop.lake.load(shop.table).scan().plan_files()}
    assert (len(before), len(after), len(before & after)) == (16, 6, 4)
    assert upkeep.compact(shop.table, shop.lake, spark) == "no partition has several small files"
    expected = {START: (6, 2), START + hours(1): (6, 2), START + hours(2): (4, 1), START + hours(3): (4, 1)}
    assert shop.main() == expected


def test_a_build_that_forked_before_a_compaction_is_published_right_after_it(shop: Workshop, spark: Any) -> None:
    fragment(shop, FOUR)
    forked = shop.build(TWO, each(TWO, 3), 2)
    upkeep.compact(shop.table, shop.lake, spark)
    upkeep.expire_snapshots(shop.table, shop.ledger, shop.lake, spark, later(days=4))
    outcome = shop.publish(forked)
    assert outcome.published == [START, START + hours(1)]
    expected = {START: (3, 2), START + hours(1): (3, 2), START + hours(2): (6, 1), START + hours(3): (6, 1)}
    assert shop.main() == expected
    assert shop.recorded()[START] == (forked, 3)


def test_publishes_during_a_compaction_win_and_neither_fails_nor_loses_a_row(shop: Workshop, spark: Any) -> None:
    span = Range(START, START + hours(24), HOUR)
    fragment(shop, span)
    waiting = [shop.build(Range.one(p, HOUR), {p: 3}, 2) for p in list(span.partitions())[::3]]
    said: list[str] = []
    compaction = threading.Thread(target=lambda: said.append(upkeep.compact(shop.table, shop.lake, spark)))
    compaction.start()
    during = 0
    for build in waiting:
        time.sleep(0.1)
        during += compaction.is_alive()
        shop.publish(build)
    compaction.join()
    assert during, "the compaction was over before anything was published"
    assert len(said) == 1, "the compaction failed"
    expected = {p: (3, 2) if n % 3 == 0 else (6, 1) for n, p in enumerate(span.partitions())}
    assert shop.main() == expected
    upkeep.compact(shop.table, shop.lake, spark)
    assert shop.main() == expected
    assert upkeep.compact(shop.table, shop.lake, spark) == "no partition has several small files"


def test_many_publishes_manifests_become_few_sorted_by_partition(
    shop: Workshop, spark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SMALL_MANIFESTS", 5)
    for number, partition in enumerate(Range(START, START + hours(6), HOUR).partitions()):
        shop.publish(shop.build(Range.one(partition, HOUR), {partition: 2}, number))
    before = shop.main()
    assert upkeep.rewrite_manifests(shop.table, shop.lake, spark) == "6 manifests rewritten as 1"
    assert upkeep.rewrite_manifests(shop.table, shop.lake, spark) == "1 manifests; no rewrite is needed"
    assert shop.main() == before
    shop.publish(shop.build(TWO, each(TWO, 5), 9))
    assert shop.main() == {**before, START: (5, 9), START + hours(1): (5, 9)}


def test_only_old_files_that_no_snapshot_names_are_deleted_as_orphans(shop: Workshop, spark: Any) -> None:
    """The files are old, all of them: PyIceberg's, under file:///, and Spark's, under file:/."""
    fragment(shop, TWO)
    shop.build(TWO, each(TWO, 4), 2)  # a branch whose files main does not name
    upkeep.compact(shop.table, shop.lake, spark)  # and files of Spark's
    live = files_of(shop)
    root = live[next(name for name in live if name.endswith(".parquet"))].parent
    for name in ("orphan.parquet", "young.parquet"):
        (root / name).write_bytes(b"left by a killed build")
    beside = root.parents[1].parent / "beside.parquet"
    beside.write_bytes(b"not the table's")
    for path in [*files_of(shop).values(), beside]:
        if path.name != "young.parquet":
            os.utime(path, (time.time() - 4 * 86_400,) * 2)
    said = upkeep.remove_orphans(shop.table, shop.ledger, spark, later())
    after = files_of(shop)
    # And, where a commit met another one, the metadata that it had written for nothing.
    assert {name for name in live.keys() - after.keys() if not name.endswith(".metadata.json")} == set()
    current = shop.lake.load(shop.table)
    named = {current.metadata_location, *(entry.metadata_file for entry in current.metadata.metadata_log)}
    assert {location.rpartition("/")[2] for location in named} <= after.keys()
    assert "orphan.parquet" not in after
    assert "young.parquet" in after
    assert not said.startswith("0 orphan")
    assert beside.exists()
    assert shop.main() == dict.fromkeys(TWO.partitions(), (6, 1))
    assert upkeep.remove_orphans(shop.table, shop.ledger, spark, later()).startswith("0 orphan files deleted")
    (root / "young.parquet").unlink()
    beside.unlink()


# All of it


def test_a_second_run_of_everything_finds_nothing_to_do(
    shop: Workshop, here: Deployment, spark_connection: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.publish(shop.build(FOUR, each(FOUR, 4), 1))
    fragment(shop, Range(START + hours(2), START + hours(4), HOUR), 2)
    # Spark refuses to call files of the last 24 hours orphans; that step has a test of its own.
    monkeypatch.setattr(upkeep, "remove_orphans", lambda *_: "0 orphan files deleted")
    sessions: list[str] = []
    now = later(days=100)
    told = keep_house(shop.table, here, now, sessions.append)
    assert len(told) == 9
    assert len(sessions) == 1
    assert shop.main() == {}, "a hundred days from now all has expired"
    again = keep_house(shop.table, here, now)
    assert again == [
        "nothing has passed its retention",
        "no branches",
        "0 check pages deleted that were older than 90 days",
        "the ledger has nothing of it that is too old",
        "removed 0 files that killed builds left in the landing zone",
        "no snapshots to expire",
        "no partition has several small files",
        "1 manifests; no rewrite is needed",
        "0 orphan files deleted",
    ]


def test_a_table_that_was_never_built_is_left_alone(lake: Lake, ledger: Ledger, here: Deployment) -> None:
    assert keep_house(here.tables["demo.reader"], here, later())[0] == "nothing has passed its retention"
