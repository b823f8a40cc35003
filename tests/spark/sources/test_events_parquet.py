"""The contract's events as Parquet: columns of other types and missing columns are reasons of rows, not failures."""

import json
from datetime import UTC, datetime, timedelta
from functools import reduce

import pytest
from pyspark.sql import functions as F

from include.spark.sources import events_parquet

PLACE = (
    "'file:///landing/a.parquet' AS source_file",
    "'a.parquet' AS file_name",
    "TIMESTAMP '2026-05-01 13:00:00Z' AS received_at",
    "TIMESTAMP '2026-05-01 13:00:00Z' AS arrival_hour",
)

GOOD = {
    "event_id": "'e1'",
    "event_time": "TIMESTAMP '2026-05-01 13:05:00.000007Z'",
    "event_types": "array('impression')",
    "item_id": "'i1'",
}

TIME = "is not an ISO 8601 time with a zone or a number of epoch milliseconds"
TYPES = "impression, click, like, share, comment, follow, save, hide, opt_out, play"

# The rows of one file share its columns; each file costs a plan, so what can share one does.
FILES = [
    {
        "a good row": ({}, None),
        "doubles that are whole, as pandas writes integers with nulls": ({"duration_ms": "5.0D"}, None),
        "a numbered user": ({"user_id": "12"}, None),
        "a column that nobody knows": ({"flags": "map(1, 2)"}, None),
        "a null event_id": ({"event_id": "CAST(NULL AS STRING)"}, "event_id is missing"),
        "a map with numbers as keys": (
            {"surface": "map(1, 2)"},
            'surface: \'{"value":"{\\"surface\\":{\\"1\\":2}}"}\' is not a string',
        ),
        "a struct as position": (
            {"position": "named_struct('a', 1)"},
            'position: \'{"value":"{\\"position\\":{\\"a\\":1}}"}\' is not a whole number',
        ),
        "an unknown type": ({"event_types": "array('clik')"}, f"event_types: 'clik' is not one of {TYPES}"),
        "not a number": ({"duration_ms": "CAST('NaN' AS DOUBLE)"}, "duration_ms: 'NaN' is not a whole number"),
        "text that is not UTF-8": ({"country": "CAST(x'80' AS STRING)"}, "country: the bytes are not valid UTF-8"),
    },
    {
        "epoch milliseconds, one event type, a column of nulls without type": (
            {"event_time": "1777640700000", "event_types": None, "event_type": "'play'", "user_id": "NULL"},
            None,
        )
    },
    {
        "an ISO text, no item_id column": (
            {"event_time": "'2026-05-01T13:05:00Z'", "item_id": None},
            "item_id is missing",
        )
    },
    {
        "a time without zone": (
            {"event_time": "TIMESTAMP_NTZ '2026-05-01 13:05:00'"},
            f"event_time: '2026-05-01 13:05:00' {TIME}",
        )
    },
    {"bytes as event_id": ({"event_id": "x'6180'"}, "event_id: 'a�' is not a string")},
    {
        "types as a map": (
            {"event_types": "map('click', true)"},
            'event_types: \'{"value":"{\\"event_types\\":{\\"click\\":true}}"}\' is not a list of strings',
        )
    },
]

CASES = {name: case for file in FILES for name, case in file.items()}


@pytest.fixture(scope="module")
def records(spark):
    """What becomes of each row, by its name; one Spark job for all files."""
    read = [events_parquet.read(spark.sql(query(file))) for file in FILES]
    union = reduce(lambda one, other: one.unionByName(other), read).withColumn("micros", F.unix_micros("event_time"))
    return {list(CASES)[row["line"] - 1]: row for row in union.collect()}


def query(file):
    """A file's rows as SQL; a line is the row's number among all cases."""
    columns = {c: None for changes, _ in file.values() for c, value in (GOOD | changes).items() if value is not None}
    return " UNION ALL ".join(
        "SELECT "
        + ", ".join(
            [
                *PLACE,
                f"CAST({list(CASES).index(name) + 1} AS BIGINT) AS line",
                *(f"{(GOOD | changes).get(column, 'NULL')} AS {column}" for column in columns),
            ]
        )
        for name, (changes, _) in file.items()
    )


@pytest.mark.parametrize("name", CASES)
def test_a_row_is_read_or_rejected_with_field_and_value(records, name):
    assert records[name]["reason"] == CASES[name][1]


def test_a_timestamp_keeps_its_microseconds(records):
    assert records["a good row"]["micros"] == 1777640700000007


def test_a_whole_double_is_a_whole_number(records):
    assert records["doubles that are whole, as pandas writes integers with nulls"]["duration_ms"] == 5


def test_raw_is_the_row_as_json_where_it_is_wrong(records):
    assert json.loads(records["an unknown type"]["raw"]) == {
        "event_id": "e1",
        "event_time": "2026-05-01T13:05:00.000007Z",
        "event_types": ["clik"],
        "item_id": "i1",
    }
    assert records["a good row"]["raw"] is None


TYPED = (
    "event_id string, event_time timestamp, event_types array<string>, event_type string, item_id string, "
    "user_id string, surface string, position int, duration_ms bigint, revenue_micros smallint"
)
AT = datetime(2026, 5, 1, 13, 5, tzinfo=UTC)
ROWS = [
    ("e1", AT, ["click", "impression", "click"], "play", "i1", " u ", "  ", 3, 5, 7),
    ("e2", AT, None, "play", "i1", "", None, None, None, None),
    ("e3", AT, None, " ", "i1", None, "home", 0, 0, 0),
    ("e4", AT, [], None, "i1", None, "home", 0, 0, 0),
    ("e5", AT, ["click", None], None, "i1", None, "home", 0, 0, 0),
    ("e6", AT, ["clik"], None, "i1", None, "home", 0, 0, 0),
    (" ", AT, ["click"], None, "i1", None, None, None, None, None),
    ("e7", None, ["click"], None, "i1", None, None, None, None, None),
    ("e8", AT, ["click"], None, None, None, None, None, None, None),
    ("e9", AT, ["click"], None, "i1", None, None, -1, None, None),
    ("e10", AT, ["click"], None, "i1", None, None, None, -1, None),
    ("e11", datetime(1999, 12, 31, tzinfo=UTC), ["click"], None, "i1", None, None, None, None, None),
    ("e12", AT + timedelta(days=1), ["click"], None, "i1", None, None, None, None, None),
]


@pytest.mark.parametrize("missing", [(), ("event_type",), ("event_types",), ("user_id", "position", "revenue_micros")])
def test_columns_of_the_contract_s_types_are_read_as_each_of_their_values_would_be(spark, monkeypatch, missing):
    rows = spark.createDataFrame(ROWS, TYPED).selectExpr(*PLACE, "monotonically_increasing_id() AS line", "*")
    given = rows.drop(*missing)
    found = [events_parquet.read(given)]
    monkeypatch.setattr(events_parquet, "_typed", lambda types: {})
    found.append(events_parquet.read(given))
    by_column, by_value = (sorted(map(str, frame.collect())) for frame in found)
    assert by_column == by_value
    assert any("reason=None" in row for row in by_column) or "event_types" in missing
    assert any("reason='" in row for row in by_column)


def test_a_file_without_any_known_column_rejects_its_rows(spark):
    rows = events_parquet.read(spark.range(1).selectExpr(*PLACE, "id AS line", "1 AS foreign")).collect()
    assert [(row["reason"], row["raw"]) for row in rows] == [("event_id is missing", "{}")]
