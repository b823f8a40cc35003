"""Events in Feedmill's own contract as Parquet, one event per row: see docs/sources.md."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, AtomicType, DataType, StringType

from feedmill.spec import Source
from include.spark.sources.contract import EVENT_FIELDS, read_events
from include.spark.sources.rules import first

SOURCE = Source("events_parquet", kind="events", suffixes=(".parquet",), layout="parquet")


def read(rows: DataFrame) -> DataFrame:
    """The records of a file's rows, good and bad.

    The file's columns decide nothing on their own: a missing column is a missing field of each row, and a
    column of another type is read value by value, as if the row were JSON.
    """
    types = {field.name: field.dataType for field in rows.schema.fields}
    present = [name for name in EVENT_FIELDS if name in types]
    texts = [name for name in present if isinstance(types[name], StringType)]
    raw = F.to_json(F.struct(*present), {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"})
    record = F.to_variant_object(F.struct(*(_as_variant(name, types[name]).alias(name) for name in present)))
    return read_events(
        rows.select(
            "source_file",
            "line",
            "received_at",
            "arrival_hour",
            (F.make_valid_utf8(raw) if present else F.lit("{}")).alias("raw"),
            (record if present else F.parse_json(F.lit("{}"))).alias("record"),
            first([F.lit(None).cast("string"), *(_not_utf8(name) for name in texts)]).alias("reason"),
        ),
        SOURCE,
    )


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
