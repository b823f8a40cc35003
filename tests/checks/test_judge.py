"""Verdicts: one bad hour neither hides nor blocks the others."""

from __future__ import annotations

import json
import logging
import socket
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from contract_frames import CONTRACT, HOURS, clean, dirty, expectation, mixed, nulls, row, suite, table
from sqlalchemy import text

from feedmill.checks import engine_spark, gx
from feedmill.checks.engine_pandas import frame_from_arrow
from feedmill.checks.findings import Verdict, about_rows
from feedmill.checks.judge import judge
from feedmill.checks.suite import Suite
from feedmill.ledger.store import Ledger

NOT_NULL = expectation("expect_column_values_to_not_be_null", notes="Ask upstream.", column="event_id")
DURATION = expectation("expect_column_values_to_be_between", column="duration_ms", min_value=0)


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Great Expectations' import, which takes seconds and makes other libraries log, once before the tests."""
    import great_expectations  # noqa: F401


def in_pandas(suite_: Suite, rows: list[dict[str, Any]], partitions: list[datetime] = HOURS) -> list[Verdict]:
    return judge(suite_, frame_from_arrow(table(rows)), partitions, "hour")


def test_one_bad_hour_neither_hides_nor_blocks_the_others(tmp_path: Path) -> None:
    verdicts = in_pandas(suite(tmp_path, NOT_NULL, DURATION), clean(HOURS[0]) + dirty(HOURS[1]) + clean(HOURS[3]))
    assert [(v.partition, v.passed, v.rows) for v in verdicts] == [
        (HOURS[0], True, 6),
        (HOURS[1], False, 6),
        (HOURS[2], True, 0),
        (HOURS[3], True, 6),
    ]
    assert [f.message for f in verdicts[1].findings] == ["1 row has no event_id", "2 rows have a negative duration_ms"]


def test_a_finding_can_be_stored_and_shown_whatever_the_rows_hold(tmp_path: Path, ledger: Ledger) -> None:
    texts = ["nul\0", "red \x1b[31m", "turned \u202egnp.exe", "\x9b31m", "two\nlines", "für 😀"]
    judged = suite(tmp_path, expectation("expect_column_values_to_be_in_set", column="event_id", value_set=["known"]))
    rows = [row(HOURS[0], i, duration_ms=1) | {"event_id": text} for i, text in enumerate(texts)]
    frame = pd.DataFrame(rows).assign(hour=lambda frame: pd.to_datetime(frame["hour"]))
    (verdict,) = judge(judged, frame, HOURS[:1], "hour")
    (finding,) = verdict.findings
    assert [sample["event_id"] for sample in finding.samples] == [
        "nul\\x00",
        "red \\x1b[31m",
        "turned \\u202egnp.exe",
        "\\x9b31m",
        "two\nlines",
        "für 😀",
    ]
    (half,) = about_rows(judged.expectations[0], 1, ({"event_id": "half \ud83d"},)).samples
    assert half == {"event_id": "half \\ud83d"}
    stored = json.dumps(asdict(finding), ensure_ascii=False)
    with ledger.transaction() as session:
        assert session.execute(text("SELECT CAST(:it AS jsonb)"), {"it": stored}).scalar_one() == json.loads(stored)


def test_a_finding_carries_the_evidence(tmp_path: Path) -> None:
    bad = [row(HOURS[0], i, duration_ms=-1 - i) for i in range(30)]
    (verdict,) = in_pandas(suite(tmp_path, DURATION), clean(HOURS[0])[:0] + bad, HOURS[:1])
    (finding,) = verdict.findings
    assert finding.expectation == "expect_column_values_to_be_between(duration_ms)"
    assert (finding.severity, finding.columns, finding.unexpected_count) == ("critical", ("duration_ms",), 30)
    assert finding.observed == [-1, -2, -3, -4, -5]
    assert len(finding.samples) == 20
    assert list(finding.samples[0])[:3] == ["duration_ms", "hour", "event_id"]
    assert finding.samples[0] | {"line": 2**53, "hour": "2026-05-01T12:00:00Z"} == finding.samples[0]


def test_a_warning_publishes(tmp_path: Path) -> None:
    soft = DURATION | {"severity": "warning"}
    verdicts = in_pandas(suite(tmp_path, NOT_NULL, soft), [row(HOURS[0], 0, duration_ms=-1)], HOURS[:1])
    assert verdicts[0].passed
    assert [f.severity for f in verdicts[0].findings] == ["warning"]


def test_an_empty_hour_is_judged_by_its_row_count_alone(tmp_path: Path) -> None:
    count = expectation("expect_table_row_count_to_be_between", min_value=1)
    mean = expectation("expect_column_mean_to_be_between", column="rate", min_value=0.1)
    full, empty = in_pandas(suite(tmp_path, NOT_NULL, count, mean), clean(HOURS[0]), HOURS[:2])
    assert full.passed
    assert [f.message for f in empty.findings] == ["there are no rows"]
    assert not empty.passed


def test_a_share_is_the_share_of_each_hour(tmp_path: Path) -> None:
    most = expectation("expect_column_values_to_not_be_null", column="event_id", mostly=0.9)
    rows = clean(HOURS[0]) + clean(HOURS[1]) + clean(HOURS[2]) + [row(HOURS[3], 0), row(HOURS[3], 1, event_id=None)]
    assert [v.passed for v in in_pandas(suite(tmp_path, most), rows)] == [True, True, True, False]


def test_what_repeats_in_two_hours_is_unique_in_each(tmp_path: Path) -> None:
    unique = expectation("expect_compound_columns_to_be_unique", column_list=["event_id", "line"])
    rows = [row(hour, i, event_id=f"e{i}") for hour in HOURS for i in range(3)]
    assert all(v.passed for v in in_pandas(suite(tmp_path, unique), rows))
    rows += [row(HOURS[2], 1, event_id="e1")]
    assert [v.passed for v in in_pandas(suite(tmp_path, unique), rows)] == [True, True, False, True]


@pytest.mark.parametrize("few", [10_000, 2], ids=["failing rows are looked up", "too many to look up"])
def test_a_range_gives_each_hour_the_verdict_that_it_has_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(gx, "FEW", few)
    suite_ = suite(tmp_path, *CONTRACT)
    together = judge(suite_, frame_from_arrow(mixed()), HOURS, "hour")
    assert together == [judge(suite_, frame_from_arrow(mixed()), [hour], "hour")[0] for hour in HOURS]


def test_one_bad_row_costs_one_hour_s_judgement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    most = expectation("expect_column_values_to_not_be_null", column="surface", mostly=0.5)
    apart = expectation("expect_select_column_values_to_be_unique_within_record", column_list=["event_id", "surface"])
    hours = [HOURS[0] + timedelta(hours=i) for i in range(40)]
    rows = [row(hour, i) for hour in hours for i in range(3)] + [row(hours[7], 9, duration_ms=-1, surface=None)]
    judged: list[datetime] = []
    findings = gx.Gx.findings

    def of(self: Any, frame: Any, expectations: Any, column: str | None) -> Any:
        if column is not None:
            judged.extend(frame[column].unique())
        return findings(self, frame, expectations, column)

    monkeypatch.setattr(gx.Gx, "findings", of)
    verdicts = in_pandas(suite(tmp_path, NOT_NULL, DURATION, most, apart), rows, hours)
    assert [v.partition for v in verdicts if not v.passed] == judged == [hours[7]]


@pytest.mark.parametrize(
    ("kwargs", "failing"),
    [
        ({"min_value": 3}, {0, 1, 2}),
        ({"min_value": 2, "max_value": 11}, {0, 1, 12, 13}),
        ({"min_value": 99}, {*range(14)}),
    ],
)
def test_the_row_count_of_each_hour_is_judged(tmp_path: Path, kwargs: dict[str, int], failing: set[int]) -> None:
    count = expectation("expect_table_row_count_to_be_between", **kwargs)
    hours = [HOURS[0] + timedelta(hours=i) for i in range(14)]
    rows = [row(hour, i) for number, hour in enumerate(hours) for i in range(number)]
    verdicts = in_pandas(suite(tmp_path, count), rows, hours)
    assert {v.rows for v in verdicts if not v.passed} == failing
    assert all(f.observed == v.rows for v in verdicts for f in v.findings)


def test_large_ids_beside_nulls_do_not_collide(tmp_path: Path) -> None:
    unique = expectation("expect_column_values_to_be_unique", column="line")
    rows = [row(HOURS[0], i, line=2**53 + i) for i in range(5)] + [row(HOURS[0], 9, line=None)]
    assert in_pandas(suite(tmp_path, unique), rows, HOURS[:1])[0].passed


def test_a_decimal_meets_the_bound_that_it_equals(tmp_path: Path) -> None:
    price = expectation("expect_column_values_to_be_between", column="price", min_value=0.1, max_value=5.1)
    assert in_pandas(suite(tmp_path, price), clean(HOURS[0]), HOURS[:1])[0].passed


def test_what_cannot_be_judged_holds_and_does_not_crash(tmp_path: Path) -> None:
    gone = expectation("expect_column_values_to_not_be_null", "warning", column="model_id")
    no_time = expectation("expect_column_values_to_be_between", "warning", column="event_time", min_value="soon")
    raises = expectation("expect_column_values_to_be_between", "warning", column="surface", min_value=3)
    (verdict,) = in_pandas(suite(tmp_path, NOT_NULL, gone, no_time, raises), clean(HOURS[0]), HOURS[:1])
    assert not verdict.passed
    assert [f.severity for f in verdict.findings] == ["critical"] * 3
    assert "there is no column model_id" in verdict.findings[0].message
    assert "soon" in verdict.findings[1].message
    assert "cannot judge expect_column_values_to_be_between(surface)" in verdict.findings[2].message


def test_rows_without_their_partition_column_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no partition column day_of_week"):
        judge(suite(tmp_path, NOT_NULL), frame_from_arrow(mixed()), HOURS, "day_of_week")


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("us"), pa.timestamp("ns", tz="UTC")])
@pytest.mark.parametrize("arrow", [False, True])
def test_days_are_found_however_they_are_stored(tmp_path: Path, kind: pa.DataType, arrow: bool) -> None:
    days = [datetime(2026, 5, day, tzinfo=UTC) for day in (1, 2, 3)]
    stored = [date(2026, 5, day) for day in (1, 1, 3)]
    rows = pa.table({"day": pa.array(stored, pa.date32()).cast(kind), "event_id": ["a", None, "b"]})
    frame = rows.to_pandas(types_mapper=pd.ArrowDtype) if arrow else frame_from_arrow(rows)
    verdicts = judge(suite(tmp_path, NOT_NULL), frame, days, "day")
    assert [(v.passed, v.rows) for v in verdicts] == [(False, 2), (True, 0), (True, 1)]


def test_a_verdict_can_be_stored_as_json(tmp_path: Path) -> None:
    for verdict in judge(suite(tmp_path, *CONTRACT), frame_from_arrow(mixed()), HOURS, "hour"):
        findings = asdict(verdict)["findings"]
        assert json.loads(json.dumps(findings, allow_nan=False))


def test_a_check_is_quiet_offline_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Any] = []
    suite_ = suite(tmp_path, NOT_NULL, DURATION, expectation("expect_column_to_exist", column="gone"))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setattr(socket.socket, "connect", lambda *to: calls.append(to))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *to, **more: calls.append(to) or [])
    with caplog.at_level(logging.INFO):
        in_pandas(suite_, dirty(HOURS[0]))
    assert calls == []
    assert list((tmp_path / "cwd").iterdir()) == []
    assert "".join(capfd.readouterr()) == ""
    assert caplog.records == []


def test_packs_hold_at_most_what_pandas_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_spark, "PANDAS_ROWS", 10)
    hours = [HOURS[0] + timedelta(hours=i) for i in range(6)]
    counts = dict(zip(hours, [4, 6, 0, 1, 25, 3], strict=True))
    assert list(engine_spark.packs(counts)) == [[hours[0], hours[1]], [hours[3]], [hours[4]], [hours[5]]]


def comparable(verdicts: list[Verdict]) -> list[Any]:
    """Verdicts without the order of sample rows, which Spark does not keep."""
    return [
        (
            v.partition,
            v.passed,
            v.rows,
            [
                (f.expectation, f.severity, f.message, f.unexpected_count, sorted(json.dumps(s) for s in f.samples))
                for f in v.findings
            ],
        )
        for v in verdicts
    ]


FRAMES = {
    "clean": lambda: table(clean(HOURS[0]) + clean(HOURS[1])),
    "empty": lambda: table([]),
    "nulls": lambda: table(nulls(HOURS[1])),
}


@pytest.mark.parametrize(
    ("pandas_rows", "hours"), [(2_000_000, HOURS), (0, [HOURS[1], HOURS[3]])], ids=["packs in pandas", "all in Spark"]
)
def test_both_engines_give_the_same_verdicts(
    tmp_path: Path, spark: Any, monkeypatch: pytest.MonkeyPatch, pandas_rows: int, hours: list[datetime]
) -> None:
    suite_ = suite(tmp_path, *CONTRACT)
    expected = judge(suite_, frame_from_arrow(mixed()), hours, "hour")
    monkeypatch.setattr(engine_spark, "PANDAS_ROWS", pandas_rows)
    assert comparable(judge(suite_, spark.createDataFrame(mixed()), hours, "hour")) == comparable(expected)


@pytest.mark.parametrize("name", ["clean", "empty", "nulls"])
def test_spark_judges_simple_frames_as_pandas_does(tmp_path: Path, spark: Any, name: str) -> None:
    rows = FRAMES[name]()
    frame = spark.createDataFrame(mixed()).limit(0) if name == "empty" else spark.createDataFrame(rows)
    sparse = [e for e in CONTRACT if e["type"] in {"expect_column_values_to_be_between", NOT_NULL["type"]}]
    suite_ = suite(tmp_path, *sparse)
    expected = judge(suite_, frame_from_arrow(rows), HOURS[:2], "hour")
    assert comparable(judge(suite_, frame, HOURS[:2], "hour")) == comparable(expected)


@pytest.mark.parametrize("kind", ["date", "timestamp_ntz"])
def test_spark_finds_days_however_they_are_stored(tmp_path: Path, spark: Any, kind: str) -> None:
    days = [datetime(2026, 5, day, tzinfo=UTC) for day in (1, 2, 3)]
    rows = spark.sql(
        f"SELECT CAST(d AS {kind}) AS day, e AS event_id FROM VALUES ('2026-05-01', 'a'), ('2026-05-01', null), "
        "('2026-05-03', 'b') AS t(d, e)"
    )
    verdicts = judge(suite(tmp_path, NOT_NULL), rows, days, "day")
    assert [(v.passed, v.rows) for v in verdicts] == [(False, 2), (True, 0), (True, 1)]
