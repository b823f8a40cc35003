"""KuaiRand's wide log: a row is an event, duplicates have a rule, dirt a reason, and a replay moves only the time."""

import io
import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from include.spark.events import clean, landed
from include.spark.sources import kuairand

ARRIVAL = datetime(2026, 5, 1, 13, tzinfo=UTC)
TIME_MS = 1777640700250  # 2026-05-01T13:05:00.250Z

GOOD = {
    "user_id": 712,
    "video_id": 5239,
    "date": 20260501,
    "hourmin": 2100,
    "time_ms": TIME_MS,
    "is_click": 0,
    "is_like": 0,
    "is_follow": 0,
    "is_comment": 0,
    "is_forward": 0,
    "is_hate": 0,
    "long_view": 1,
    "play_time_ms": 0,
    "duration_ms": 49866,
    "is_rand": 0,
    "tab": 1,
    "tag": "39",
}

CASES = {
    "an impression": ({}, None),
    "every flag": (dict.fromkeys(kuairand.FLAGS, 1), None),
    "a like without a click, played and looked at": ({"is_like": 1, "play_time_ms": 4165}, None),
    "a click with no play time": ({"is_click": 1}, None),
    "a random video": ({"is_rand": 1}, None),
    "numbers as pandas writes them beside nulls": ({"user_id": "712.0", "time_ms": "1.77764070025E12"}, None),
    "a day that is not that of time_ms": ({"date": 19990101, "hourmin": 2500}, None),
    "no user": ({"user_id": None}, "user_id is missing"),
    "a null flag": ({"is_like": None}, "is_like is missing"),
    "a flag of two": ({"is_hate": 2}, "is_hate: '2' is not 0 or 1"),
    "a flag in words": ({"is_click": "yes"}, "is_click: 'yes' is not 0 or 1"),
    "half a video": ({"video_id": "7.5"}, "video_id: '7.5' is not a whole number from 0"),
    "negative play time": ({"play_time_ms": -1}, "play_time_ms: '-1' is not a whole number from 0"),
    "not a number": ({"tab": "NaN"}, "tab: 'NaN' is not a whole number from 0"),
    "a time beyond all times": ({"time_ms": 2**62}, f"time_ms: '{2**62}' is not a number of milliseconds"),
    "a time in seconds": (
        {"time_ms": TIME_MS // 1000},
        "event_time: 1970-01-21T13:47:20Z is before 2000-01-01; epoch times are in milliseconds",
    ),
    "a time after the arrival": (
        {"time_ms": TIME_MS + 3_600_001},
        "event_time: 2026-05-01T14:05:00Z is in the future: more than 5 minutes after the end of the arrival hour "
        "2026-05-01T13:00:00Z",
    ),
}


@pytest.fixture(scope="module")
def parquet_rows(spark):
    """Rows of a file as the runner hands them on, all columns as text, lines from 1."""

    def build(rows, file_name="log_standard.parquet", received_at=ARRIVAL):
        texts = [
            (number, *(None if row.get(name) is None else str(row[name]) for name in GOOD))
            for number, row in enumerate(rows, start=1)
        ]
        schema = ", ".join(["line bigint", *(f"{name} string" for name in GOOD)])
        return spark.createDataFrame(texts, schema).select(
            F.lit(f"file:///landing/{file_name}").alias("source_file"),
            F.lit(file_name).alias("file_name"),
            F.lit(received_at).alias("received_at"),
            F.lit(ARRIVAL).alias("arrival_hour"),
            "*",
        )

    return build


@pytest.fixture(scope="module")
def records(parquet_rows):
    """What becomes of each row, by its case; one Spark job."""
    read = kuairand.read(parquet_rows([GOOD | changes for changes, _ in CASES.values()]))
    micros = read.withColumn("micros", F.unix_micros("event_time")).collect()
    return {list(CASES)[row["line"] - 1]: row for row in micros}


@pytest.mark.parametrize("name", CASES)
def test_a_row_is_read_or_rejected_with_column_and_value(records, name):
    assert records[name]["reason"] == CASES[name][1]


def test_an_impression_is_one_event_named_by_user_video_and_time(records):
    event = records["an impression"]
    assert event["event_id"] == f"kuairand:712-5239-{TIME_MS}"
    assert (event["user_id"], event["item_id"], event["surface"]) == ("kuairand:712", "kuairand:5239", "kuairand:1")
    assert (event["model_id"], event["source"], event["duration_ms"]) == ("kuairand:standard", "kuairand", 0)
    assert event["micros"] == TIME_MS * 1000
    nulls = ("request_id", "position", "experiment_id", "variant", "device_class", "country", "revenue_micros")
    assert [event[name] for name in nulls] == [None] * 7


def test_a_row_reports_an_impression_and_a_type_for_each_flag(records):
    types = ["impression", "click", "like", "follow", "comment", "share", "hide"]
    assert records["every flag"]["event_types"] == types
    assert records["an impression"]["event_types"] == ["impression"]


def test_likes_without_clicks_and_clicks_without_play_time_are_kept_as_logged(records):
    like, click = records["a like without a click, played and looked at"], records["a click with no play time"]
    assert (like["event_types"], like["duration_ms"]) == (["impression", "like"], 4165)
    assert (click["event_types"], click["duration_ms"]) == (["impression", "click"], 0)


def test_neither_play_time_nor_a_long_view_is_a_play(records):
    """Videos start by themselves: a play that nobody asked for would make nearly every impression an engaged one."""
    assert all("play" not in (row["event_types"] or []) for row in records.values())


def test_a_random_video_has_a_model_of_its_own(records):
    assert records["a random video"]["model_id"] == "kuairand:random"


def test_the_time_is_that_of_time_ms_whatever_date_and_hourmin_say(records):
    assert records["a day that is not that of time_ms"]["micros"] == TIME_MS * 1000


def test_a_rejected_row_keeps_what_it_said(records):
    assert json.loads(records["a flag of two"]["raw"])["is_hate"] == "2"
    assert records["a flag of two"]["event_id"] is None


def test_columns_have_any_type_and_may_be_missing(spark):
    rows = spark.range(1).selectExpr(
        "'file:///landing/a.parquet' AS source_file",
        "'a.parquet' AS file_name",
        "id + 1 AS line",
        "TIMESTAMP '2026-05-01 13:00:00Z' AS received_at",
        "TIMESTAMP '2026-05-01 13:00:00Z' AS arrival_hour",
        "named_struct('a', map(1, x'80')) AS user_id",
        "712.0D AS video_id",
        "x'80' AS tab",
        "true AS is_click",
        "'foreign' AS like",
    )
    row = kuairand.read(rows).collect()[0]
    assert row["reason"] == "time_ms is missing"
    assert sorted(json.loads(row["raw"])) == ["is_click", "tab", "user_id", "video_id"]


def test_a_file_without_any_known_column_rejects_its_rows(parquet_rows):
    foreign = parquet_rows([GOOD]).drop(*kuairand.READ)
    assert [(row["reason"], row["raw"]) for row in kuairand.read(foreign).collect()] == [("user_id is missing", "{}")]


def cleaned(*files):
    """Files of records through events.landed to events.clean, by event id."""
    records = files[0]
    for other in files[1:]:
        records = records.unionByName(other)
    rows = landed.transform(records).withColumn("hour", F.col("event_hour"))
    return {row["event_id"]: row for row in clean.transform(rows).collect()}


def test_of_rows_that_disagree_the_first_in_the_file_is_kept_whole(parquet_rows):
    less, more = {"play_time_ms": 1047}, {"play_time_ms": 2852, "is_click": 1}
    other = GOOD | {"user_id": 713}
    rows = [GOOD | less, GOOD | more, other | more, other | less, other | less]
    kept = cleaned(kuairand.read(parquet_rows(rows)))
    assert len(kept) == 2
    first, second = (kept[f"kuairand:{user}-5239-{TIME_MS}"] for user in (712, 713))
    assert (first["event_types"], first["duration_ms"]) == (["impression"], 1047)
    assert (second["event_types"], second["duration_ms"]) == (["impression", "click"], 2852)


def test_a_later_file_that_disagrees_changes_nothing(parquet_rows):
    early = kuairand.read(parquet_rows([GOOD | {"play_time_ms": 1}], "log_z.parquet"))
    late = kuairand.read(
        parquet_rows([GOOD | {"play_time_ms": 9, "is_click": 1}], "log_a.parquet", ARRIVAL + timedelta(minutes=1))
    )
    assert [row["duration_ms"] for row in cleaned(early, late).values()] == [1]


@pytest.mark.parametrize("name", ["user_id", "video_id", "time_ms"])
def test_rows_that_differ_in_user_video_or_time_are_different_events(parquet_rows, name):
    assert len(cleaned(kuairand.read(parquet_rows([GOOD, GOOD | {name: GOOD[name] + 1}])))) == 2


def log(tmp_path, times):
    path = tmp_path / "log_standard.parquet"
    pq.write_table(pa.Table.from_pylist([GOOD | {"user_id": n, "time_ms": t} for n, t in enumerate(times)]), path)
    return path


HOUR_MS = 3_600_000
START_MS = TIME_MS - TIME_MS % HOUR_MS


def test_a_replay_moves_time_ms_and_drops_the_other_times(tmp_path):
    path = log(tmp_path, [START_MS + HOUR_MS, START_MS + HOUR_MS - 1, START_MS])
    pieces = list(kuairand.replay(path, path.name, timedelta(days=-1)))
    hours = [datetime(2026, 4, 30, hour, tzinfo=UTC) for hour in (13, 14)]
    assert [(hour, name) for hour, name, _ in pieces] == [(hour, path.name) for hour in hours]
    rows = [row for *_, content in pieces for row in pq.read_table(io.BytesIO(content)).to_pylist()]
    day = 24 * HOUR_MS
    expected = [(1, START_MS + HOUR_MS - 1 - day), (2, START_MS - day), (0, START_MS + HOUR_MS - day)]
    same = {name: value for name, value in GOOD.items() if name not in ("date", "hourmin")}
    assert rows == [same | {"user_id": user, "time_ms": time} for user, time in expected]


def test_a_row_without_a_readable_time_goes_with_the_row_before_it(tmp_path):
    path = log(tmp_path, [None, START_MS + HOUR_MS, None, START_MS, -5])
    pieces = [pq.read_table(io.BytesIO(content)) for *_, content in kuairand.replay(path, path.name, timedelta(0))]
    assert [piece["user_id"].to_pylist() for piece in pieces] == [[0, 3, 4], [1, 2]]
    assert [piece["time_ms"].to_pylist() for piece in pieces] == [[None, START_MS, -5], [START_MS + HOUR_MS, None]]


def test_a_span_is_the_first_and_the_last_event_time(tmp_path):
    assert kuairand.span(log(tmp_path, [None, START_MS + 250, START_MS])) == (
        datetime(2026, 5, 1, 13, tzinfo=UTC),
        datetime(2026, 5, 1, 13, 0, 0, 250_000, tzinfo=UTC),
    )


def test_a_file_that_cannot_be_replayed_says_why(tmp_path):
    with pytest.raises(ValueError, match="no row with a readable time_ms"):
        kuairand.span(log(tmp_path, [-1]))
    path = tmp_path / "log_other.parquet"
    pq.write_table(pa.table({"time": [1]}), path)
    with pytest.raises(ValueError, match=r"log_other\.parquet has no column time_ms of whole numbers"):
        kuairand.span(path)
    path.write_bytes(b"no Parquet")
    with pytest.raises(ValueError, match="Parquet"):
        kuairand.span(path)
    with pytest.raises(ValueError, match="whole milliseconds"):
        list(kuairand.replay(path, path.name, timedelta(microseconds=1)))
