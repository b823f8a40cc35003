"""The runner on real Spark, Iceberg and PostgreSQL: files become published rows, whatever the range."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import readwriter as classic
from pyspark.sql.connect import readwriter as connect
from sqlalchemy import select, update

from feedmill.deployment import Deployment
from feedmill.flow import build as runner
from feedmill.flow.build import build
from feedmill.flow.check import check
from feedmill.flow.job import Job
from feedmill.flow.publish import publish
from feedmill.freshness.load import load
from feedmill.freshness.staleness import stale_because
from feedmill.landing.discover import LandingError
from feedmill.ledger import builds
from feedmill.ledger.models import Build, BuiltPartition, File
from feedmill.timeline import HOUR, Range

START = datetime(2026, 5, 1, 10, tzinfo=UTC)
HOURLY = ("events.landed", "events.rejected", "events.clean", "rollups.item_engagement_hourly")


def event(number: int, at: datetime, **fields: object) -> dict[str, object]:
    return {
        "event_id": f"e{number}",
        "event_time": at.isoformat(),
        "event_type": "impression",
        "item_id": "i1",
        **fields,
    }


def land(deployment: Deployment, hour: datetime, name: str, rows: list[dict[str, object] | str]) -> Path:
    folder = Path(deployment.lake.landing.removeprefix("file://")) / "events_jsonl" / HOUR.name_of(hour)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


def make(deployment: Deployment, name: str, start: datetime, end: datetime, owner: str = "test/run") -> str:
    """Build, check and publish a range; the build's id."""
    table = deployment.tables[name]
    built = build(Job(table, table.range(start, end), deployment, owner))
    check(table, built.build_id, deployment)
    publish(table, built.build_id, deployment.ledger, deployment.lake)
    return built.build_id


def rows_of(deployment: Deployment, name: str) -> list[tuple[object, ...]]:
    """What a reader of ``main`` sees, in no particular order made one."""
    table = deployment.lake.load(deployment.tables[name])
    rows = table.scan().to_arrow().to_pylist()
    return sorted(tuple(str(value) for value in row.values()) for row in rows)


def test_files_become_checked_published_rows_and_every_row_is_accounted_for(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[dict[str, object] | str] = [event(n, START + timedelta(minutes=n)) for n in range(30)]
    rows += [event(3, START + timedelta(minutes=3)), event(99, START, item_id=None), "{not json"]
    rows += [event(100, START + timedelta(minutes=5), event_type="click")]
    land(deployment, START, "a.jsonl", rows)
    built = {name: make(deployment, name, START, START + timedelta(hours=1)) for name in HOURLY}
    landed, rejected, clean = (rows_of(deployment, name) for name in HOURLY[:3])
    assert len(landed) + len(rejected) == len(rows)
    assert len(rejected) == 2
    assert len(clean) == len(landed) - 1
    roll_up = deployment.lake.load(deployment.tables[HOURLY[3]]).scan().to_arrow().to_pylist()
    assert sum(row["impressions"] for row in roll_up) == 30
    assert sum(row["clicks"] for row in roll_up) == 1
    # Too many rows for pandas are judged in Spark, on the same snapshot, with the same verdict.
    monkeypatch.setattr("feedmill.flow.check.PANDAS_ROWS", 0)
    again = check(deployment.tables["events.clean"], built["events.clean"], deployment)
    assert (again.report.engine, [(v.partition, v.passed, v.rows) for v in again.report.verdicts]) == (
        "Spark",
        [(START, True, len(clean))],
    )


SPLITS = st.permutations(range(4)).flatmap(
    lambda order: st.lists(st.booleans(), min_size=3, max_size=3).map(lambda joined: _ranges(order, joined))
)
"""Every hour of four at least once, as single hours and as longer ranges, in any order."""


def _ranges(order: list[int], joined: list[bool]) -> list[tuple[int, int]]:
    """Ranges of hours: an hour with its right neighbour where ``joined`` says so, so that some are built twice."""
    return [(hour, min(hour + 1 + int(hour < 3 and joined[hour]), 4)) for hour in order]


@settings(max_examples=3, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(splits=SPLITS)
def test_any_ranges_in_any_order_give_the_rows_of_one_range(
    week: dict[str, list[tuple[object, ...]]], deployment: Deployment, splits: list[tuple[int, int]]
) -> None:
    numbers = _numbers(deployment)
    for number, (first, end) in enumerate(splits):
        for name in HOURLY[2:]:
            make(deployment, name, START + timedelta(hours=first), START + timedelta(hours=end), f"test/{number}")
    assert {name: rows_of(deployment, name) for name in HOURLY} == week
    assert _numbers(deployment) == numbers, "an identical rebuild must keep its number, so that it wakes nobody"


@pytest.fixture
def week(deployment: Deployment) -> dict[str, list[tuple[object, ...]]]:
    """Four hours with rows, duplicates, a late event and an hour with nothing, built as one range: their rows."""
    for offset in (0, 1, 3):
        hour = START + timedelta(hours=offset)
        rows = [event(10 * offset + n, hour + timedelta(minutes=n), user_id=f"u{n}") for n in range(offset + 2)]
        late = [event(1000 + offset, START + timedelta(minutes=7)), rows[0]] if offset else []
        land(deployment, hour, "a.jsonl", [*rows, *late])
    for name in HOURLY:
        make(deployment, name, START, START + timedelta(hours=4), "test/range")
    return {name: rows_of(deployment, name) for name in HOURLY}


def test_what_has_many_files_is_written_sorted_with_the_rows_that_it_has_unsorted(
    week: dict[str, list[tuple[object, ...]]], deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    # Over Spark Connect, and of an application of its own.
    for writer in (connect.DataFrameWriterV2, classic.DataFrameWriterV2):
        monkeypatch.setattr(writer, "option", _remembering(writer.option, asked))
    numbers = _numbers(deployment)
    for open_partitions in (4, 3):
        monkeypatch.setattr("feedmill.flow.build.OPEN_PARTITIONS", open_partitions)
        make(deployment, "events.clean", START, START + timedelta(hours=4), f"test/{open_partitions}")
    assert asked == ["true", "false"]
    # An arrival hour holds any number of event hours.
    make(deployment, "events.landed", START, START + timedelta(hours=1))
    assert asked == ["true", "false", "false"]
    assert {name: rows_of(deployment, name) for name in HOURLY} == week
    assert _numbers(deployment) == numbers


def _remembering(option: Callable[..., Any], asked: list[str]) -> Callable[..., Any]:
    def remembered(writer: Any, key: str, value: str) -> Any:
        asked.extend([value] * (key == "fanout-enabled"))
        return option(writer, key, value)

    return remembered


def _numbers(deployment: Deployment) -> dict[tuple[str, datetime], int]:
    with deployment.ledger.transaction() as session:
        facts = load(session, deployment.tables)
    return {(name, p): state.number for name, by in facts.published.items() for p, state in by.items()}


def test_the_hour_that_a_worker_s_own_clock_has_twice_is_two_hours(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = datetime(2025, 10, 26, 0, tzinfo=UTC)  # 02:00 in Berlin, as is the next hour
    for n in range(3):
        hour = first + timedelta(hours=n)
        land(deployment, hour, f"{n}.jsonl", [event(10 * n + k, hour) for k in range(n + 1)])
    table = deployment.tables["events.landed"]
    try:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", "Europe/Berlin")
            time.tzset()
            built = build(Job(table, table.range(first, first + timedelta(hours=3)), deployment, "test/run"))
    finally:
        time.tzset()
    with deployment.ledger.transaction() as session:
        entries = session.scalars(select(BuiltPartition).where(BuiltPartition.build_id == built.build_id))
        assert {entry.partition: entry.rows for entry in entries} == {
            first + timedelta(hours=n): n + 1 for n in range(3)
        }


def test_an_hour_that_becomes_empty_loses_its_old_rows(deployment: Deployment) -> None:
    path = land(deployment, START, "a.jsonl", [event(1, START)])
    end = START + timedelta(hours=1)
    make(deployment, "events.landed", START, end)
    assert len(rows_of(deployment, "events.landed")) == 1
    # The file is taken back, which a person does in the ledger: its registration goes with it.
    with deployment.ledger.transaction() as session:
        session.delete(session.get(File, path.as_uri()))
    path.unlink()
    make(deployment, "events.landed", START, end)
    assert rows_of(deployment, "events.landed") == []


def test_a_late_file_goes_to_the_open_hour_and_makes_the_hour_it_touches_stale(deployment: Deployment) -> None:
    end = START + timedelta(hours=1)
    land(deployment, START, "a.jsonl", [event(1, START)])
    for name in HOURLY[:3]:
        make(deployment, name, START, end)
    assert _stale(deployment, "events.clean", START) == []
    # The hour is sealed: this file is registered, but for the hour that is open now.
    before = datetime.now(UTC)
    land(deployment, START, "late.jsonl", [event(2, START + timedelta(minutes=1))])
    make(deployment, "events.landed", START, end, "test/again")
    assert len(rows_of(deployment, "events.landed")) == 1
    with deployment.ledger.transaction() as session:
        hours = load(session, deployment.tables).files["events"].keys()
    (now,) = hours - {START}
    assert HOUR.floor(before) <= now <= HOUR.floor(datetime.now(UTC))
    # A day later its arrival hour has ended and is built.
    _publish_as_if_ended(deployment, now)
    assert _stale(deployment, "events.clean", START) == ["events.landed"]
    make(deployment, "events.clean", START, end, "test/late")
    assert len(rows_of(deployment, "events.clean")) == 2
    assert _stale(deployment, "events.clean", START) == []


def _publish_as_if_ended(deployment: Deployment, hour: datetime, name: str = "events.landed") -> None:
    """Move the open hour's files to an hour that has ended, as the clock would."""
    ended = hour - timedelta(hours=1)
    with deployment.ledger.transaction() as session:
        session.execute(update(File).where(File.arrival_hour == hour).values(arrival_hour=ended))
    make(deployment, name, ended, hour, "test/ended")


def _stale(deployment: Deployment, name: str, partition: datetime) -> list[str]:
    table = deployment.tables[name]
    with deployment.ledger.transaction() as session:
        return [cause.input for cause in stale_because(table, partition, load(session, deployment.tables))]


def test_a_file_in_a_folder_that_names_no_hour_is_one_rejected_row_and_costs_the_others_nothing(
    deployment: Deployment,
) -> None:
    placed = land(deployment, START, "a.jsonl", [event(1, START)])
    misplaced = placed.parent.with_name("today") / "b.jsonl"
    misplaced.parent.mkdir()
    misplaced.write_text(json.dumps(event(2, START)) + "\n")
    make(deployment, "events.landed", START, START + timedelta(hours=1))
    assert len(rows_of(deployment, "events.landed")) == 1
    with deployment.ledger.transaction() as session:
        now = session.get_one(File, misplaced.as_uri()).arrival_hour
    _publish_as_if_ended(deployment, now, "events.rejected")
    (row,) = deployment.lake.load(deployment.tables["events.rejected"]).scan().to_arrow().to_pylist()
    assert row["source_file"] == misplaced.as_uri()
    assert row["reason"].startswith("not read: the folder 'events_jsonl/today' is not named by an arrival hour")


def test_a_file_that_changed_after_it_was_registered_is_an_error_that_names_it(deployment: Deployment) -> None:
    path = land(deployment, START, "a.jsonl", [event(1, START)])
    end = START + timedelta(hours=1)
    make(deployment, "events.landed", START, end)
    path.write_text(json.dumps(event(2, START)) + "\n")
    with pytest.raises(LandingError, match=r"a\.jsonl changed after it was registered"):
        make(deployment, "events.landed", START, end)
    path.unlink()
    with pytest.raises(LandingError, match=r"a\.jsonl .* is gone; put it back"):
        make(deployment, "events.landed", START, end)
    assert len(rows_of(deployment, "events.landed")) == 1, "what was published stays"


@pytest.mark.parametrize("name", HOURLY)
def test_an_hour_that_has_not_ended_is_not_built(deployment: Deployment, name: str) -> None:
    now = HOUR.floor(datetime.now(UTC))
    with pytest.raises(ValueError, match=f"{name} .* has not ended: .*; wait until {now + timedelta(hours=1):%FT%H}"):
        make(deployment, name, now - timedelta(hours=1), now + timedelta(hours=1))
    with deployment.ledger.transaction() as session:
        assert session.scalars(select(Build)).all() == [], "nothing has begun, and no hour is sealed"


def test_a_build_at_work_keeps_another_owner_out_until_its_heartbeat_stops(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = deployment.tables["events.landed"]
    span = Range.one(START, HOUR)
    with deployment.ledger.transaction() as session:
        first = builds.begin(session, table, span, "dag/one", "code")
    with pytest.raises(builds.ClaimedError, match=f"build {first.id} of dag/one is at work"):
        build(Job(table, span, deployment, "dag/two"))
    # A retry of the same run takes over: the try before it is interrupted, whatever it makes of its cancelled query.
    interrupt = runner.session.interrupt

    def interrupt_one_that_lives(session_id: str) -> None:
        interrupt(session_id)
        with deployment.ledger.transaction() as session:
            assert not builds.failed(session, first.id, "SparkException: OPERATION_CANCELED")

    monkeypatch.setattr(runner.session, "interrupt", interrupt_one_that_lives)
    taken = build(Job(table, span, deployment, "dag/one"))
    with deployment.ledger.transaction() as session:
        ended = builds.get(session, first.id)
        assert (ended.state, ended.error) == ("interrupted", "a later try took over")
        assert builds.get(session, taken.build_id).state == "built"


def test_a_try_that_was_told_to_stop_has_not_failed(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    table = deployment.tables["events.landed"]
    span = Range.one(START, HOUR)
    killed: list[str] = []

    def cancelled(*_: object) -> None:
        killed.append("by SIGTERM")
        raise RuntimeError("OPERATION_CANCELED")

    monkeypatch.setattr(runner, "_write", cancelled)
    with pytest.raises(RuntimeError, match="OPERATION_CANCELED"):
        build(Job(table, span, deployment, "dag/one"), stopped=lambda: bool(killed))
    # A shell that runs the suite in the background has it ignore Ctrl-C, and Python keeps it so.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(runner, "_write", lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with pytest.raises(KeyboardInterrupt):
            build(Job(table, span, deployment, "dag/one"))
    finally:
        signal.signal(signal.SIGINT, before)
    with deployment.ledger.transaction() as session:
        tries = session.scalars(select(Build)).all()
        assert [(entry.state, (entry.error or "").partition(":")[0]) for entry in tries] == [
            ("interrupted", "stopped at work"),
            ("interrupted", "stopped at work"),
        ]
        assert builds.live_claims(session, table, span) == []


def test_a_try_whose_query_a_later_one_cancelled_says_so(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = deployment.tables["events.landed"]
    span = Range.one(START, HOUR)

    def taken_over(*_: object) -> None:
        with deployment.ledger.transaction() as session:
            builds.begin(session, table, span, "dag/one", "code")
        raise RuntimeError("OPERATION_CANCELED")

    monkeypatch.setattr(runner, "_write", taken_over)
    with pytest.raises(builds.ClaimedError, match="another try took over") as raised:
        build(Job(table, span, deployment, "dag/one"))
    assert str(raised.value.__cause__) == "OPERATION_CANCELED"

    def of_its_own(*_: object) -> None:
        raise RuntimeError("its own")

    monkeypatch.setattr(runner, "_write", of_its_own)
    with pytest.raises(RuntimeError, match="its own"):
        build(Job(table, span, deployment, "dag/one"))
