"""The digest of a partition, and the hash of a row of which it is made: equal for equal rows, whatever their order.

``xxhash64`` alone would not do. It passes over nulls, in arrays and structs too; it refuses maps; and the bytes of a
sketch differ with the order in which Spark's tasks ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import TYPE_CHECKING

from pyiceberg.types import BinaryType, IcebergType, ListType, MapType, StructType

if TYPE_CHECKING:
    from pyspark.sql import Column

    from feedmill.lake.schema import Ddl

_LOW = (1 << 21) - 1

_HLL = "0107"
"""Bytes 2 and 3 of an HLL sketch of Apache DataSketches: the version of its form, and its family. Byte 1 says by how
many integers it begins, and so what follows."""
_LIST_AT = 4 * 2 + 1
"""After two: up to eight coupons (a hash of each distinct value), in the order in which they came."""
_TABLE_AT = 4 * 3 + 1
"""After three: a hash table of them, whose collisions lie in that order; empty places are 0."""
_REGISTERS_AT = 4 * 10 + 1
"""After ten: 4,096 registers, in which nothing depends on the order."""


def row_hash(ddl: Ddl) -> Column:
    """The hash of a row of the table, 64 bits."""
    from pyspark.sql import functions as F

    parts = [
        part for column in ddl.columns for part in _parts(F.col(column.name), column.type, required=column.required)
    ]
    return F.xxhash64(*parts)


def sums(hashed: Column) -> list[Column]:
    """What a digest needs of all hashes of a partition, in any order: their sum in three parts, and exclusive or."""
    from pyspark.sql import functions as F

    # As 64-bit integers, each of which 2^41 rows cannot overflow: decimals took a seventh of the digest's time.
    return [
        F.sum(F.shiftright(hashed, 42)).alias("high"),
        F.sum(F.shiftright(hashed, 21).bitwiseAND(F.lit(_LOW))).alias("middle"),
        F.sum(hashed.bitwiseAND(F.lit(_LOW))).alias("low"),
        F.bit_xor(hashed).alias("xor"),
    ]


def digest_of(counted: Mapping[str, int]) -> str:
    """The digest of a partition, of its ``rows`` and :func:`sums`."""
    total = (counted["high"] << 42) + (counted["middle"] << 21) + counted["low"]
    return f"{counted['rows']}:{total}:{counted['xor']}"


def _parts(value: Column, kind: IcebergType, *, required: bool) -> list[Column]:
    """What xxhash64 is given of a value: never a null without a sign of it beside."""
    from pyspark.sql import functions as F

    parts: list[Column]
    match kind:
        case StructType():
            parts = [p for f in kind.fields for p in _parts(value[f.name], f.field_type, required=f.required)]
        case ListType():
            element, there = kind.element_type, kind.element_required
            parts = [F.transform(value, lambda one: F.xxhash64(*_parts(one, element, required=there)))]
        case MapType():
            parts = [F.array_sort(F.transform(F.map_entries(value), lambda entry: _entry(entry, kind)))]
        case BinaryType():
            parts = [_binary(value)]
        case _:
            parts = [value]
    return parts if required else [*parts, value.isNull()]


def _entry(entry: Column, kind: MapType) -> Column:
    from pyspark.sql import functions as F

    return F.xxhash64(
        *_parts(entry["key"], kind.key_type, required=True),
        *_parts(entry["value"], kind.value_type, required=kind.value_required),
    )


def _binary(value: Column) -> Column:
    """A sketch's coupons or registers, whatever their order; of other bytes, these.

    Not the sketch's estimate: {a} and {b} have the same, and their union another than {a} alone.
    """
    from pyspark.sql import functions as F

    # Exclusive or, since sorting them (with regexp_extract_all, which is all that Spark has to cut bytes) took five
    # times as long as the rest of the digest. A table has an even number of places, so that equal coupons leave as many
    # empty ones to be counted, but for an even number that cancels itself.
    def place(at: Column) -> Column:
        return F.xxhash64(F.substring(value, at, F.lit(4)))

    places = [place(F.lit(_LIST_AT + 4 * n)) for n in range(8)]
    listed = reduce(lambda found, one: found.bitwiseXOR(one), places)
    table = F.aggregate(
        F.sequence(F.lit(_TABLE_AT), F.length(value) - 3, F.lit(4)),
        F.lit(0).cast("bigint"),
        lambda found, at: found.bitwiseXOR(place(at)),
    )
    begins = F.hex(F.substring(value, 1, 3))
    return (
        F.when((begins == f"02{_HLL}") & (F.length(value) < _REGISTERS_AT), listed)
        .when((begins == f"03{_HLL}") & (F.length(value) >= _TABLE_AT + 3), table)
        .when(
            (begins == f"0A{_HLL}") & (F.length(value) > _REGISTERS_AT),
            F.xxhash64(F.substring(value, _REGISTERS_AT, 1 << 20)),
        )
        .otherwise(F.xxhash64(value))
    )
