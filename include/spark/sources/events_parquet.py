"""Events in Feedmill's own contract as Parquet, one event per row: see docs/sources.md."""

from collections.abc import Mapping
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    AtomicType,
    ByteType,
    DataType,
    IntegerType,
    LongType,
    ShortType,
    StringType,
    TimestampType,
)

from feedmill.spec import Source
from include.spark.sources.contract import EVENT_FIELDS, TEXT_FIELDS, Field, read_events
from include.spark.sources.rules import first, meant

SOURCE = Source("events_parquet", kind="events", suffixes=(".parquet",), layout="parquet", columns=EVENT_FIELDS)

_INT = (ByteType, ShortType, IntegerType)
_WHOLE: Final = {
    "position": ("int", _INT),
    "duration_ms": ("bigint", (*_INT, LongType)),
    "revenue_micros": ("bigint", (*_INT, LongType)),
}
"""The whole numbers of the contract, and the types of columns that hold nothing else."""


def read(rows: DataFrame) -> DataFrame:
    """The records of a file's rows, good and bad; ``raw`` is the row as JSON where it has a reason, else null.

    A missing column is a missing field of each row. A column of another type is read value by value, as if the row were
    JSON. That is slow: a million events took 37 s as VARIANT. Most files have the contract's types, and their columns
    are taken as they are.
    """
    types = {field.name: field.dataType for field in rows.schema.fields}
    present = [name for name in EVENT_FIELDS if name in types]
    texts = [name for name in present if isinstance(types[name], StringType)]
    typed = _typed(types)
    others = [name for name in present if name not in typed]
    record = F.to_variant_object(F.struct(*(_as_variant(name, types[name]).alias(name) for name in others)))
    found = read_events(
        rows.select(
            "source_file",
            "line",
            "received_at",
            "arrival_hour",
            (F.struct(*present) if present else F.lit(None)).alias("raw"),
            (record if others else F.parse_json(F.lit("{}"))).alias("record"),
            first([F.lit(None).cast("string"), *(_not_utf8(name) for name in texts)]).alias("reason"),
            *(name for name in present if name not in others),
        ),
        SOURCE,
        typed,
    )
    written = F.to_json("raw", {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}) if present else F.lit("{}")
    return found.withColumn("raw", F.when(F.col("reason").isNotNull(), F.make_valid_utf8(written)))


def _typed(types: Mapping[str, DataType]) -> dict[str, Field]:
    """The fields whose columns have the contract's types, or are missing: their values need no look at each."""
    nothing = F.lit(None).cast("string")
    found = {}
    for name in TEXT_FIELDS:
        if isinstance(types.get(name, StringType()), StringType):
            found[name] = Field(F.col(name) if name in types else nothing, nothing)
    for name, (sql_type, kinds) in _WHOLE.items():
        if name not in types or isinstance(types[name], kinds):
            found[name] = Field(F.col(name) if name in types else F.lit(None).cast(sql_type), nothing)
    if isinstance(types.get("event_time"), TimestampType):
        found["event_time"] = Field(F.col("event_time"), nothing)
    if types.get("event_types") == ArrayType(StringType()):
        single = types.get("event_type", StringType())
        if isinstance(single, StringType):
            listed = F.array_distinct("event_types")
            if "event_type" in types:
                listed = F.coalesce(listed, F.when(meant(F.col("event_type")).isNotNull(), F.array("event_type")))
            found["event_types"] = found["event_type"] = Field(listed, nothing)
    return found


def _as_variant(name: str, kind: DataType) -> Column:
    """The column, or, where VARIANT cannot hold its type, an object, which no field of the contract takes.

    to_variant_object rejects maps whose keys are no strings, and does so when the query is planned, which
    would fail the job.
    """
    element = kind.elementType if isinstance(kind, ArrayType) else kind
    if isinstance(element, AtomicType):
        return F.col(name)
    return F.when(F.col(name).isNotNull(), F.struct(F.to_json(F.struct(name)).alias("value")))


def _not_utf8(name: str) -> Column:
    return F.when(~F.is_valid_utf8(name), F.lit(f"{name}: the bytes are not valid UTF-8"))
