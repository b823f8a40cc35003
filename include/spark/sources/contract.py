"""Reads the fields of Feedmill's own contract (docs/sources.md) out of a VARIANT column, ``record``.

A field is a value and, where the record holds something that is not one, a reason that names field and
value. Nothing here fails on any input: an ANSI cast would end the job for one bad row, so each is a try_cast.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feedmill.spec import Source
from include.spark.sources.rules import PLACE, checked, first, shown

TEXT_FIELDS = (
    "event_id",
    "user_id",
    "item_id",
    "request_id",
    "surface",
    "model_id",
    "experiment_id",
    "variant",
    "device_class",
    "country",
)

EVENT_FIELDS = (
    *TEXT_FIELDS,
    "event_time",
    "event_types",
    "event_type",
    "position",
    "duration_ms",
    "revenue_micros",
)
"""Every field of an event that is read; others in a record are ignored."""

LAST_EPOCH_MILLISECOND = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z; beyond it timestamp_millis overflows and fails the job."""

ISO_TIME = r"^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(:\d{2})?(\.\d+)?\s*(Z|[+-]\d{2}:?\d{2})$"
"""A date, a time and a zone. The zone is demanded: Spark would read a time without one in its session's."""


@dataclass(frozen=True)
class Field:
    """A field as read: its value (null where missing or wrong), and what is wrong with it (null: nothing)."""

    value: Column
    reason: Column


def parsed_json(text: Column) -> Column:
    """The JSON object in ``text`` as VARIANT; null where it is not one JSON object and nothing else.

    try_parse_json stops after the first value: on Spark 4.1.3 it reads '{"a":1} garbage' as {"a":1}. So the
    text is parsed as the first element of a list whose second is the text's own hash, which garbage lacks.
    """
    seal = F.xxhash64(text).cast("string")
    sealed = F.try_parse_json(F.concat(F.lit("["), text, F.lit(","), seal, F.lit("]")))
    entry = F.variant_get(sealed, "$[0]", "variant")
    whole = (F.variant_get(sealed, "$[1]", "variant").cast("string") == seal) & _kind(entry).startswith(
        "OBJECT"
    )
    return F.when(whole, entry)


def _entry(name: str) -> Column:
    return F.variant_get(F.col("record"), f"$.{name}", "variant")


def _kind(value: Column) -> Column:
    """A VARIANT value's type by name: STRING, BIGINT, DECIMAL(p,s), DOUBLE, OBJECT<…>; VOID for JSON null."""
    return F.schema_of_variant(value)


def _wrong(name: str, value: Column, expected: str) -> Column:
    return F.concat(F.lit(f"{name}: "), shown(value), F.lit(f" is not {expected}"))


def _is_text(value: Column) -> Column:
    """Strings, and whole numbers, since many logs number their users and items."""
    return _kind(value).rlike(r"^(STRING|BIGINT|DECIMAL\(\d+,0\))$")


def text(name: str) -> Field:
    """A string; a blank one is null."""
    value = _entry(name)
    written = value.cast("string")
    return Field(
        F.when(_is_text(value) & (F.trim(written) != ""), written),
        F.when(~_is_text(value) & written.isNotNull(), _wrong(name, value, "a string")),
    )


def whole(name: str, sql_type: str = "bigint") -> Field:
    """A whole number, also one written as a string or as 12.0."""
    written = _entry(name).cast("string")
    number = written.try_cast("decimal(38,18)")
    value = F.when(number == F.floor(number), number.try_cast(sql_type))
    bits = 32 if sql_type == "int" else 64
    return Field(
        value,
        F.when(number.isNull() | (number != F.floor(number)), _wrong(name, written, "a whole number")).when(
            value.isNull(), _wrong(name, written, f"a number of {bits} bits")
        ),
    )


def instant(name: str) -> Field:
    """A time: ISO 8601 with a zone, or epoch milliseconds as a number, or a Parquet timestamp with a zone."""
    value = _entry(name)
    kind = _kind(value)
    written = value.cast("string")
    milliseconds = written.try_cast("decimal(38,18)")
    readable = F.abs(milliseconds) <= LAST_EPOCH_MILLISECOND
    moment = (
        F.when(kind == "STRING", iso_time(written))
        .when(kind == "TIMESTAMP", F.try_variant_get(value, "$", "timestamp"))
        .when(
            kind.rlike("^(BIGINT|DECIMAL|DOUBLE|FLOAT)") & readable & (milliseconds == F.floor(milliseconds)),
            F.timestamp_millis(milliseconds.try_cast("bigint")),
        )
    )
    return Field(
        moment,
        F.when(
            written.isNotNull() & moment.isNull(),
            _wrong(name, written, "an ISO 8601 time with a zone or a number of epoch milliseconds"),
        ),
    )


def iso_time(written: Column) -> Column:
    """The time in an ISO 8601 text with a zone; null where it is not one."""
    # Spark reads no time without seconds when a zone follows ('2026-05-01T13:00Z'): write them.
    seconds = F.when(F.regexp_extract(written, ISO_TIME, 3) == "", F.lit(":00")).otherwise(
        F.regexp_extract(written, ISO_TIME, 3)
    )
    normal = F.concat(
        F.regexp_extract(written, ISO_TIME, 1),
        F.lit("T"),
        F.regexp_extract(written, ISO_TIME, 2),
        seconds,
        F.regexp_extract(written, ISO_TIME, 4),
        F.regexp_extract(written, ISO_TIME, 5),
    )
    return F.when(written.rlike(ISO_TIME), normal.try_cast("timestamp"))


def event_types() -> Field:
    """``event_types``, a list, or else ``event_type``, one string; each type once, in the log's order."""
    many, one = _entry("event_types"), _entry("event_type")
    has_many = many.cast("string").isNotNull()
    is_list = _kind(many).startswith("ARRAY")
    single = text("event_type")
    return Field(
        F.when(is_list, F.array_distinct(F.try_variant_get(many, "$", "array<string>"))).when(
            ~has_many | many.isNull(), F.when(single.value.isNotNull(), F.array(single.value))
        ),
        F.when(has_many & ~is_list, _wrong("event_types", many, "a list of strings")).when(
            ~has_many & one.isNotNull(), single.reason
        ),
    )


def categories() -> Field:
    """A list of category names, or of objects with ``category`` and a ``weight`` above 0 (missing: 1)."""
    value = _entry("categories")
    entries = F.try_variant_get(value, "$", "array<variant>")

    def read(entry: Column) -> Column:
        name = F.variant_get(entry, "$.category", "variant")
        weight = F.variant_get(entry, "$.weight", "variant").cast("string")
        return F.struct(
            F.when(_is_text(entry), entry.cast("string"))
            .when(_is_text(name), name.cast("string"))
            .alias("category"),
            F.when(weight.isNull(), F.lit(1.0)).otherwise(weight.try_cast("double")).alias("weight"),
        )

    def is_wrong(entry: Column) -> Column:
        name, weight = read(entry)["category"], read(entry)["weight"]
        right = (F.trim(name) != "") & (weight > 0) & (weight < float("inf")) & ~F.isnan(weight)
        return ~F.coalesce(right, F.lit(False))

    wrong = F.get(F.filter(entries, is_wrong), 0)
    expected = "a category: a name, or an object with a category and a weight above 0"
    return Field(
        F.transform(entries, read),
        F.when(
            value.cast("string").isNotNull() & ~_kind(value).startswith("ARRAY"),
            _wrong("categories", value, "a list"),
        ).when(
            F.exists(entries, is_wrong),
            F.concat(
                F.lit("categories: "), F.coalesce(shown(wrong), F.lit("null")), F.lit(f" is not {expected}")
            ),
        ),
    )


def read_events(rows: DataFrame, source: Source) -> DataFrame:
    """The records of events in the contract's fields; ``rows`` has the place of each row and ``record``."""
    fields = {name: text(name) for name in TEXT_FIELDS}
    fields["event_time"] = instant("event_time")
    fields["event_types"] = event_types()
    fields["position"] = whole("position", "int")
    fields["duration_ms"] = whole("duration_ms")
    fields["revenue_micros"] = whole("revenue_micros")
    return checked(_with_fields(rows, fields), source)


def read_items(rows: DataFrame, source: Source) -> DataFrame:
    """The records of items in the contract's fields; ``rows`` has the place of each row and ``record``."""
    fields = {
        "item_id": text("item_id"),
        "categories": categories(),
        "author_id": text("author_id"),
        "duration_ms": whole("duration_ms"),
        "published_at": instant("published_at"),
    }
    return checked(_with_fields(rows, fields), source)


def _with_fields(rows: DataFrame, fields: Mapping[str, Field]) -> DataFrame:
    return rows.select(
        *(name for name in PLACE if name != "reason"),
        first([F.col("reason"), *(field.reason for field in fields.values())]).alias("reason"),
        *(field.value.alias(name) for name, field in fields.items()),
    )


def with_record(rows: DataFrame) -> DataFrame:
    """Text rows with ``record``, the JSON object of the line, and a reason where the line holds none."""
    return rows.withColumn("record", parsed_json(F.col("raw"))).withColumn(
        "reason",
        first(
            [
                F.col("reason"),
                F.when(
                    F.col("record").isNull(),
                    F.lit("raw: not one JSON object with each field once"),
                ),
            ]
        ),
    )
