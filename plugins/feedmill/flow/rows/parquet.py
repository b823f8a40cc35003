"""How Spark is to read a Parquet file: the columns that its source looks at, and none of the others.

Left to itself, Spark takes in every column, and refuses the file for one that nobody reads: for nanoseconds, a time of
day, or a name that differs from another in case only. The types are those that Spark itself would give, but a time in
milliseconds is a number of epoch milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from feedmill.errors import Exit, FeedmillError, Turn

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_PHYSICAL = {
    "BOOLEAN": "boolean",
    "INT32": "integer",
    "INT64": "long",
    "INT96": "timestamp",
    "FLOAT": "float",
    "DOUBLE": "double",
    "BYTE_ARRAY": "binary",
    "FIXED_LEN_BYTE_ARRAY": "binary",
}
"""Spark's types of columns that Parquet says no more of."""

_INTEGERS = {
    (8, True): "byte",
    (16, True): "short",
    (32, True): "integer",
    (64, True): "long",
    (8, False): "short",
    (16, False): "integer",
    (32, False): "long",
    (64, False): "decimal(20,0)",
}
"""By bits, and whether there is a sign."""


class UnreadableError(FeedmillError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """A file holds one of its source's columns in a form that Spark does not read; it names column and way out."""

    def __init__(self, column: str, what: str, instead: str):
        super().__init__(f"{column}: Spark {what}; land the rows in a new file, with {instead}")


def read_schema(file: pq.ParquetFile, columns: Iterable[str]) -> str:
    """The schema of those of ``columns`` that the file has, in this order, as Spark's JSON.

    Raises:
        UnreadableError: Spark does not read one of them.
    """
    fields = file.schema_arrow
    # Arrow tells how types are nested, and Parquet what is stored: both INT96, which Spark reads, and INT64 in
    # nanoseconds, which it does not, are Arrow's timestamp[ns]. Their leaves have one order.
    leaves = (file.schema.column(number) for number in range(len(file.schema)))
    own = {field.name: (field.type, list(islice(leaves, _width(field.type)))) for field in fields}
    found = {}
    for name in columns:
        if name in own:
            _tell_apart(name, fields.names)
            kind, stored = own[name]
            found[name] = _type(kind, iter(stored))
    return json.dumps(_struct(found))


def _tell_apart(name: str, names: Iterable[str]) -> None:
    same = [other for other in names if other.lower() == name.lower()]
    if len(same) > 1:
        raise UnreadableError(name, f"takes the columns {' and '.join(same)} for one", "one of them renamed")


def _struct(types: Mapping[str, Any]) -> dict[str, Any]:
    fields = [{"name": name, "type": kind, "nullable": True, "metadata": {}} for name, kind in types.items()]
    return {"type": "struct", "fields": fields}


def _width(kind: pa.DataType) -> int:
    """How many columns of Parquet a type is stored in."""
    kind = getattr(kind, "storage_type", kind)
    return sum(_width(kind.field(number).type) for number in range(kind.num_fields)) or 1


def _type(kind: pa.DataType, leaves: Iterator[pq.ColumnSchema]) -> Any:
    import pyarrow as pa

    kind = getattr(kind, "storage_type", kind)
    if pa.types.is_struct(kind):
        inner = [kind.field(number) for number in range(kind.num_fields)]
        for field in inner:
            _tell_apart(field.name, [other.name for other in inner])
        return _struct({field.name: _type(field.type, leaves) for field in inner})
    if pa.types.is_map(kind):
        key, value = _type(kind.key_type, leaves), _type(kind.item_type, leaves)
        return {"type": "map", "keyType": key, "valueType": value, "valueContainsNull": True}
    if kind.num_fields:
        return {"type": "array", "elementType": _type(kind.field(0).type, leaves), "containsNull": True}
    return _leaf(next(leaves))


def _leaf(column: pq.ColumnSchema) -> str:
    kind = json.loads(column.logical_type.to_json())
    match kind["Type"]:
        case "None" | "Null" | "BSON":
            return _PHYSICAL[column.physical_type]
        case "String" | "Enum" | "JSON":
            return "string"
        case "Int":
            return _INTEGERS[kind["bitWidth"], kind["isSigned"]]
        case "Date":
            return "date"
        case "Decimal" if kind["precision"] <= 38:
            return f"decimal({kind['precision']},{kind['scale']})"
        case "Timestamp" if kind["timeUnit"] == "milliseconds" and kind["isAdjustedToUTC"]:
            # As the number that is stored. Spark fails on the file if one of them is no time that it knows.
            return "long"
        case "Timestamp" if kind["timeUnit"] == "milliseconds":
            raise UnreadableError(column.path, "may fail on times in milliseconds without a zone", "a zone")
        case "Timestamp" if kind["timeUnit"] != "nanoseconds":
            return "timestamp" if kind["isAdjustedToUTC"] else "timestamp_ntz"
        case "Timestamp":
            raise UnreadableError(column.path, "does not read times in nanoseconds", "microseconds")
        case other:
            raise UnreadableError(column.path, f"does not read Parquet's type {other} as written", "another type")
