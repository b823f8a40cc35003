"""Frames and suites that both engines are to judge alike."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from feedmill.checks.suite import Expectation, Suite, load

FIRST = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOURS = [FIRST + timedelta(hours=i) for i in range(4)]
"""Four hours: clean, dirty, without rows, and one of nulls and NaN."""

SCHEMA = pa.schema(
    [
        ("hour", pa.timestamp("us", tz="UTC")),
        ("event_id", pa.string()),
        ("line", pa.int64()),
        ("position", pa.int32()),
        ("duration_ms", pa.int64()),
        ("rate", pa.float64()),
        ("low", pa.float64()),
        ("price", pa.decimal128(12, 2)),
        ("event_time", pa.timestamp("us", tz="UTC")),
        ("day", pa.date32()),
        ("surface", pa.string()),
        ("late", pa.bool_()),
        ("sketch", pa.binary()),
        ("event_types", pa.list_(pa.string())),
    ]
)


def row(hour: datetime, i: int, **changes: Any) -> dict[str, Any]:
    """A good row of that hour, with some columns changed."""
    good = {
        "hour": hour,
        "event_id": f"{hour:%H}-{i}",
        "line": 2**53 + i,
        "position": i,
        "duration_ms": 100 * i,
        "rate": 0.5,
        "low": 0.25,
        "price": Decimal("0.10") + i,
        "event_time": hour + timedelta(minutes=i),
        "day": date(2026, 5, 1),
        "surface": "feed" if i % 2 else "search",
        "late": i == 3,
        "sketch": bytes([i]),
        "event_types": ["impression", f"t{i}"],
    }
    return good | changes


def clean(hour: datetime) -> list[dict[str, Any]]:
    return [row(hour, i) for i in range(6)]


def dirty(hour: datetime) -> list[dict[str, Any]]:
    return [
        row(hour, 0, duration_ms=-5, surface="feeed"),
        row(hour, 1, duration_ms=-1, rate=1.5, low=1.75),
        row(hour, 2, event_id=None, price=Decimal("0.09")),
        row(hour, 3, event_time=hour - timedelta(days=400), day=date(2001, 1, 1), event_id="12 3"),
        row(hour, 4, event_id="13-0", position=0, line=2**53, sketch=None, event_types=["impression", "t0"]),
        row(hour, 5, sketch=b"\x00", surface=None),
    ]


def nulls(hour: datetime) -> list[dict[str, Any]]:
    nothing = dict.fromkeys(name for name in SCHEMA.names if name != "hour")
    return [
        {"hour": hour, **nothing},
        {"hour": hour, **nothing},
        row(hour, 2, rate=float("nan"), low=None),
        row(hour, 3, rate=None, low=float("nan"), line=None),
        row(hour, 4, duration_ms=None, price=None, event_time=None, day=None),
        row(hour, 5, position=None, late=None, event_types=None, sketch=None),
    ]


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def mixed() -> pa.Table:
    """The rows of :data:`HOURS`, and some of an hour that is not judged."""
    outside = [row(FIRST + timedelta(hours=9), 0, duration_ms=-9, event_id=None)]
    return table(clean(HOURS[0]) + dirty(HOURS[1]) + nulls(HOURS[3]) + outside)


def expectation(type_: str, severity: str = "critical", notes: str = "", **kwargs: Any) -> dict[str, Any]:
    return {"type": type_, "kwargs": kwargs, "severity": severity, "meta": {"notes": notes}}


CONTRACT: list[dict[str, Any]] = [
    expectation("expect_column_values_to_not_be_null", column="event_id"),
    expectation("expect_column_values_to_not_be_null", column="rate"),
    expectation("expect_column_values_to_not_be_null", column="sketch"),
    expectation("expect_column_values_to_not_be_null", column="event_types"),
    expectation("expect_column_values_to_not_be_null", column="late", mostly=0.5),
    expectation("expect_column_values_to_be_null", column="sketch", mostly=0.4),
    expectation("expect_column_values_to_be_unique", column="event_id"),
    expectation("expect_column_values_to_be_unique", column="line"),
    expectation("expect_column_values_to_be_unique", column="sketch", mostly=0.5),
    expectation("expect_column_values_to_be_unique", column="event_types"),
    expectation("expect_compound_columns_to_be_unique", column_list=["position", "line"]),
    expectation("expect_compound_columns_to_be_unique", column_list=["hour", "event_id"]),
    expectation("expect_column_values_to_be_between", column="duration_ms", min_value=0),
    expectation("expect_column_values_to_be_between", column="position", max_value=5, strict_max=True, mostly=0.6),
    expectation("expect_column_values_to_be_between", column="rate", min_value=0, max_value=1),
    expectation("expect_column_values_to_be_between", column="price", min_value=0.1, max_value=99),
    expectation(
        "expect_column_values_to_be_between",
        column="event_time",
        min_value="2026-01-01",
        max_value="2026-05-02T00:00:00+02:00",
    ),
    expectation("expect_column_values_to_be_between", column="day", min_value="2026-01-01"),
    expectation("expect_column_values_to_be_in_set", column="surface", value_set=["feed", "search"]),
    expectation("expect_column_values_to_be_in_set", column="day", value_set=["2026-05-01"]),
    expectation("expect_column_values_to_be_in_set", column="position", value_set=[0, 1, 2, 3, 4, 5]),
    expectation("expect_column_values_to_not_be_in_set", column="surface", value_set=["feeed"]),
    expectation("expect_column_values_to_not_be_in_set", column="event_time", value_set=["2026-05-01T12:03:00Z"]),
    expectation("expect_column_values_to_match_regex", column="event_id", regex="^[0-9]+-[0-9]+$"),
    expectation("expect_column_values_to_not_match_regex", column="surface", regex="e{3}"),
    expectation("expect_column_value_lengths_to_be_between", column="surface", min_value=1, max_value=6),
    expectation("expect_column_value_lengths_to_equal", column="event_id", value=4),
    expectation("expect_column_pair_values_a_to_be_greater_than_b", column_A="rate", column_B="low", or_equal=True),
    expectation("expect_column_pair_values_a_to_be_greater_than_b", column_A="event_time", column_B="hour"),
    expectation("expect_column_pair_values_to_be_equal", column_A="position", column_B="line"),
    expectation("expect_select_column_values_to_be_unique_within_record", column_list=["position", "duration_ms"]),
    expectation("expect_select_column_values_to_be_unique_within_record", column_list=["rate", "low", "line"]),
    expectation("expect_select_column_values_to_be_unique_within_record", column_list=["event_id", "surface"]),
    expectation("expect_multicolumn_sum_to_equal", column_list=["rate", "low"], sum_total=0.75),
    expectation("expect_column_max_to_be_between", column="duration_ms", max_value=400),
    expectation(
        "expect_column_max_to_be_between",
        column="event_time",
        min_value="2026-05-01T12:05:00Z",
        max_value="2026-05-01T13:05:00Z",
    ),
    expectation("expect_column_mean_to_be_between", column="rate", min_value=0.4, max_value=0.6),
    expectation("expect_column_min_to_be_between", column="duration_ms", min_value=0),
    expectation("expect_column_stdev_to_be_between", column="duration_ms", max_value=190),
    expectation("expect_column_sum_to_be_between", column="duration_ms", min_value=1500, max_value=2000),
    expectation("expect_column_unique_value_count_to_be_between", column="surface", max_value=2),
    expectation("expect_column_proportion_of_unique_values_to_be_between", column="event_id", min_value=0.9),
    expectation("expect_column_distinct_values_to_be_in_set", column="surface", value_set=["feed", "search"]),
    expectation("expect_column_distinct_values_to_contain_set", column="surface", value_set=["feed", "feeed"]),
    expectation("expect_column_distinct_values_to_equal_set", column="late", value_set=[True, False]),
    expectation("expect_table_row_count_to_be_between", min_value=1),
    expectation("expect_table_row_count_to_equal", value=6),
    expectation("expect_table_column_count_to_equal", value=14),
    expectation("expect_table_column_count_to_be_between", max_value=13),
    expectation("expect_table_columns_to_match_set", column_set=["hour", "event_id"], exact_match=False),
    expectation("expect_table_columns_to_match_ordered_list", column_list=["event_id", "hour"]),
    expectation("expect_column_to_exist", column="model_id"),
    expectation("expect_column_values_to_not_be_null", "warning", column="model_id"),
]
"""At least one expectation of every kind, over every type of column; several fail somewhere, several nowhere."""


def suite(tmp_path: Any, *expectations: dict[str, Any]) -> Suite:
    import json

    path = tmp_path / "suite.json"
    path.write_text(json.dumps({"name": "lab.events", "expectations": list(expectations)}))
    return load(path)


__all__ = [
    "CONTRACT",
    "HOURS",
    "Expectation",
    "clean",
    "dirty",
    "expectation",
    "mixed",
    "nulls",
    "row",
    "suite",
    "table",
]
