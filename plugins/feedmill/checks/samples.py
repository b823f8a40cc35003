"""Samples of failing rows: which columns they show, and their values as JSON can hold them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from feedmill.checks.findings import SAMPLES
from feedmill.checks.suite import Expectation

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = 14
"""At most this many columns of a failing row are shown."""

_TEXT = 200


def samples(
    index: Sequence[Any], frame: Any, expectation: Expectation, partition_column: str | None
) -> tuple[dict[str, Any], ...]:
    """The rows that Great Expectations names: by position in pandas, by their values in Spark."""
    index = index[:SAMPLES]
    names = sample_columns(scalar_columns(frame), expectation.columns, partition_column)
    if index and isinstance(index[0], dict):
        return tuple({name: json_safe(row.get(name)) for name in names if name in row} for row in index)
    return tuple({name: json_safe(frame[name].iloc[position]) for name in names} for position in index)


def sample_columns(scalars: Sequence[str], first: Sequence[str], partition_column: str | None) -> list[str]:
    """The expectation's columns, the partition, then the other columns from the left, where ids stand."""
    names = [*first, *([partition_column] if partition_column else []), *scalars]
    return list(dict.fromkeys(names))[:COLUMNS]


def scalar_columns(frame: Any) -> list[str]:
    """The columns of a pandas or Spark frame whose values a cell can show."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        return [
            field.name
            for field in frame.schema.fields
            if field.dataType.typeName() not in {"array", "map", "struct", "binary", "variant"}
        ]
    return [str(name) for name in frame.columns if not isinstance(first_object(frame[name]), bytes | tuple)]


def first_object(column: pd.Series[Any]) -> Any:
    """The first value of a column of Python objects; None for other columns."""
    if column.dtype != object:
        return None
    return next(iter(column.dropna().head(1)), None)


def moment_of(value: date | datetime) -> datetime:
    """A date or time as a UTC time; a date is its midnight, a naive time is UTC."""
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def json_safe(value: Any) -> Any:
    """A value that JSON can hold; long texts and bytes are cut."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value if len(value) <= _TEXT else value[: _TEXT - 1] + "…"
    if isinstance(value, bytes | bytearray):
        return "0x" + value[:16].hex() + ("…" if len(value) > 16 else "")
    if isinstance(value, list | tuple | set | frozenset):
        return [json_safe(item) for item in value]
    if isinstance(value, dict):
        return {str(key): json_safe(item) for key, item in value.items()}
    if type(value).__name__ in {"NAType", "NaTType"}:
        return None
    if isinstance(value, datetime):
        return moment_of(value).isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return float(value) if len(value.as_tuple().digits) <= 15 else str(value)
    return str(value)
