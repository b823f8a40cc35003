"""The doctor: each thing that can be wrong is found and named, what is safe is mended, and a well lake has nothing."""

from __future__ import annotations

import errno
import json
import os
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from builds import Workshop, each
from sqlalchemy import delete, func, select, update
from typer.testing import CliRunner

from feedmill.cli.app import app
from feedmill.deployment import Deployment
from feedmill.doctor import examination, rules
from feedmill.doctor.build_rules import DeadClaim, NoClaim
from feedmill.doctor.facts import Facts, Reader, Recorded, TableFacts, Unread, Unrecorded, Waiting, Worker
from feedmill.doctor.landing_rules import (
    GRACE,
    Astray,
    Closed,
    FileChanged,
    FileGone,
    Irregular,
    LeftRegistration,
    Misplaced,
    NotRead,
    NotRegistered,
    astray,
)
from feedmill.doctor.rule import Finding, Rule
from feedmill.doctor.rules import findings
from feedmill.doctor.table_rules import (
    DdlDiffers,
    LedgerBehind,
    NotInLedger,
    OpenIntent,
    RowsDiffer,
    UnrecordedCommit,
    not_compared,
)
from feedmill.flow.build import written
from feedmill.flow.job import Job
from feedmill.freshness.identity import identity
from feedmill.lake.catalog import Lake
from feedmill.landing import discover as landing
from feedmill.ledger import builds, publishes
from feedmill.ledger.models import Build, Claim, File, Partition, Publish
from feedmill.ledger.store import Ledger, lock_counter
from feedmill.spark.session import session_of
from feedmill.spec import Files, Maintainer, Map, Source, Table
from feedmill.timeline import DAY, HOUR, Range, days, hours

START = datetime(2026, 5, 1, tzinfo=UTC)
NEXT = START + hours(1)
AFTER = START + hours(2)
TWO = Range(START, START + hours(2), HOUR)
ONE = Range.one(START, HOUR)
TEAM = Maintainer("team", "a team", "mailto:t@example.com")
TABLE = Table("demo.hourly", HOUR, [Files("events")], TEAM, 2, days(90))


def compare(**facts: object) -> list[Finding]:
    return findings(Facts(START, 1, 100, [TableFacts(TABLE, **facts)]))  # type: ignore[arg-type]


def test_the_same_on_both_sides_is_well() -> None:
    assert compare(recorded={START: Recorded(3, "d")}, on_main={START: 3}, newest=(1, 100)) == []


def test_what_the_doctor_mends() -> None:
    listed = (*rules.LEDGER, *rules.EACH_TABLE, *rules.BUILDS, *rules.FILES)
    assert {(rule.ill, type(rule).__name__) for rule in listed if rule.mend is not None} == {
        ("unrecorded commit", "UnrecordedCommit"),
        ("open intent", "OpenIntent"),
        ("branch left behind", "LeftBranch"),
        ("dead claim", "DeadClaim"),
        ("build without claim", "NoClaim"),
        ("registration left behind", "LeftRegistration"),
    }


def test_every_rule_is_listed_once() -> None:
    def kinds(rule: type[Any]) -> set[type[Any]]:
        return {rule} | {kind for below in rule.__subclasses__() for kind in kinds(below)}

    listed = [type(rule) for rule in (*rules.LEDGER, *rules.EACH_TABLE, *rules.BUILDS, *rules.FILES, *rules.ALERTS)]
    assert sorted(listed, key=str) == sorted((k for k in kinds(Rule) if hasattr(k, "ill")), key=str)


def test_a_partition_without_rows_has_no_files() -> None:
    assert compare(recorded={START: Recorded(0, "0")}) == []


def test_rows_that_differ_are_named_with_both_counts() -> None:
    (found,) = compare(recorded={START: Recorded(3, "d"), NEXT: Recorded(5, "e")}, on_main={START: 4})
    assert found.ill == RowsDiffer.ill
    assert "2026-05-01T00 (ledger 3, main 4), 2026-05-01T01 (ledger 5, main 0)" in str(found)


def test_as_many_rows_but_others_are_found_by_their_digest() -> None:
    (found,) = compare(
        recorded={START: Recorded(3, "d"), NEXT: Recorded(5, "e")},
        on_main={START: 3, NEXT: 5},
        digests={START: "other", NEXT: "e"},
    )
    assert (found.ill, found.names) == (RowsDiffer.ill, ("2026-05-01T00",))


def test_another_digest_of_other_code_s_rows_accuses_nobody_and_is_counted() -> None:
    recorded = {START: Recorded(3, "d", today=False), NEXT: Recorded(5, "e", today=False), AFTER: Recorded(2, "f")}
    on_main = {START: 3, NEXT: 5, AFTER: 2}
    facts = TableFacts(TABLE, recorded, on_main, digests={START: "other", NEXT: "e", AFTER: "f"})
    assert findings(Facts(START, 1, 100, [facts])) == []
    (said,) = not_compared(Facts(START, 1, 100, [facts]))
    assert said.startswith("demo.hourly: the rows of 1 partition could not be compared: older code built them")
    fewer = replace(facts, on_main={**on_main, START: 2})
    assert ills(findings(Facts(START, 1, 100, [fewer]))) == [RowsDiffer.ill], "fewer rows are no matter of columns"
    assert not_compared(Facts(START, 1, 100, [fewer])) == []


def test_a_commit_that_the_ledger_lacks_explains_its_partitions() -> None:
    (found,) = compare(on_main={START: 3}, unrecorded=[Unrecorded("b1", frozenset({START}))])
    assert (found.ill, found.names) == (UnrecordedCommit.ill, ("b1",))
    assert "--mend" in found.mend


def test_many_partitions_are_one_finding_of_few_ranges() -> None:
    many = {START + hours(n): 1 for n in range(48)}
    (found,) = compare(on_main=many)
    assert found.ill == NotInLedger.ill
    assert "48 rows that the ledger does not know, in 2026-05-01T00 to 2026-05-03T00" in found.what
    assert len(found.names) == 48


def test_a_commit_of_a_build_that_the_ledger_never_knew_means_that_it_is_older() -> None:
    (found,) = compare(on_main={START: 3}, unrecorded=[Unrecorded("b1", frozenset({START}), known=False)])
    assert (found.ill, found.names) == (LedgerBehind.ill, ("b1",))


@pytest.mark.parametrize("newest", [(1, 101), (2, 1)])
def test_a_commit_beyond_the_counter_or_of_a_later_epoch_means_that_the_ledger_is_older(
    newest: tuple[int, int],
) -> None:
    (found,) = compare(newest=newest)
    assert found.ill == LedgerBehind.ill
    assert "feedmill ledger rebuild" in found.mend


def test_a_landed_file_has_until_the_next_hour_s_build_to_be_registered() -> None:
    def waiting(now: datetime, modified: datetime) -> list[Finding]:
        return findings(Facts(now, 1, 1, waiting=[Waiting("file:///a", START, modified)]))

    assert waiting(NEXT + GRACE, START) == []
    assert waiting(NEXT + GRACE * 2, NEXT + GRACE) == [], "landed late, a moment ago"
    assert [f.ill for f in waiting(NEXT + GRACE * 2, START)] == [NotRegistered.ill]


DAILY = Table("demo.daily", DAY, [Files("items", days(3))], TEAM, 2, days(400))
MAY_10 = datetime(2026, 5, 10, 12, tzinfo=UTC)
HOURLY_FROM_2 = Reader(TABLE, hours(0), START + hours(2), False)
DAILY_FROM_8 = Reader(DAILY, days(3), datetime(2026, 5, 8, tzinfo=UTC), False)


@pytest.mark.parametrize(
    ("readers", "hour", "expected"),
    [
        ([HOURLY_FROM_2], datetime(2062, 5, 1, 13, tzinfo=UTC), Astray.TO_COME),
        ([], datetime(2062, 5, 1, 13, tzinfo=UTC), Astray.TO_COME),
        ([HOURLY_FROM_2], MAY_10 + hours(2), Astray.TO_COME),
        ([HOURLY_FROM_2], MAY_10 + hours(1), None),
        ([HOURLY_FROM_2], START + hours(1), Astray.BEFORE),
        ([HOURLY_FROM_2], START + hours(2), None),
        ([HOURLY_FROM_2], START + hours(4), None),
        ([replace(HOURLY_FROM_2, since=MAY_10)], MAY_10 - hours(2), None),
        ([replace(HOURLY_FROM_2, since=MAY_10)], MAY_10 - hours(3), Astray.BEFORE),
        ([replace(HOURLY_FROM_2, since=None)], START, None),
        ([HOURLY_FROM_2, replace(HOURLY_FROM_2, since=None)], START, None),
        ([HOURLY_FROM_2, DAILY_FROM_8], datetime(2026, 5, 5, tzinfo=UTC), None),
        ([replace(HOURLY_FROM_2, since=MAY_10), DAILY_FROM_8], datetime(2026, 5, 5, tzinfo=UTC), None),
        ([replace(HOURLY_FROM_2, since=MAY_10), DAILY_FROM_8], datetime(2026, 5, 4, 23, tzinfo=UTC), Astray.BEFORE),
        ([HOURLY_FROM_2], datetime(2006, 5, 1, 13, tzinfo=UTC), Astray.TOO_OLD),
    ],
    ids=[
        "a wrong year",
        "a wrong year of what nobody reads",
        "two hours on",
        "the next hour, by a clock that is ahead",
        "before the history",
        "the first hour of the history",
        "overdue, which status says",
        "an hour that has ended a moment ago",
        "an hour that has ended before",
        "a fresh lake",
        "one reader is still to begin",
        "published, and read looking back",
        "read looking back only",
        "before what is read looking back",
        "a wrong year of the past",
    ],
)
def test_which_registered_file_no_build_will_read(
    readers: list[Reader], hour: datetime, expected: Astray | None
) -> None:
    assert astray(Unread("file:///a", "events", hour, MAY_10), readers, MAY_10) is expected


def test_an_hour_past_its_retention_is_left_alone_where_its_files_came_in_time() -> None:
    file = Unread("file:///a", "events", START - days(200), START - days(200) + hours(1))
    assert astray(file, [HOURLY_FROM_2], MAY_10) is None, "built once, perhaps, by a ledger that was lost"


def test_a_file_that_no_build_reads_is_named_by_its_folder_and_with_the_ranges_that_read_it() -> None:
    early = [
        Unread(f"file:///log/2026-05-0{n}T00/{m}", "events", START + days(n - 1), MAY_10) for n in (1, 2) for m in "ab"
    ]
    readers = [replace(HOURLY_FROM_2, since=MAY_10), DAILY_FROM_8]
    (found,) = findings(Facts(MAY_10, 1, 1, unread=early, readers={"events": readers}))
    assert (found.ill, len(found.names)) == (NotRead.ill, 4)
    assert found.what == (
        "no scheduled build reads 4 registered files, because the hour is before the history of the tables that "
        "read it: "
        "file:///log/2026-05-01T00 (2), file:///log/2026-05-02T00 (2)"
    )
    assert found.mend == (
        "To read them, run `feedmill build demo.hourly --start 2026-05-01T00 --end 2026-05-10T12` and "
        "`feedmill build demo.daily --start 2026-05-04 --end 2026-05-08`, "
        "or trigger the tables' DAGs with the same start and end."
    )
    given = [replace(one, is_given=True) for one in readers]
    (found,) = findings(Facts(MAY_10, 1, 1, unread=early, readers={"events": given}))
    assert "`feedmill build demo.hourly --start 2026-05-01T00 --end 2026-05-02T01`" in found.mend, "no later one is due"
    at_work = Worker("b1", DAILY.name, "dag/run", hours(0))
    facts = Facts(MAY_10, 1, 1, workers=[at_work], unread=early, readers={"events": readers})
    assert NotRead.ill not in {one.ill for one in findings(facts)}, "of history that is built, hours come as they may"


def test_late_files_of_an_hour_before_the_first_are_found_until_it_is_built(
    shop: Workshop, deployment: Deployment, see: Callable[[], list[Finding]]
) -> None:
    landing_zone = Path(deployment.lake.landing.removeprefix("file://"))

    def land(hour: str) -> Path:
        path = landing_zone / "log" / hour / "a.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("{}\n")
        landing.discover(deployment.lake.landing, deployment.sources, ["events"], deployment.ledger, datetime.now(UTC))
        return path

    newest = HOUR.floor(datetime.now(UTC)) - hours(1)
    early, gap = newest - hours(3), newest + hours(1)
    late = land(HOUR.name_of(early))
    assert see() == [], "the first build is still to come"
    shop.publish(shop.build(Range.one(newest, HOUR), {newest: 4}, 1))
    land(HOUR.name_of(gap))
    (found,) = see()
    assert (found.ill, found.names) == (NotRead.ill, (late.as_uri(),)), "the hour that is overdue tomorrow is status's"
    begin, end = HOUR.name_of(early), HOUR.name_of(newest)
    assert f"run `feedmill build demo.hourly --start {begin} --end {end}`, " in found.mend
    shop.publish(shop.build(Range(early, newest, HOUR), {}, 2))
    assert see() == []


def test_the_history_begins_where_the_map_says_though_earlier_hours_are_published(
    shop: Workshop, deployment: Deployment
) -> None:
    """As in `status`, which calls an unpublished hour before it never built, and not overdue."""
    newest = HOUR.floor(datetime.now(UTC)) - hours(2)
    shop.publish(shop.build(Range.one(newest - hours(9), HOUR), {newest - hours(9): 4}, 1))
    folder = Path(deployment.lake.landing.removeprefix("file://")) / "log" / HOUR.name_of(newest - hours(5))
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_text("{}\n")
    landing.discover(deployment.lake.landing, deployment.sources, ["events"], deployment.ledger, datetime.now(UTC))

    def see(since: datetime | None) -> list[Finding]:
        table = replace(shop.table, since=since)
        now = datetime.now(UTC) + timedelta(hours=3)
        return findings(examination.examine(replace(deployment, tables=Map([table])), [table], now))

    assert see(None) == [], "it lies between published hours, and status says that it is overdue"
    (found,) = see(newest)
    first, end = HOUR.name_of(newest - hours(5)), HOUR.name_of(newest - hours(4))
    assert found.ill == NotRead.ill
    assert f"`feedmill build demo.hourly --start {first} --end {end}`" in found.mend
    assert see(newest - hours(5)) == []


def test_a_file_of_a_year_to_come_is_found_until_it_is_moved_and_its_registration_removed(
    deployment: Deployment, see: Callable[[], list[Finding]]
) -> None:
    log = Path(deployment.lake.landing.removeprefix("file://")) / "log"

    def discover() -> None:
        landing.discover(deployment.lake.landing, deployment.sources, ["events"], deployment.ledger, datetime.now(UTC))

    wrong = log / "2062-05-01T13" / "a.jsonl"
    wrong.parent.mkdir(parents=True)
    wrong.write_text("{}\n")
    discover()
    (found,) = see()
    assert (found.ill, found.names) == (NotRead.ill, (wrong.as_uri(),))
    assert found.what == (
        f"no scheduled build reads 1 registered file, because the hour is still to come: {wrong.parent.as_uri()} (1)"
    )
    assert "Move them to the folder of the hour in which they arrived" in found.mend
    cure(deployment)
    assert see() == [found], "it lies there still"
    log.rename(log.with_name("unmounted"))
    assert {one.ill for one in see()} == {FileGone.ill, NotRead.ill}, "nobody knows whether it was moved"
    cure(deployment)
    log.with_name("unmounted").rename(log)
    assert see() == [found], "and nothing was forgotten"
    right = log / "2026-05-01T13" / "a.jsonl"
    right.parent.mkdir()
    wrong.rename(right)
    discover()
    (left,) = see()
    assert (left.ill, left.names) == (LeftRegistration.ill, (wrong.as_uri(),))
    cure(deployment)
    assert see() == []
    with deployment.ledger.transaction() as session:
        assert session.scalars(select(File.path)).all() == [right.as_uri()]


def test_a_folder_that_names_no_hour_is_named_until_its_files_are_moved(
    deployment: Deployment, see: Callable[[], list[Finding]]
) -> None:
    landing_zone = Path(deployment.lake.landing.removeprefix("file://"))
    path = landing_zone / "log" / "today" / "a.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("{}\n")
    landing.discover(deployment.lake.landing, deployment.sources, ["events"], deployment.ledger, datetime.now(UTC))
    (finding,) = see()
    assert finding.ill == Misplaced.ill
    assert f"1 file lies in {path.parent.as_uri()}, whose name is not an arrival hour" in finding.what
    placed = landing_zone / "log" / "2026-05-01T00" / "a.jsonl"
    placed.parent.mkdir()
    path.rename(placed)
    landing.discover(deployment.lake.landing, deployment.sources, ["events"], deployment.ledger, datetime.now(UTC))
    assert see() == []


def test_a_file_that_cannot_be_opened_is_named_with_its_reason_until_it_can(
    deployment: Deployment, see: Callable[[], list[Finding]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(deployment.lake.landing.removeprefix("file://")) / "log" / "2026-05-01T00"
    folder.mkdir(parents=True)
    path = folder / "a.jsonl"
    path.write_text("{}\n")
    opened = os.open

    def refused(name: Any, *options: Any, **more: Any) -> int:
        if name == str(path):  # root, whom the tests may run as, reads other users' files
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return opened(name, *options, **more)

    def discover() -> None:
        landing.discover(deployment.lake.landing, deployment.sources, ["events"], deployment.ledger, datetime.now(UTC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        discover()
        (finding,) = see()
    assert (finding.ill, finding.names) == (Closed.ill, (path.as_uri(),))
    assert f"1 landed file cannot be opened: {path.as_uri()} (Permission denied)" in finding.what
    assert "Give Feedmill's user read access, or take the files away" in finding.mend
    assert ills(see()) == [NotRegistered.ill]
    discover()
    assert see() == []


def test_what_is_no_regular_file_is_named_until_it_is_gone(
    deployment: Deployment, see: Callable[[], list[Finding]]
) -> None:
    folder = Path(deployment.lake.landing.removeprefix("file://")) / "log" / "2026-05-01T00"
    folder.mkdir(parents=True)
    link, pipe = folder / "a.jsonl", folder / "b\n.jsonl"
    link.symlink_to("/etc/passwd")
    os.mkfifo(pipe)
    (finding,) = see()
    assert finding.ill == Irregular.ill
    assert finding.what.endswith(
        f"2 entries of the landing zone are not read: {link.as_uri()} (a link), file://{folder}/b\\n.jsonl (a pipe)"
    )
    link.unlink()
    pipe.unlink()
    assert see() == []


@pytest.fixture
def shop(lake: Lake, ledger: Ledger, tmp_path: Path) -> Workshop:
    return Workshop(lake, ledger, tmp_path)


@pytest.fixture
def deployment(shop: Workshop) -> Deployment:
    sources = {"log": Source("log", "events", (".jsonl",), "lines")}
    return Deployment(shop.lake.project, Map([shop.table]), sources, shop.ledger, shop.lake)


@pytest.fixture
def see(deployment: Deployment) -> Callable[[], list[Finding]]:
    def look() -> list[Finding]:
        now = datetime.now(UTC) + timedelta(days=1)
        return findings(examination.examine(deployment, list(deployment.tables), now))

    return look


def cure(deployment: Deployment) -> None:
    rules.mend(deployment, list(deployment.tables), datetime.now(UTC))


def ills(found: list[Finding]) -> list[str]:
    return [one.ill for one in found]


def test_published_held_and_running_builds_are_well(shop: Workshop, see: Callable[[], list[Finding]]) -> None:
    assert see() == [], "nothing was ever built"
    shop.publish(shop.build(TWO, {START: 4}, 1))
    held = shop.build(ONE, each(ONE, 2), 2, passed=False)
    running = shop.begin(Range.one(NEXT, HOUR))
    shop.write(running.id, Range.one(NEXT, HOUR), {NEXT: 1}, 3)
    assert see() == []
    assert shop.has_branch(held)


def test_a_commit_whose_process_died_is_found_and_recorded(
    shop: Workshop, deployment: Deployment, see: Callable[[], list[Finding]], monkeypatch: pytest.MonkeyPatch
) -> None:
    build = shop.build(TWO, each(TWO, 4), 1)
    with monkeypatch.context() as patch:
        patch.setattr(publishes, "record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            shop.publish(build)
    assert ills(see()) == [UnrecordedCommit.ill, OpenIntent.ill]
    cure(deployment)
    assert see() == []
    assert shop.recorded() == {START: (build, 4), NEXT: (build, 4)}
    assert not shop.has_branch(build)


def test_an_intent_without_a_commit_is_settled_and_the_build_can_still_be_published(
    shop: Workshop, deployment: Deployment, see: Callable[[], list[Finding]]
) -> None:
    build = shop.build(ONE, each(ONE, 4), 1)
    with shop.ledger.transaction() as session:
        publishes.write_intent(session, builds.get(session, build), [START])
    assert ills(see()) == [OpenIntent.ill]
    cure(deployment)
    assert see() == []
    assert shop.publish(build).published == [START]


def test_dead_builds_are_marked_and_their_branches_dropped(
    shop: Workshop, deployment: Deployment, see: Callable[[], list[Finding]]
) -> None:
    silent, alone = shop.begin(ONE), shop.begin(Range.one(NEXT, HOUR))
    shop.write(silent.id, ONE, {START: 1}, 1)
    with shop.ledger.transaction() as session:
        session.execute(
            update(Claim).where(Claim.build_id == silent.id).values(heartbeat_at=func.now() - timedelta(minutes=2))
        )
        session.execute(delete(Claim).where(Claim.build_id == alone.id))
    assert ills(see()) == [DeadClaim.ill, NoClaim.ill]
    assert "test/run" in str(see()[0])
    cure(deployment)
    assert see() == []
    assert not shop.has_branch(silent.id)
    with shop.ledger.transaction() as session:
        assert set(session.scalars(select(Build.state))) == {"interrupted"}
        assert session.scalars(select(Claim)).all() == []


def test_a_branch_of_a_build_that_was_superseded_is_dropped_and_one_of_an_unknown_build_is_not(
    shop: Workshop, deployment: Deployment, see: Callable[[], list[Finding]]
) -> None:
    older = shop.build(ONE, each(ONE, 4), 1)
    shop.write("stranger", ONE, {START: 1}, 9)
    shop.publish(shop.build(ONE, each(ONE, 3), 2))
    assert [f.names for f in see()] == [(older,), ("stranger",)]
    cure(deployment)
    assert [f.names for f in see()] == [("stranger",)], "another ledger's, perhaps"
    assert not shop.has_branch(older)


def test_rows_written_by_hand_and_rows_lost_in_the_ledger_are_found(
    shop: Workshop, see: Callable[[], list[Finding]]
) -> None:
    shop.publish(shop.build(TWO, each(TWO, 4), 1))
    shop.lake.load(shop.table).delete(f"hour = '{START.isoformat()}'")
    with shop.ledger.transaction() as session:
        session.execute(delete(Partition).where(Partition.partition == NEXT))
        session.execute(delete(Publish).where(Publish.partition == NEXT))
    assert ills(see()) == [NotInLedger.ill, RowsDiffer.ill]


def test_an_edited_ddl_is_found_until_a_build_applies_it(shop: Workshop, see: Callable[[], list[Finding]]) -> None:
    path = shop.lake.project / shop.table.ddl_path
    path.write_text(path.read_text().replace("'What it is.'", "'What it is called.'"))
    (found,) = see()
    assert (found.ill, found.mend) == (DdlDiffers.ill, "The table's next build applies it.")
    shop.lake.ensure(shop.table)
    assert see() == []
    path.write_text(path.read_text().replace("item STRING", "item BIGINT"))
    (found,) = see()
    assert "column item is string, the DDL says BIGINT" in found.what


@pytest.mark.usefixtures("spark_connection")
def test_a_new_column_accuses_nobody_and_rows_that_changed_are_still_found(
    shop: Workshop, deployment: Deployment
) -> None:
    def publish(hour: datetime, version: int) -> None:
        span = Range.one(hour, HOUR)
        with shop.ledger.transaction() as session:
            build = builds.begin(session, shop.table, span, "test/run", identity(shop.table, shop.lake.project))
        head = shop.write(build.id, span, {hour: 2}, version)
        with session_of(str(uuid.uuid4())) as spark:
            entries = written(Job(shop.table, span, deployment, "test"), head, spark)
        with shop.ledger.transaction() as session:
            builds.finish(session, build.id, head, entries)
        shop.judge(build.id, True)
        shop.publish(build.id)

    def see() -> tuple[list[tuple[str, tuple[str, ...]]], list[str]]:
        facts = examination.examine(deployment, [shop.table], datetime.now(UTC), rows=True)
        return [(f.ill, f.names) for f in findings(facts)], not_compared(facts)

    publish(START, 1)
    assert see() == ([], [])
    path = shop.lake.project / shop.table.ddl_path
    path.write_text(path.read_text().replace("    version", "    note STRING COMMENT 'Why.',\n    version"))
    waits = (
        "demo.hourly: the rows of 1 partition could not be compared: "
        "include/sql/demo/hourly.sql has new columns, and no build with them is published yet: note."
    )
    assert see() == ([(DdlDiffers.ill, ())], [waits])
    shop.lake.ensure(shop.table)
    assert see() == ([], [waits]), "the table has it, and main's head has not"
    publish(NEXT, 1)
    found, (said,) = see()
    assert found == []
    assert "the rows of 1 partition could not be compared: older code built them" in said
    rows = shop.lake.load(shop.table).scan(row_filter=f"hour = '{NEXT.isoformat()}'").to_arrow()
    shop.lake.load(shop.table).overwrite(
        rows.set_column(rows.schema.get_field_index("version"), "version", pa.array([1, 9], pa.int64())),
        overwrite_filter=f"hour = '{NEXT.isoformat()}'",
    )
    assert see() == ([(RowsDiffer.ill, ("2026-05-01T01",))], [said])


def test_files_that_are_gone_changed_or_not_registered_are_found(
    deployment: Deployment, see: Callable[[], list[Finding]]
) -> None:
    folder = Path(deployment.lake.landing.removeprefix("file://")) / "log" / "2026-05-01T00"
    folder.mkdir(parents=True)
    for name in "abc":
        (folder / f"{name}.jsonl").write_text(json.dumps({"n": name}) + "\n")
    landing.discover(deployment.lake.landing, deployment.sources, ["events"], deployment.ledger, datetime.now(UTC))
    assert see() == []
    os.utime(folder / "a.jsonl")
    assert see() == [], "touched, and the same bytes"
    (folder / "a.jsonl").write_text(json.dumps({"n": "x"}) + "\n")
    (folder / "b.jsonl").unlink()
    (folder / "d.jsonl").write_text("{}\n")
    found = see()
    assert ills(found) == [FileGone.ill, FileChanged.ill, NotRegistered.ill]
    assert [[Path(name).name for name in one.names] for one in found] == [["b.jsonl"], ["a.jsonl"], ["d.jsonl"]]


def test_the_command_mends_says_what_is_left_and_ends_with_1_until_all_is_well(
    shop: Workshop, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedmill.deployment.open_deployment", lambda: deployment)
    build = shop.build(ONE, each(ONE, 4), 1)
    with shop.ledger.transaction() as session:
        publishes.write_intent(session, builds.get(session, build), [START])
    shop.write("stranger", ONE, {START: 1}, 9)

    def run(*command: str) -> tuple[int, Any]:
        result = CliRunner().invoke(app, [*command, "--json"])
        return result.exit_code, json.loads(result.stdout)

    code, found = run("doctor", shop.table.name)
    assert (code, [one["ill"] for one in found]) == (1, ["open intent", "branch left behind"])
    code, found = run("doctor", "--mend")
    assert (code, [(one["names"], one["mended_by_doctor"]) for one in found]) == (1, [(["stranger"], False)])
    shop.publish(build)
    code, done = run("ledger", "rebuild")
    assert (code, done["commits"], done["partitions"]) == (0, 1, 1)
    shop.lake.load(shop.table).manage_snapshots().remove_branch("build_stranger").commit()
    assert run("doctor") == (0, [])


def test_a_ledger_that_is_older_than_the_lake_is_found(shop: Workshop, see: Callable[[], list[Finding]]) -> None:
    shop.publish(shop.build(ONE, each(ONE, 4), 1))
    with shop.ledger.transaction() as session:
        lock_counter(session).value = 0
    assert ills(see()) == [LedgerBehind.ill]


def test_pages_without_a_heartbeat_are_complained_of_where_they_reach_people():
    silent = Facts(START, 1, 1, pages_go_to=["pager"])
    (found,) = findings(silent)
    assert found.ill == "no heartbeat"
    assert "feedmill_heartbeat" in found.mend
    assert findings(replace(silent, has_heartbeat=True)) == []
    assert findings(replace(silent, pages_go_to=[])) == [], "a file on this machine wakes nobody"


def test_which_channels_reach_people_is_read_from_the_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    team = replace(TABLE.maintainer, channels=("a_pager", "a_file", "not_defined"))
    monkeypatch.setenv("AIRFLOW_CONN_A_PAGER", '{"conn_type": "pagerduty", "password": "x"}')
    monkeypatch.setenv("AIRFLOW_CONN_A_FILE", '{"conn_type": "file", "host": "/x"}')
    assert examination._channels([replace(TABLE, maintainer=team)]) == ["a_pager"]
