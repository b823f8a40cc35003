"""Frames: every row of every registered file, with its place, however Spark cuts files and packs them into tasks."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feedmill.connections import CATALOG
from feedmill.flow.rows import frames
from feedmill.flow.rows.parquet import read_schema
from feedmill.flow.rows.readers import Read, Reader
from feedmill.lake.catalog import Lake
from feedmill.ledger.models import File
from feedmill.spec import Files, Input, Maintainer, Source, Table
from feedmill.timeline import DAY, HOUR, Period, Range, days, hours

START = datetime(2026, 5, 1, 10, tzinfo=UTC)
TEAM = Maintainer("team", description="tests", link="mailto:team@example.com")
FACTS = ("source_file", "file_name", "line")
NAMES = (
    *("plain.jsonl", "two words.jsonl", "100%20.jsonl", "für.jsonl", "a[1]{b}*?.jsonl", "x+y=z#1.jsonl", " lead.jsonl"),
    *(
        "fu\u0308r.jsonl",
        "13:00:00.jsonl",
        "a::b.jsonl",
        "file:a.jsonl",
        "new\nline.jsonl",
        "\ttab\r.jsonl",
        "\\[.jsonl",
    ),
    *("back\\slash.jsonl", "%2F%zz.jsonl", "~\"quoted'`.jsonl", "\u202e\x01\x7f.jsonl", "😀.jsonl", "a,b;c&d|e.jsonl"),
    *("-$HOME!@^.jsonl", "x" * 249 + ".jsonl", "hour=1.jsonl", "<a>.jsonl", "\u2028\ufeff.jsonl"),
)


def registered(path: Path, source: str = "events_jsonl", defect: str | None = None) -> File:
    return File(
        path=f"file://{path}",
        source=source,
        kind="events",
        arrival_hour=START,
        size=0,
        etag="",
        defect=defect,
        received_at=START,
        number=1,
    )


@pytest.fixture
def small_blocks(spark: Any) -> Iterator[Any]:
    """A session that cuts files into blocks of 200 bytes and packs several of them into a task."""
    spark.conf.set("spark.sql.files.maxPartitionBytes", "200")
    spark.conf.set("spark.sql.files.openCostInBytes", "10")
    yield spark
    spark.conf.unset("spark.sql.files.maxPartitionBytes")
    spark.conf.unset("spark.sql.files.openCostInBytes")


def text_of(file: int, count: int) -> list[str]:
    """Lines of different lengths; every seventh is blank, which has a number but no row; two fill several blocks."""
    return ["" if n % 7 == 6 else f"{file}:{n}:" + "x" * (1500 if n in (3, 50) else n % 23) for n in range(count)]


def test_lines_keep_their_numbers_in_blocks_and_packs_under_any_name(small_blocks: Any, tmp_path: Path) -> None:
    files, expected = [], set()
    for index, name in enumerate(NAMES):
        lines = text_of(index, 60 if index < 2 else 5)
        path = tmp_path / name
        end = "\n" if index % 2 else ""
        path.write_bytes(("\n".join(lines) + end).encode())
        files.append(registered(path))
        expected |= {(f"file://{path}", name, n, line) for n, line in enumerate(lines, 1) if line}
    (tmp_path / ".plain.jsonl.crc").write_bytes(b"crc\0\0\0\x02\0\xde\xad\xbe\xef")
    path = tmp_path / "packed.jsonl.gz"
    lines = text_of(9, 40)
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    files.append(registered(path))
    expected |= {(f"file://{path}", path.name, n, line) for n, line in enumerate(lines, 1) if line}
    (frame,) = frames._lines(small_blocks, files, {})
    rows = [(r["source_file"], r["file_name"], r["line"], r["raw"]) for r in frame.collect()]
    assert len(rows) == len(set(rows))
    assert set(rows) == expected


def test_blank_lines_and_nothing_else_are_dropped_and_bytes_arrive_unharmed(spark: Any, tmp_path: Path) -> None:
    from pyspark.sql import functions as F

    path = tmp_path / "dirt.jsonl"
    lines = [b"a\r", b"\r", b"", b" \t ", b"caf\xe9 \xff\xfe", b"\x00", b"\xff", "ü".encode(), b" b "]
    path.write_bytes(b"\n".join(lines) + b"\n")
    (frame,) = frames._lines(spark, [registered(path)], {})
    rows = frame.select("line", F.hex(F.encode("raw", "UTF-8")).alias("text"), F.hex("raw").alias("hex")).collect()
    kept = {n: line for n, line in enumerate(lines, 1) if line.strip(b" \t\r")}
    assert {row["line"]: bytes.fromhex(row["hex"]) for row in rows} == kept


def test_parquet_rows_are_numbered_and_two_schemas_are_read_each_by_its_own(small_blocks: Any, tmp_path: Path) -> None:
    # Row groups of 10, so that blocks cut the file too.
    first, again, other = tmp_path / "two words.parquet", tmp_path / "100%20 ü.parquet", tmp_path / "a[1].parquet"
    pq.write_table(pa.table({"n": list(range(40)), "x": ["a" * 30] * 40}), first, row_group_size=10)
    pq.write_table(pa.table({"n": [100, 101], "x": ["b", "c"]}), again)
    pq.write_table(pa.table({"n": ["text", "too"], "line": [7, 8]}), other)
    files = [registered(p, "events_parquet") for p in (first, again, other)]
    by_schema, unreadable = frames._by_schema(files, ("n", "x", "y"))
    assert (len(by_schema), unreadable) == (2, {})
    found = [frames._parquet_rows(small_blocks, schema, group) for schema, group in by_schema.items()]
    rows = [row.asDict() for frame in found for row in frame.collect()]
    assert {(row["file_name"], row["line"], row["n"]) for row in rows} == {
        *((first.name, n + 1, n) for n in range(40)),
        (again.name, 1, 100),
        (again.name, 2, 101),
        (other.name, 1, "text"),
        (other.name, 2, "too"),
    }
    assert len(rows) == 44


MINUTE = pa.array([START + timedelta(minutes=1)], pa.timestamp("us", "UTC"))
WRITTEN = {
    "flag": pa.array([True]),
    "byte": pa.array([-1], pa.int8()),
    "short": pa.array([-1], pa.int16()),
    "int": pa.array([-1], pa.int32()),
    "long": pa.array([-1]),
    "unsigned_byte": pa.array([200], pa.uint8()),
    "unsigned_short": pa.array([60_000], pa.uint16()),
    "unsigned_int": pa.array([4_000_000_000], pa.uint32()),
    "unsigned_long": pa.array([18_000_000_000_000_000_000], pa.uint64()),
    "float": pa.array([0.5], pa.float32()),
    "double": pa.array([0.5]),
    "decimal": pa.array([1], pa.decimal128(5, 2)),
    "text": pa.array(["a"]),
    "large_text": pa.array(["a"], pa.large_string()),
    "dictionary": pa.array(["a"]).dictionary_encode(),
    "bytes": pa.array([b"a"]),
    "fixed_bytes": pa.array([b"ab"], pa.binary(2)),
    "date": pa.array([date(2026, 5, 1)]),
    "duration": pa.array([1], pa.duration("us")),
    "time": MINUTE,
    "time_in_milliseconds": MINUTE.cast(pa.timestamp("ms", "UTC")),
    "time_without_zone": pa.array([datetime(2026, 5, 1)], pa.timestamp("us")),
    "list": pa.array([["a", None]]),
    "map": pa.array([[(1, "a")]], pa.map_(pa.int32(), pa.string())),
    "struct.with.dots": pa.array([{"a.b": 1, "c": [{"d": "x"}]}]),
}


@pytest.mark.parametrize("int96", [False, True])
def test_a_column_has_the_type_that_spark_itself_gives_it(spark: Any, tmp_path: Path, int96: bool) -> None:
    from pyspark.sql.types import StructType

    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(WRITTEN), path, use_deprecated_int96_timestamps=int96)
    schema = StructType.fromJson(json.loads(read_schema(pq.ParquetFile(path), WRITTEN)))
    given, own = spark.read.schema(schema).parquet(str(path)), spark.read.parquet(str(path))
    # A time in milliseconds is read as the number that is stored, whatever it is.
    number = given.selectExpr(
        *(
            f"timestamp_millis({name}) AS {name}" if name == "time_in_milliseconds" and not int96 else f"`{name}`"
            for name in given.columns
        )
    )
    assert number.dtypes == own.dtypes
    assert number.collect() == own.collect()


def test_a_file_with_a_defect_is_one_record_with_its_reason_beside_the_rows_of_the_others(
    spark: Any, tmp_path: Path
) -> None:
    from include.spark.sources.events_jsonl import SOURCE

    good = tmp_path / "good.jsonl"
    event = {"event_id": "e1", "event_time": START.isoformat(), "event_type": "click", "item_id": "i1"}
    good.write_text(json.dumps(event) + "\n{broken\n")
    broken = registered(tmp_path / "gone.jsonl.gz", defect="truncated gzip: it ends after line 3")
    entry = Files("events")
    reader = Table("events.landed", HOUR, [entry], TEAM, 2, days(9))
    sources: dict[str, Source] = {"events_jsonl": SOURCE}
    reads = Reader(reader, reader.one(START), "arrival_hour")
    rows = frames.records(spark, entry, reads, [registered(good), broken], sources).collect()
    by_line = {(row["source_file"].rpartition("/")[2], row["line"]): row for row in rows}
    assert by_line.keys() == {("good.jsonl", 1), ("good.jsonl", 2), ("gone.jsonl.gz", None)}
    assert by_line["good.jsonl", 1]["reason"] is None
    assert by_line["good.jsonl", 1]["event_id"] == "e1"
    assert by_line["good.jsonl", 2]["raw"] == "{broken"
    defect = by_line["gone.jsonl.gz", None]
    assert (defect["reason"], defect["raw"], defect["source"]) == (broken.defect, None, "events_jsonl")
    assert defect["arrival_hour"].astimezone(UTC) == START
    nothing = frames.records(spark, entry, reads, [], sources)
    assert nothing.columns == list(rows[0].asDict())
    assert nothing.count() == 0


def parquet_records(spark: Any, tmp_path: Path, **files: dict[str, Any]) -> dict[str, Any]:
    """The one record of each file, by its name."""
    from include.spark.sources.events_parquet import SOURCE

    for name, columns in files.items():
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    entry = Files("events")
    reader = Table("events.landed", HOUR, [entry], TEAM, 2, days(9))
    given = [registered(tmp_path / f"{name}.parquet", SOURCE.name) for name in files]
    reads = Reader(reader, reader.one(START), "arrival_hour")
    rows = frames.records(spark, entry, reads, given, {SOURCE.name: SOURCE}).collect()
    assert len(rows) == len(files)
    return {Path(row["source_file"]).stem: row for row in rows}


CLICK = {"event_id": ["e1"], "event_time": MINUTE, "event_type": ["click"], "item_id": ["i1"]}
FOREIGN = {
    "geo.country": ["x"],
    "place": ["x"],
    "_metadata": ["x"],
    "line": [7],
    "Flag": [1],
    "flag": [2],
    "seen_at": pa.array([1], pa.timestamp("ns", "UTC")),
    "clock": pa.array([1], pa.time64("us")),
}


def test_parquet_columns_that_nobody_reads_may_have_any_name_and_type(spark: Any, tmp_path: Path) -> None:
    rows = parquet_records(
        spark,
        tmp_path,
        plain=CLICK,
        odd=FOREIGN | CLICK,
        nothing_known=FOREIGN | {"EVENT_ID": ["e1"]},
        of_nulls=CLICK | {"user_id": pa.nulls(1), "position": pa.nulls(1)},
    )
    assert {name: row["reason"] for name, row in rows.items()} == {
        "plain": None,
        "odd": None,
        "nothing_known": "event_id is missing",
        "of_nulls": None,
    }
    assert (rows["odd"]["event_id"], rows["odd"]["line"]) == ("e1", 1)
    assert rows["odd"]["event_time"] == rows["plain"]["event_time"]


def test_a_parquet_file_with_a_column_that_spark_does_not_read_is_one_record_with_its_reason(
    spark: Any, tmp_path: Path
) -> None:
    again = "land the rows in a new file, with"
    rows = parquet_records(
        spark,
        tmp_path,
        good=CLICK,
        nanoseconds=CLICK | {"event_time": MINUTE.cast(pa.timestamp("ns", "UTC"))},
        naive_milliseconds=CLICK | {"event_time": pa.array([2**63 - 1], pa.timestamp("ms"))},
        nested=CLICK | {"surface": pa.array([[1]], pa.list_(pa.timestamp("ns")))},
        twice=CLICK | {"user_id": ["u"], "User_ID": ["v"]},
        uuid=CLICK | {"event_id": pa.array([b"0" * 16], pa.uuid())},
    )
    assert {name: row["reason"] for name, row in rows.items()} == {
        "good": None,
        "nanoseconds": f"event_time: Spark does not read times in nanoseconds; {again} microseconds",
        "naive_milliseconds": f"event_time: Spark may fail on times in milliseconds without a zone; {again} a zone",
        "nested": f"surface.list.element: Spark does not read times in nanoseconds; {again} microseconds",
        "twice": f"user_id: Spark takes the columns user_id and User_ID for one; {again} one of them renamed",
        "uuid": f"event_id: Spark does not read Parquet's type UUID as written; {again} another type",
    }
    assert {(row["line"], row["raw"], row["source"]) for name, row in rows.items() if name != "good"} == {
        (None, None, "events_parquet")
    }


def test_a_parquet_value_of_any_type_costs_at_most_its_own_row(spark: Any, tmp_path: Path) -> None:
    def at(value: int, unit: str) -> dict[str, Any]:
        return CLICK | {"event_time": pa.array([value], pa.timestamp(unit, "UTC"))}

    no_time = "is not an ISO 8601 time with a zone or a number of epoch milliseconds"
    future = "is in the future: more than 5 minutes after the end of the arrival hour 2026-05-01T10:00:00Z"
    cases: dict[str, tuple[dict[str, Any], str | None]] = {
        "milliseconds": (at(1_777_630_000_000, "ms"), None),
        "seconds": (at(1_777_630_000, "s"), None),
        "last_millisecond": (at(2**63 - 1, "ms"), f"event_time: '{2**63 - 1}' {no_time}"),
        "first_millisecond": (at(-(2**63), "ms"), f"event_time: '{-(2**63)}' {no_time}"),
        "last_microsecond": (at(2**63 - 1, "us"), f"event_time: +294247-01-10T04:00:54Z {future}"),
        "first_microsecond": (
            at(-(2**63), "us"),
            "event_time: -290308-12-21T19:59:05Z is before 2000-01-01; epoch times are in milliseconds",
        ),
        "decimal": (CLICK | {"position": pa.array([Decimal(3)], pa.decimal128(38, 18))}, None),
        "small_decimal": (
            CLICK | {"position": pa.array([Decimal("1e-18")], pa.decimal128(38, 18))},
            "position: '0.000000000000000001' is not a whole number",
        ),
        "double": (CLICK | {"position": [0.0]}, None),
        "small_double": (CLICK | {"position": [1e-30]}, "position: '1.0E-30' is not a whole number"),
        "nan": (CLICK | {"position": [float("nan")]}, "position: 'NaN' is not a whole number"),
        "infinity": (CLICK | {"duration_ms": [float("-inf")]}, "duration_ms: '-Infinity' is not a whole number"),
        "unsigned": (
            CLICK | {"duration_ms": pa.array([2**64 - 1], pa.uint64())},
            "duration_ms: '18446744073709551615' is not a number of 64 bits",
        ),
        "large": (CLICK | {"revenue_micros": [2**63 - 1]}, f"revenue_micros: {2**63 - 1} is more than 1000000000"),
        "dictionary": (CLICK | {"user_id": pa.array(["u"]).dictionary_encode()}, None),
        "large_string": (CLICK | {"user_id": pa.array(["u"], pa.large_string())}, None),
        "nul": (CLICK | {"user_id": ["a\0"]}, "user_id: 'a\u2400' holds a NUL or half of a surrogate pair"),
        "not_utf8": (
            CLICK | {"user_id": pa.array([b"\xed\xa0\x80"]).cast(pa.string(), safe=False)},
            "user_id: the bytes are not valid UTF-8",
        ),
        "blank": (CLICK | {"event_id": ["\u3000\u200b"]}, "event_id is missing"),
        "long": (CLICK | {"item_id": ["x" * 2000]}, f"item_id: '{'x' * 80}…' has 2000 characters, more than 1024"),
        "binary": (CLICK | {"user_id": [b"u"]}, "user_id: 'u' is not a string"),
        "lists": (
            CLICK | {"surface": [[["x"]]]},
            'surface: \'{"value":"{\\"surface\\":[[\\"x\\"]]}"}\' is not a string',
        ),
    }
    rows = parquet_records(spark, tmp_path, **{name: columns for name, (columns, _) in cases.items()})
    assert {name: row["reason"] for name, row in rows.items()} == {name: reason for name, (_, reason) in cases.items()}


def test_a_window_s_rows_say_which_day_they_stood_in_and_bear_the_reader_s(spark: Any, lake: Lake) -> None:
    from include.tables import item_engagement_daily

    first = date(2026, 5, 1)
    fields = lake.ddl(item_engagement_daily).columns
    values = {"BIGINT": "0", "STRING": "'x'", "BINARY": "NULL", "DATE": f"date_add(DATE '{first}', CAST(id AS INT))"}
    rows = spark.range(4).selectExpr(*[f"CAST({values[c.sql_type]} AS {c.sql_type}) AS {c.name}" for c in fields])
    iceberg = lake.ensure(item_engagement_daily)
    rows.writeTo(f"{CATALOG}.{item_engagement_daily.name}").append()
    snapshot = iceberg.refresh().current_snapshot().snapshot_id
    span = Range.one(datetime(2026, 5, 3, tzinfo=UTC), DAY)
    for lookback, lag, expected in ((1, 0, [1, 2]), (1, 1, [1]), (0, 0, None)):
        entry = Input(item_engagement_daily, lookback=days(lookback), lag=days(lag))
        reads = Reader(item_engagement_daily, span, "day")
        rows = frames.rows_of(spark, entry, reads, Read(["day"], snapshot_id=snapshot))
        assert {row["day"] for row in rows.collect()} == {date(2026, 5, 3)}
        if expected is None:
            assert "read_day" not in rows.columns
        else:
            assert sorted((row["read_day"] - first).days for row in rows.collect()) == expected


@pytest.mark.parametrize(
    ("every", "lookback", "lag"),
    [
        pytest.param(HOUR, hours(3), hours(0), id="hours-of-an-hour"),
        pytest.param(HOUR, hours(3), hours(2), id="hours-of-an-hour-but-the-last-two"),
        pytest.param(DAY, days(1), hours(0), id="hours-of-two-days"),
        pytest.param(DAY, days(2), days(1), id="hours-of-the-two-days-before"),
        pytest.param(DAY, hours(5), hours(3), id="hours-across-midnight"),
    ],
)
def test_a_range_s_windows_give_each_partition_the_rows_that_it_would_read_alone(
    spark: Any, lake: Lake, every: Period, lookback: timedelta, lag: timedelta
) -> None:
    from include.tables import item_engagement_hourly as hourly

    iceberg = lake.ensure(hourly)
    values = {"BIGINT": "0", "STRING": "CAST(id AS STRING)", "BINARY": "NULL"}
    midnight = "TIMESTAMP '2026-04-28 00:00:00'"
    values["TIMESTAMP"] = f"coalesce({midnight} + make_dt_interval(0, CAST(id AS INT)), {midnight})"
    rows = spark.range(192).selectExpr(
        *[f"CAST({values[c.sql_type]} AS {c.sql_type}) AS {c.name}" for c in lake.ddl(hourly).columns]
    )
    rows.writeTo(f"{CATALOG}.{hourly.name}").append()
    snapshot = iceberg.refresh().current_snapshot().snapshot_id
    entry = Input(hourly, lookback=lookback, lag=lag)
    reader = Table("rollups.item_engagement_daily" if every is DAY else hourly.name, every, [entry], TEAM, 2, days(9))
    span = Range(datetime(2026, 5, 2, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC) + 3 * every.length, every)
    mine = lake.ddl(reader).partition_column

    def read(part: Range) -> list[tuple[Any, str]]:
        read = Read(["hour"], snapshot_id=snapshot)
        found = frames.rows_of(spark, entry, Reader(reader, part, mine), read).select(mine, "item_id")
        return sorted((row[mine], row["item_id"]) for row in found.collect())

    alone = [row for partition in span.partitions() for row in read(reader.one(partition))]
    assert len(alone) == 3 * (lookback + every.length - lag) // HOUR.length
    assert read(span) == sorted(alone)


def test_the_small_files_of_a_table_of_hours_are_read_by_few_tasks(spark: Any, lake: Lake) -> None:
    hourly = Table("rollups.item_engagement_hourly", HOUR, [], TEAM, 2, days(9))
    iceberg = lake.ensure(hourly)
    values = {"BIGINT": "0", "STRING": "'x'", "BINARY": "NULL"}
    values["TIMESTAMP"] = "TIMESTAMP '2026-05-01 00:00:00' + make_dt_interval(0, CAST(id AS INT))"
    rows = spark.range(64).selectExpr(
        *[f"CAST({values[c.sql_type]} AS {c.sql_type}) AS {c.name}" for c in lake.ddl(hourly).columns]
    )
    rows.writeTo(f"{CATALOG}.{hourly.name}").append()
    snapshot = iceberg.refresh().current_snapshot()
    assert int(snapshot.summary["total-data-files"]) == 64
    tasks = frames.at_snapshot(spark, hourly, snapshot.snapshot_id).selectExpr("spark_partition_id()").collect()
    assert len(tasks) == 64
    assert len(set(tasks)) == 2, "32 files a task"


def test_a_dimension_s_rows_come_once_for_each_partition_that_reads_them(spark: Any, lake: Lake) -> None:
    from include.tables import item_engagement_daily as daily

    first = datetime(2026, 5, 1, tzinfo=UTC)
    values = {"BIGINT": "0", "STRING": "'x'", "BINARY": "NULL", "DATE": "date_add(DATE '2026-05-01', CAST(id AS INT))"}
    rows = spark.range(4).selectExpr(
        *[f"CAST({values[c.sql_type]} AS {c.sql_type}) AS {c.name}" for c in lake.ddl(daily).columns]
    )
    iceberg = lake.ensure(daily)
    rows.writeTo(f"{CATALOG}.{daily.name}").append()
    snapshot = iceberg.refresh().current_snapshot().snapshot_id
    entry = Input(daily, as_of=True)

    def read(reader: Table, span: Range, as_of: dict[datetime, datetime], *columns: str) -> list[tuple[Any, ...]]:
        mine = lake.ddl(reader).partition_column
        found = frames.rows_of(spark, entry, Reader(reader, span, mine), Read(["day"], as_of, snapshot))
        return sorted({tuple(row) for row in found.select(*columns).collect()})

    hourly = Table("rollups.item_engagement_hourly", HOUR, [entry], TEAM, 2, days(9))
    noon = first + days(2) + hours(12)
    read_then = {noon: first, noon + hours(1): first, noon + hours(3): first + days(2)}
    by_hour = read(hourly, Range(noon, noon + hours(4), HOUR), read_then, "hour", "day")
    assert [(row[0].astimezone(UTC), row[1]) for row in by_hour] == [
        (noon, date(2026, 5, 1)),
        (noon + hours(1), date(2026, 5, 1)),
        (noon + hours(3), date(2026, 5, 3)),
    ]
    day = first + days(3)
    assert read(daily, Range.one(day, DAY), {day: first + days(1)}, "day", "read_day") == [
        (date(2026, 5, 4), date(2026, 5, 2))
    ]
    assert read(hourly, Range.one(noon, HOUR), {}, "hour", "day") == []


def test_a_window_over_files_gives_each_day_the_records_that_it_would_read_alone(spark: Any, tmp_path: Path) -> None:
    from include.spark.sources.items_jsonl import SOURCE

    start = datetime(2026, 5, 1, tzinfo=UTC)
    files = []
    for number in range(0, 5 * 24, 6):
        path = tmp_path / f"{number:03d}.jsonl"
        path.write_text(json.dumps({"item_id": f"i{number:03d}"}) + "\n")
        file = registered(path, "items_jsonl")
        file.kind, file.arrival_hour = "items", start + hours(number)
        files.append(file)
    entry = Files("items", lookback=days(1))
    reader = Table("catalog.items", DAY, [entry], TEAM, 2, days(9))

    def read(span: Range) -> list[tuple[date, str]]:
        begin, end = entry.window(span)
        chosen = [file for file in files if begin <= file.arrival_hour < end]
        found = frames.records(spark, entry, Reader(reader, span, "day"), chosen, {"items_jsonl": SOURCE})
        return sorted((row["day"], row["item_id"]) for row in found.select("day", "item_id").collect())

    span = Range(start + days(1), start + days(4), DAY)
    alone = [row for partition in span.partitions() for row in read(reader.one(partition))]
    assert len(alone) == 3 * 2 * 4
    assert read(span) == sorted(alone)


def test_a_registered_file_that_spark_passes_over_fails_rather_than_missing_in_silence(
    spark: Any, tmp_path: Path
) -> None:
    seen, hidden = tmp_path / "seen.jsonl", tmp_path / "_hidden.jsonl"
    for path in (seen, hidden):
        path.write_text("{}\n")
    with pytest.raises(RuntimeError, match=r"does not read 1 of 2 registered files: file://.*/_hidden.jsonl"):
        frames._lines(spark, [registered(seen), registered(hidden)], {})
