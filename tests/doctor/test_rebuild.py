"""Rule 10: a ledger that was lost, or restored from an older dump, comes back from Iceberg and the landing zone."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from builds import Workshop, each
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from sqlalchemy import create_engine, delete, select, text

from feedmill.deployment import Deployment
from feedmill.doctor import examination
from feedmill.doctor.landing_rules import NotRead
from feedmill.doctor.rebuild import Rebuilt, rebuild
from feedmill.doctor.rebuild_numbers import numbers
from feedmill.doctor.rules import findings
from feedmill.flow.publish import LedgerBehindError, NothingToPublishError, publish, reconcile
from feedmill.freshness import load as facts
from feedmill.freshness.staleness import frozen_because, stale_because
from feedmill.lake.catalog import Lake, branch_name
from feedmill.lake.commits import Commit
from feedmill.landing import discover as landing
from feedmill.ledger import builds, files, publishes, quarantine, verdicts
from feedmill.ledger.builds import Written
from feedmill.ledger.models import Build, Claim, File, Partition, Publish, SealedHour, Touch
from feedmill.ledger.pins import beside_snapshots
from feedmill.ledger.publishes import Moved
from feedmill.ledger.quarantine import DecisionError, Defect
from feedmill.ledger.store import Ledger
from feedmill.local.postgres import Postgres
from feedmill.spec import Files, Input, Maintainer, Map, Source, Table
from feedmill.timeline import DAY, HOUR, Range, days, hours

pytestmark = pytest.mark.rule(10)

START = datetime(2026, 5, 1, tzinfo=UTC)
NOW = START + hours(3)
"""When files are found: a late one goes to this hour, or to the first open one after it."""

TEAM = Maintainer("team", "tests", "mailto:team@example.com")
LANDED = Table("a.landed", HOUR, [Files("events")], TEAM, 2, days(4000))
CLEAN = Table("a.clean", HOUR, [Input(LANDED, by="touches")], TEAM, 2, days(4000))
TREND = Table("a.trend", HOUR, [Input(CLEAN, lookback=hours(1))], TEAM, 2, days(4000))
DAILY = Table("a.daily", DAY, [Input(CLEAN)], TEAM, 2, days(4000))
RANKED = Table("a.ranked", HOUR, [Input(TREND), Input(DAILY, as_of=True)], TEAM, 2, days(4000))
TABLES = Map([LANDED, CLEAN, TREND, DAILY, RANKED])
SOURCES = {"log": Source("log", "events", (".jsonl",), "lines")}

COLUMN = {HOUR: "hour TIMESTAMP", DAY: "day DATE"}


class Mill:
    """The five tables in a lake of their own; builds are faked with PyIceberg and read nothing."""

    def __init__(self, lake: Lake, ledger: Ledger, project: Path):
        self.lake = replace(lake, project=project, landing=(project / "landing").as_uri())
        self.lake.__dict__["catalog"] = lake.catalog
        self.ledger = ledger
        self.versions: dict[str, int] = {}
        for table in TABLES:
            own = "arrival_hour TIMESTAMP" if table is LANDED else COLUMN[table.every]
            columns, by = [own, "item BIGINT"], own.split()[0]
            if table is LANDED:
                columns, by = [own, "hour TIMESTAMP", "item BIGINT"], "arrival_hour, hour"
            path = project / table.ddl_path
            path.parent.mkdir(parents=True, exist_ok=True)
            listed = ", ".join(f"{column} COMMENT 'It is.'" for column in columns)
            path.write_text(f"CREATE TABLE {table.name} ({listed}) PARTITIONED BY ({by}) COMMENT 'One row each.'")
            if lake.catalog.table_exists(table.name):
                lake.catalog.drop_table(table.name)
            self.lake.ensure(table)

    def deployment(self, ledger: Ledger | None = None) -> Deployment:
        """The mill on a ledger."""
        return Deployment(self.lake.project, TABLES, SOURCES, ledger or self.ledger, self.lake)

    def land(self, hour: int, lines: int) -> None:
        """A file in the folder of that hour."""
        folder = self.lake.project / "landing" / "log" / HOUR.name_of(START + hours(hour))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{uuid.uuid4().hex}.jsonl").write_text("{}\n" * lines)

    def rule(self, how: str, hour: int) -> bool:
        """The hour's first file becomes a defect, is disowned or readmitted; whether it was possible."""
        landing.discover(self.lake.landing, SOURCES, ["events"], self.ledger, NOW)
        with suppress(DecisionError), self.ledger.transaction() as session:
            query = select(File).where(File.arrival_hour == START + hours(hour)).order_by(File.path)
            file = session.scalars(query.limit(1)).first()
            if file is None:
                return False
            if how == "declare":
                quarantine.declare(session, {file.path: Defect("it cannot be read", "reader")})
            elif how == "disown":
                quarantine.disown(session, file.path, "Ada", "it is wrong", TABLES)
            else:
                seen = landing.look_again(self.lake.landing, file, SOURCES)
                assert seen is not None
                quarantine.readmit(session, seen, "Ada", "it is right", TABLES)
            return True
        return False

    def build(self, table: Table, partition: datetime, version: int) -> str:
        """What the runner and the check do, with made-up rows: their number is ``version``."""
        if table is LANDED:
            landing.discover(self.lake.landing, SOURCES, ["events"], self.ledger, NOW)
        span = table.one(partition)
        with self.ledger.transaction() as session:
            build = builds.begin(session, table, span, "test", "code")
        inputs = [entry.table for entry in table.inputs if isinstance(entry, Input)]
        snapshots = {read.name: self.lake.current_snapshot(read) for read in inputs}
        with self.ledger.transaction() as session:
            read = files.read_by(session, table, span, build.begin)
            builds.pin(session, build.id, {**snapshots, **beside_snapshots(session, table, read, build.begin)})
        touches = {START + hours(n): 1 for n in range(version)} if table is LANDED else None
        rows = [self._row(table, partition, n) for n in range(version)]
        snapshot_id = self._write(table, build.id, partition, rows)
        with self.ledger.transaction() as session:
            digest = f"{version}:{partition}" if version else "0"
            builds.finish(session, build.id, snapshot_id, [Written(partition, version, digest, touches)])
            build = builds.get(session, build.id)
            verdicts.record(session, build, [(partition, True, [])], "suite")
        return build.id

    def _row(self, table: Table, partition: datetime, n: int) -> dict[str, object]:
        if table is LANDED:
            return {"arrival_hour": partition, "hour": START + hours(n), "item": n}
        return {"day": partition.date(), "item": n} if table.every is DAY else {"hour": partition, "item": n}

    def _write(self, table: Table, build_id: str, partition: datetime, rows: list[dict[str, object]]) -> int:
        iceberg, branch = self.lake.load(table), branch_name(build_id)
        head = iceberg.metadata.snapshot_by_name("main")
        if head is None:
            # PyIceberg writes a first snapshot to main only; Spark's is the branch's.
            with iceberg.transaction() as transaction, transaction.update_snapshot().overwrite():
                pass
            head = iceberg.metadata.snapshot_by_name("main")
            assert head is not None
            iceberg.manage_snapshots().create_branch(head.snapshot_id, branch).commit()
            iceberg.manage_snapshots().remove_branch("main").commit()
        else:
            iceberg.manage_snapshots().create_branch(head.snapshot_id, branch).commit()
        frame = pa.Table.from_pylist(rows, schema=iceberg.schema().as_arrow()) if rows else None
        with iceberg.transaction() as transaction, transaction.update_snapshot(branch=branch).overwrite() as overwrite:
            for file in self.lake.files(table, iceberg, head.snapshot_id, [partition]).values():
                overwrite.delete_data_file(file)
            for file in _dataframe_to_data_files(iceberg.metadata, frame, iceberg.io) if frame is not None else ():
                overwrite.append_data_file(file)
        written = self.lake.branch_head(table, build_id)
        assert written is not None
        return written

    def publish(self, table: Table, build_id: str, dies: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """Publish; ``dies``: after the commit, before the ledger's rows."""
        with monkeypatch.context() as patch:
            if dies:
                patch.setattr(publishes, "record", _die)
            try:
                publish(table, build_id, self.ledger, self.lake)
            except KeyboardInterrupt:
                assert dies


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def known(ledger: Ledger) -> dict[str, Any]:
    """What a rebuilt ledger must agree on with the true one."""
    with ledger.transaction() as session:
        partitions = {
            (p.table_name, p.partition): (p.build_id, p.begin, p.identity, p.rows, p.digest)
            for p in session.scalars(select(Partition))
        }
        touches = {(t.table_name, t.partition, t.touched): t.rows for t in session.scalars(select(Touch))}
        moved = {(p.table_name, p.partition, p.build_id, p.rows, p.changed) for p in session.scalars(select(Publish))}
        sealed = {row.hour for row in session.scalars(select(SealedHour))}
    return {"partitions": partitions, "touches": touches, "publishes": moved, "sealed": sealed}


def stale(ledger: Ledger) -> set[tuple[str, datetime, str, datetime]]:
    """Every reason of every stale partition."""
    with ledger.transaction() as session:
        loaded = facts.load(session, TABLES)
    return {
        (table.name, partition, cause.input, cause.partition)
        for table in TABLES
        for partition in loaded.published.get(table.name, {})
        for cause in stale_because(table, partition, loaded)
    }


@pytest.fixture
def copies(postgres: Postgres, ledger: Ledger) -> Iterator[Any]:
    """Makes ledgers: empty ones, and copies of the test's own as a dump would be."""
    admin = create_engine(postgres.url("postgres"), isolation_level="AUTOCOMMIT")
    made: list[tuple[str, Ledger]] = []

    def make(template: Ledger | None = None) -> Ledger:
        name = f"copy_{uuid.uuid4().hex[:8]}"
        if template is not None:
            template.engine.dispose()
        with admin.connect() as connection:
            connection.execute(
                text(f"CREATE DATABASE {name} TEMPLATE {template.engine.url.database if template else 'ledger'}")
            )
        made.append((name, Ledger(postgres.url(name))))
        return made[-1][1]

    yield make
    with admin.connect() as connection:
        for name, copy in made:
            copy.engine.dispose()
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def mill(lake: Lake, ledger: Ledger, tmp_path: Path) -> Mill:
    return Mill(lake, ledger, tmp_path)


HOURS = st.integers(0, 3)
LAND = st.tuples(st.just("land"), HOURS, st.integers(1, 3))
BUILD = st.tuples(st.just("build"), st.sampled_from(list(TABLES)), HOURS, st.integers(0, 3))
PUBLISH = st.tuples(st.just("publish"), st.integers(0, 3), st.sampled_from([False, False, True]))
MAKE = st.tuples(st.just("make"), st.sampled_from(list(TABLES)), HOURS, st.integers(0, 3))
DUMP = st.tuples(st.just("dump"))
RULE = st.tuples(st.just("rule"), st.sampled_from(["declare", "disown", "readmit"]), HOURS, st.integers(1, 3))
STEPS = st.lists(LAND | BUILD | PUBLISH | MAKE | MAKE | MAKE | DUMP | RULE, min_size=6, max_size=14)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_a_rebuilt_ledger_knows_the_same_and_nothing_stale_looks_fresh(
    lake: Lake,
    copies: Any,
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[Any, ...]],
) -> None:
    patch = pytest.MonkeyPatch()
    mill = Mill(lake, copies(), tmp_path_factory.mktemp("mill"))
    made: list[tuple[Table, str]] = []
    dumps: list[Ledger] = []
    for step in steps:
        match step:
            case ("land", hour, lines):
                mill.land(hour, lines)
            case ("build" | "make", table, hour, version):
                made.append((table, mill.build(table, table.every.floor(START + hours(hour)), version)))
                if step[0] == "make":
                    mill.publish(*made[-1], False, patch)
            case ("publish", back, dies) if made:
                mill.publish(*made[-1 - back % len(made)], dies, patch)
            # What is decided after the last publish of its hour is lost: so the hour is made again at once.
            case ("rule", how, hour, version) if mill.rule(how, hour):
                made.append((LANDED, mill.build(LANDED, START + hours(hour), version)))
                mill.publish(*made[-1], False, patch)
            case ("dump",) if len(dumps) < 2:
                dumps.append(copies(mill.ledger))
    for table in TABLES:
        with mill.ledger.table_lock(table.name):
            reconcile(table, mill.ledger, mill.lake)
    truth, truly_stale = known(mill.ledger), stale(mill.ledger)
    for found in [copies(), *dumps]:
        deployment = mill.deployment(found)
        _check(rebuild(deployment, NOW), mill, found, truth, truly_stale)
        before, then = known(found), stale(found)
        rebuild(deployment, NOW)
        assert (known(found), stale(found)) == (before, then), "harmless to repeat"
        found.engine.dispose()  # the next example has ledgers of its own, and PostgreSQL a hundred connections
    mill.ledger.engine.dispose()


def _check(done: Rebuilt, mill: Mill, found: Ledger, truth: dict[str, Any], truly_stale: set[Any]) -> None:
    assert (done.doubtful, done.without_commit) == ({}, {})
    now = known(found)
    assert now["partitions"] == truth["partitions"]
    assert now["touches"] == truth["touches"]
    assert now["publishes"] == truth["publishes"]
    assert stale(found) >= truly_stale
    with found.transaction() as session, mill.ledger.transaction() as true:
        read = _read(session), _read(true)
        assert read[0] == read[1], "what a build read, and would read again"
        begins = list(session.scalars(select(Build.begin)))
        assert done.counter >= max([*begins, *session.scalars(select(Partition.number))], default=0)
    left = findings(examination.examine(mill.deployment(found), list(TABLES), NOW))
    assert {finding.ill for finding in left} <= {"branch left behind", "file that no build reads"}
    # What was landed for an hour from before the first that was published; and never what a published one read.
    unread = {name for finding in left if finding.ill == NotRead.ill for name in finding.names}
    assert not unread & {path for files_of in read[0].values() for path, _ in files_of}


def _read(session: Any) -> dict[datetime, set[tuple[str, str | None]]]:
    """The files of each published partition of LANDED, and why it did not read them."""
    found = {}
    for partition in session.scalars(select(Partition).where(Partition.table_name == LANDED.name)):
        query = select(File).where(File.arrival_hour == partition.partition, File.number <= partition.begin)
        found[partition.partition] = {(file.path, file.not_read) for file in session.scalars(query)}
    return found


def test_staleness_comes_out_exactly_as_it_was(mill: Mill, copies: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(table: Table, hour: int, version: int) -> str:
        build = mill.build(table, table.every.floor(START + hours(hour)), version)
        mill.publish(table, build, False, monkeypatch)
        return build

    mill.land(0, 3)
    for table, hour in ((LANDED, 0), (CLEAN, 0), (CLEAN, 1), (TREND, 0), (TREND, 1), (DAILY, 0), (RANKED, 1)):
        make(table, hour, 2)
    assert stale(mill.ledger) == set()
    empty = copies()
    rebuild(mill.deployment(empty), NOW)
    assert stale(empty) == set(), "a lost ledger costs no rebuild where every commit is there"
    make(CLEAN, 0, 1)
    mill.land(0, 2)  # late: the hour is sealed
    make(LANDED, 3, 2)
    make(TREND, 1, 2)  # equal rows: its readers stay fresh
    expected = {(TREND.name, START, CLEAN.name, START), (DAILY.name, START, CLEAN.name, START)}
    expected |= {(CLEAN.name, START + hours(n), LANDED.name, NOW) for n in (0, 1)}
    assert stale(mill.ledger) == expected
    again = copies()
    rebuild(mill.deployment(again), NOW)
    assert stale(again) == expected
    with again.transaction() as session:
        assert len(set(session.scalars(select(File.arrival_hour)))) == 2, "the late file counts for its arrival hour"


def test_a_file_that_changed_or_went_makes_its_readers_stale_or_outdated(
    mill: Mill, copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour in (0, 1, 2):
        mill.land(hour, 3)
        mill.publish(LANDED, mill.build(LANDED, START + hours(hour), 2), False, monkeypatch)
    paths = sorted((mill.lake.project / "landing").rglob("*.jsonl"))
    paths[0].unlink()
    paths[1].write_text("{}\n")
    found = copies()
    done = rebuild(mill.deployment(found), NOW)
    assert done.doubtful == {"events": [START, START + hours(1)]}
    assert {reason[1] for reason in stale(found)} == {START + hours(1)}
    with found.transaction() as session:
        outdated = select(Partition.partition).where(Partition.identity == "")
        assert set(session.scalars(outdated)) == {START, START + hours(1)}


def test_what_was_ruled_out_stays_so_whether_its_file_is_there_or_not(
    mill: Mill, copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        mill.land(0, 3)
    landing.discover(mill.lake.landing, SOURCES, ["events"], mill.ledger, NOW)
    read, defect, gone, readmitted = sorted(path.as_uri() for path in (mill.lake.project / "landing").rglob("*.jsonl"))
    reading = mill.build(LANDED, START, 1)
    mill.publish(LANDED, reading, False, monkeypatch)
    dump = copies(mill.ledger)
    with mill.ledger.transaction() as session:
        quarantine.declare(session, {p: Defect("it cannot be read", "reader") for p in (defect, readmitted)})
        quarantine.disown(session, gone, "Ada", "deleted by INC-7", TABLES)
    Path(gone.removeprefix("file://")).unlink()
    mill.publish(LANDED, mill.build(LANDED, START, 2), False, monkeypatch)
    restored = copies(dump)
    rebuild(mill.deployment(restored), NOW)
    assert states(restored) == states(mill.ledger)
    with mill.ledger.transaction() as session:
        seen = landing.look_again(mill.lake.landing, session.get_one(File, readmitted), SOURCES)
        assert seen is not None
        quarantine.readmit(session, seen, "Ada", "mended", TABLES)
    mill.publish(LANDED, mill.build(LANDED, START, 3), False, monkeypatch)
    for other in (copies(), restored):
        done = rebuild(mill.deployment(other), NOW)
        assert (dict(done.doubtful), done.newly_found) == ({}, 0)
        assert states(other) == states(mill.ledger)
        assert states(other)[read] == (START, None, None, None, None)
        assert states(other)[readmitted] == (START, None, None, None, None)
        assert states(other)[defect] == (START, "it cannot be read", "reader", None, None)
        assert states(other)[gone] == (START, None, None, "Ada", "deleted by INC-7")
        assert stale(other) == set()
        with other.transaction() as session:
            quarantine.disown(session, read, "Ada", "it is wrong", TABLES)
        assert stale(other) == {(LANDED.name, START, "files of events", START)}


def states(ledger: Ledger) -> dict[str, tuple[Any, ...]]:
    """What the ledger knows of the files, without their numbers."""
    with ledger.transaction() as session:
        return {
            file.path: (file.arrival_hour, file.defect, file.reader, file.disowned_by, file.disowned_because)
            for file in session.scalars(select(File))
        }


def test_a_file_that_a_build_registers_while_the_ledger_is_rebuilt_is_registered_once(
    mill: Mill, copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mill.land(0, 3)
    mill.publish(LANDED, mill.build(LANDED, START, 2), False, monkeypatch)
    mill.land(0, 2)  # late: it counts for the hour in which it is found
    mill.publish(LANDED, mill.build(LANDED, NOW, 2), False, monkeypatch)
    lost = copies()
    look = landing.new_files

    def meanwhile(*arguments: Any) -> Any:
        found = look(*arguments)
        monkeypatch.setattr(landing, "new_files", look)
        # In the hour of its folder: that it was sealed is not known again yet.
        landing.discover(mill.lake.landing, SOURCES, ["events"], lost, NOW)
        return found

    monkeypatch.setattr(landing, "new_files", meanwhile)
    done = rebuild(mill.deployment(lost), NOW)
    with lost.transaction() as session:
        assert len(list(session.scalars(select(File.path)))) == 2
    assert NOW in done.doubtful["events"], "what was read in that hour is not certain any more"


def test_a_build_may_end_while_the_ledger_is_rebuilt(mill: Mill) -> None:
    with mill.ledger.transaction() as session:
        build_id = builds.begin(session, CLEAN, CLEAN.one(START), "test", "code").id
    errors: list[BaseException] = []

    def bring_back() -> None:
        try:
            rebuild(mill.deployment(), NOW)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=bring_back)
    with mill.ledger.transaction() as session:
        # As `builds.finish` does: first the build, then its claim.
        session.execute(select(Build).where(Build.id == build_id).with_for_update())
        thread.start()
        deadline = time.monotonic() + 60
        while not _waits_for_a_lock(mill.ledger):
            assert time.monotonic() < deadline, "the rebuild never came to the builds"
            time.sleep(0.05)
        session.execute(delete(Claim).where(Claim.build_id == build_id))
    thread.join(60)
    assert errors == []
    with mill.ledger.transaction() as session:
        assert builds.get(session, build_id).state == "interrupted"


def _waits_for_a_lock(ledger: Ledger) -> bool:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ledger.transaction() as session:
        return session.execute(text(waiting)).first() is not None


def test_a_ledger_older_than_the_lake_publishes_nothing_before_it_is_brought_forward(
    mill: Mill, copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mill.publish(CLEAN, mill.build(CLEAN, START, 1), False, monkeypatch)
    dump = copies(mill.ledger)
    mill.publish(CLEAN, mill.build(CLEAN, START, 2), False, monkeypatch)
    mill.publish(TREND, mill.build(TREND, START, 2), False, monkeypatch)
    restored = replace_ledger(mill, dump)
    old = mill.build(CLEAN, START, 3)
    with pytest.raises(LedgerBehindError, match=r"a\.clean: build .*`feedmill ledger rebuild` brings it forward"):
        publish(CLEAN, old, restored, mill.lake)
    rebuild(mill.deployment(), NOW)
    with pytest.raises(NothingToPublishError, match="is of epoch 1, the ledger's is 3; build again"):
        publish(CLEAN, old, restored, mill.lake)
    assert stale(restored) == set()
    mill.publish(CLEAN, mill.build(CLEAN, START, 3), False, monkeypatch)
    assert {reason[:2] for reason in stale(restored)} == {(TREND.name, START)}


def test_what_was_published_on_an_older_dump_before_anybody_noticed_makes_its_readers_stale(
    mill: Mill, copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mill.publish(CLEAN, mill.build(CLEAN, START, 1), False, monkeypatch)
    dump = copies(mill.ledger)
    for version in (1, 2, 3):
        mill.publish(TREND, mill.build(TREND, START, version), False, monkeypatch)
    restored = replace_ledger(mill, dump)
    # No commit of this table is beyond the dump: it publishes, with a number below the begin of its reader.
    mill.publish(CLEAN, mill.build(CLEAN, START, 2), False, monkeypatch)
    rebuild(mill.deployment(), NOW)
    assert stale(restored) == {(TREND.name, START, CLEAN.name, START)}


def replace_ledger(mill: Mill, restored: Ledger) -> Ledger:
    mill.ledger = restored
    return restored


def test_partitions_whose_commits_upkeep_expired_are_outdated_not_lost(
    lake: Lake, ledger: Ledger, tmp_path: Path, copies: Any
) -> None:
    shop = Workshop(lake, ledger, tmp_path)
    two = Range(START, START + hours(2), HOUR)
    shop.publish(shop.build(two, each(two, 4), 1))
    shop.publish(shop.build(Range.one(START, HOUR), {START: 3}, 2))
    iceberg = shop.lake.load(shop.table)
    head = iceberg.metadata.snapshot_by_name("main")
    assert head is not None
    assert head.parent_snapshot_id is not None
    iceberg.maintenance.expire_snapshots().by_id(head.parent_snapshot_id).commit()
    found = copies()
    deployment = Deployment(shop.lake.project, Map([shop.table]), {}, found, shop.lake)
    done = rebuild(deployment, START)
    assert done.without_commit == {shop.table.name: [START + hours(1)]}
    with found.transaction() as session:
        rows = {p.partition: (p.begin, p.identity, p.rows) for p in session.scalars(select(Partition))}
    assert rows == {START: (3, "code", 3), START + hours(1): (0, "", 4)}
    assert findings(examination.examine(deployment, [shop.table], START)) == []


def test_a_partition_whose_input_retention_took_is_frozen_and_keeps_its_rows(
    mill: Mill, copies: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mill.publish(CLEAN, mill.build(CLEAN, START, 2), False, monkeypatch)
    mill.publish(TREND, mill.build(TREND, START + hours(1), 2), False, monkeypatch)
    found = copies()
    # Of what they had read, neither rows nor commits are left: it is older than any input is kept.
    rebuild(mill.deployment(found), START + LANDED.keep + days(1))
    with found.transaction() as session:
        loaded = facts.load(session, TABLES)
    for table, partition in ((CLEAN, START), (TREND, START + hours(1))):
        assert partition in loaded.published[table.name]
        assert frozen_because(table, partition, loaded) is not None
    assert stale(found) == set()


def commit(table: Table, snapshot: int, begin: int, digest: str = "d", **covered: int | None) -> Commit:
    pins = {"recorded": {f"a.{name}": snapshot_id for name, snapshot_id in covered.items()}}
    moved = (Moved(START, 1, digest, None),)
    return Commit(snapshot, START, f"b{snapshot}", START, START + hours(1), begin, 1, "code", "test", pins, moved)


def test_a_number_is_above_the_begin_of_every_reader_that_had_not_covered_it_and_of_no_other() -> None:
    history = {
        CLEAN.name: [commit(CLEAN, 1, 5, "x"), commit(CLEAN, 2, 10, "y")],
        TREND.name: [commit(TREND, 3, 8, clean=1), commit(TREND, 4, 20, clean=2), commit(TREND, 5, 12, clean=1)],
    }
    given = numbers(TABLES, history, {}, 0)
    assert 5 < given.of_commit[CLEAN.name, 1] <= 8
    assert 12 < given.of_commit[CLEAN.name, 2] <= 20


def test_a_reader_whose_pins_say_nothing_counts_as_not_covered() -> None:
    history = {CLEAN.name: [commit(CLEAN, 1, 5)], TREND.name: [commit(TREND, 2, 90)]}
    assert numbers(TABLES, history, {}, 0).of_commit[CLEAN.name, 1] == 91


def test_a_number_that_the_ledger_knows_is_kept_and_what_it_does_not_know_came_after_it() -> None:
    history = {CLEAN.name: [commit(CLEAN, 1, 5, "x"), commit(CLEAN, 2, 6, "y")]}
    given = numbers(TABLES, history, {(CLEAN.name, 1): 9}, 40)
    assert (given.of_commit[CLEAN.name, 1], given.of_commit[CLEAN.name, 2]) == (9, 41)
