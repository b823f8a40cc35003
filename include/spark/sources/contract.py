"""Reads the fields of Feedmill's own contract (docs/sources.md) out of a VARIANT column, ``record``.

A field is a value and, where the record holds something that is not one, a reason that names field and
value. Nothing here fails on any input: an ANSI cast would end the job for one bad row, so each is a try_cast.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feedmill.spec import Source
from include.bounds import NESTING, NUMBER_LENGTH
from include.spark.sources.rules import PLACE, checked, first, meant, shown, with_whole_numbers

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

NUMBERS = ("event_time", "position", "duration_ms", "revenue_micros", "published_at")
"""The fields that may be written as a number."""

LAST_EPOCH_MILLISECOND = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z; beyond it timestamp_millis overflows and fails the job."""

ISO_TIME = r"^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(:\d{2})?(\.\d+)?\s*(Z|[+-]\d{2}:?\d{2})$"
"""A date, a time and a zone. The zone is demanded: Spark would read a time without one in its session's."""


_FLAT = r"[^\[\]{}]*+"
_STRINGS = r'(?s)"(?:[^"\\]++|\\.)*+"'
_MANY = rf"(?:[\[{{][^\[{{]*+){{{NESTING + 1}}}"
"""More opening brackets than may stand in each other; they may stand beside each other."""

_HALF = r"\\u[dD][89a-fA-F]"
_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"


def _nested(depth: int) -> str:
    """A pattern of lists and objects that stand at most so deep in each other. Possessive, it never goes back."""
    pattern = _FLAT
    for _ in range(depth):
        pattern = rf"{_FLAT}(?:[\[{{]{pattern}[\]}}]{_FLAT})*+"
    return rf"^{pattern}$"


@dataclass(frozen=True)
class Field:
    """A field as read: its value (null where missing or wrong), and what is wrong with it (null: nothing)."""

    value: Column
    reason: Column


def with_record(rows: DataFrame) -> DataFrame:
    """Text rows with ``record``, the JSON object of the line, and a reason where the line holds none.

    try_parse_json stops after the first value: on Spark 4.1.3 it reads '{"a":1} garbage' as {"a":1}. So the
    line is parsed as the first element of a list whose second is the line's own hash, which garbage lacks. A line that
    has a reason already, or is nested too deep, is not parsed.
    """
    flat = F.regexp_replace("raw", _STRINGS, "")
    deep = F.when(
        F.col("raw").rlike(_MANY) & ~flat.rlike(_nested(NESTING)),
        F.lit(f"raw: not one JSON object with at most {NESTING} levels of lists and objects"),
    )
    judged = rows.withColumn("reason", first([F.col("reason"), deep])).withColumn(
        "seal", F.xxhash64("raw").cast("string")
    )
    wrapped = F.concat(F.lit("["), _without_halves(F.col("raw")), F.lit(","), F.col("seal"), F.lit("]"))
    sealed = judged.withColumn("sealed", F.when(F.col("reason").isNull(), F.try_parse_json(wrapped)))
    entry = F.variant_get("sealed", "$[0]", "variant")
    is_whole = F.variant_get("sealed", "$[1]", "variant").cast("string") == F.col("seal")
    record = F.when(is_whole & F.schema_of_variant(entry).startswith("OBJECT"), entry)
    not_json = F.when(F.col("record").isNull(), F.lit("raw: not one JSON object with each field once"))
    return sealed.withColumn("record", record).withColumn("reason", first([F.col("reason"), not_json]))


def _without_halves(line: Column) -> Column:
    """The line with NUL in place of each half of a surrogate pair, which Spark would read as a question mark."""
    # Backslashes that stand for themselves are written otherwise, so that each other one begins an escape.
    plain = F.regexp_replace(line, r"\\\\", r"\\u005c")
    halves = rf"{_HIGH}(?!{_LOW})|(?<!{_HIGH}){_LOW}"
    return F.when(line.rlike(_HALF), F.regexp_replace(plain, halves, r"\\u0000")).otherwise(line)


def _with_entries(rows: DataFrame, names: Sequence[str], typed: Sequence[str] = ()) -> DataFrame:
    """One VARIANT per field, then its kind, text and number: in steps, for Spark computes a step's columns once.

    A kind is the type's name: STRING, BIGINT, DECIMAL(p,s), DOUBLE, ARRAY<…>, OBJECT<…>, VOID for JSON null. Columns
    that are ``typed`` stay as they are.
    """
    place = [name for name in (*PLACE, *typed) if name in rows.columns]
    entries = rows.select(*place, *(F.variant_get("record", f"$.{name}", "variant").alias(name) for name in names))
    written = entries.select(
        *place,
        *names,
        *(F.schema_of_variant(name).alias(f"kind_of_{name}") for name in names),
        *(F.col(name).cast("string").alias(f"text_of_{name}") for name in names),
    )
    return with_whole_numbers(written, {f"number_of_{name}": f"text_of_{name}" for name in names if name in NUMBERS})


def _kind(name: str) -> Column:
    return F.col(f"kind_of_{name}")


def _text(name: str) -> Column:
    return F.col(f"text_of_{name}")


def _wrong(name: str, value: Column, expected: str) -> Column:
    return F.concat(F.lit(f"{name}: "), F.coalesce(shown(value), F.lit("null")), F.lit(f" is not {expected}"))


def _is_text(kind: Column) -> Column:
    """Strings, and whole numbers, since many logs number their users and items."""
    return kind.isin("STRING", "BIGINT") | kind.rlike(r"^DECIMAL\(\d+,0\)$")


def text(name: str) -> Field:
    """A string."""
    written, is_text = _text(name), _is_text(_kind(name))
    return Field(
        F.when(is_text, written),
        F.when(written.isNotNull() & ~is_text, _wrong(name, written, "a string")),
    )


def whole(name: str, sql_type: str = "bigint", from_json: bool = False) -> Field:
    """A whole number, also one written as a string or as 12.0.

    ``from_json``: a DOUBLE was written with an exponent, and 1e-1000000000 has become 0.0.
    """
    written = _text(name)
    vanished = (_kind(name) == "DOUBLE") & written.isin("0.0", "-0.0") if from_json else F.lit(False)
    number = F.col(f"number_of_{name}")
    value = F.when(~vanished, number.try_cast(sql_type))
    bits = 32 if sql_type == "int" else 64
    return Field(
        value,
        F.when(written.isNotNull() & number.isNull(), _wrong(name, written, "a whole number"))
        .when(vanished, F.lit(f"{name}: a number with an exponent and next to 0 is not a whole number"))
        .when(written.isNotNull() & value.isNull(), _wrong(name, written, f"a number of {bits} bits")),
    )


def instant(name: str) -> Field:
    """A time: ISO 8601 with a zone, or epoch milliseconds as a number, or a Parquet timestamp with a zone."""
    written, kind = _text(name), _kind(name)
    milliseconds = F.col(f"number_of_{name}")
    # What was written with an exponent may have vanished: 1e-1000000000 is 0.0 by now.
    is_epoch = (F.abs(milliseconds) <= LAST_EPOCH_MILLISECOND) & ~((kind == "DOUBLE") & (milliseconds == 0))
    moment = (
        F.when(kind == "STRING", iso_time(written))
        .when(kind == "TIMESTAMP", F.try_variant_get(name, "$", "timestamp"))
        .when(
            kind.rlike("^(BIGINT|DECIMAL|DOUBLE|FLOAT)") & is_epoch,
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
    """The time in an ISO 8601 text with a zone; null if the text is not such a time."""
    # Spark reads no time without seconds when a zone follows ('2026-05-01T13:00Z'): write them.
    with_seconds = F.regexp_replace(written, r"^(.{16})(\s*[Z+-])", "$1:00$2")
    return F.when((F.length(written) <= NUMBER_LENGTH) & written.rlike(ISO_TIME), with_seconds.try_cast("timestamp"))


def event_types() -> Field:
    """``event_types``, a list, or else ``event_type``, one string; each type once, in the log's order."""
    has_list = _text("event_types").isNotNull()
    is_list = _kind("event_types").startswith("ARRAY")
    single = text("event_type")
    named = meant(single.value)
    return Field(
        F.when(has_list, F.array_distinct(F.try_variant_get("event_types", "$", "array<string>"))).when(
            named.isNotNull(), F.array(named)
        ),
        F.when(has_list & ~is_list, _wrong("event_types", _text("event_types"), "a list of strings")).when(
            ~has_list, single.reason
        ),
    )


def categories() -> Field:
    """A list of category names, or of objects with ``category`` and a ``weight`` above 0 (missing: 1)."""
    entries = F.try_variant_get("categories", "$", "array<variant>")
    wrong = F.filter(entries, lambda entry: ~_is_category(entry))
    return Field(
        F.transform(entries, _category),
        F.when(
            _text("categories").isNotNull() & ~_kind("categories").startswith("ARRAY"),
            _wrong("categories", _text("categories"), "a list"),
        ).when(
            F.size(wrong) > 0,
            _wrong("categories", F.get(wrong, 0), "a name, or an object with a category and a weight above 0"),
        ),
    )


def _category(entry: Column) -> Column:
    name = F.variant_get(entry, "$.category", "variant")
    weight = F.variant_get(entry, "$.weight", "variant").cast("string")
    return F.struct(
        F.when(_is_text(F.schema_of_variant(entry)), entry.cast("string"))
        .when(_is_text(F.schema_of_variant(name)), name.cast("string"))
        .alias("category"),
        F.when(weight.isNull(), F.lit(1.0))
        .when(F.length(weight) <= NUMBER_LENGTH, weight.try_cast("double"))
        .alias("weight"),
    )


def _is_category(entry: Column) -> Column:
    read = _category(entry)
    name, weight = read["category"], read["weight"]
    # Spark orders NaN above every number, infinity included.
    return F.coalesce(meant(name).isNotNull() & (weight > 0) & (weight < float("inf")), F.lit(False))


def read_events(rows: DataFrame, source: Source, typed: Mapping[str, Field] | None = None) -> DataFrame:
    """The records of events in the contract's fields; ``rows`` has the place of each row and ``record``.

    ``typed``: the fields that a format other than JSON has in columns of their type, read without a VARIANT; ``rows``
    has these columns too. ``event_types`` and ``event_type``, which it stands for, are there both or neither.
    """
    from_json = typed is None
    typed = typed or {}
    fields: dict[str, Field] = {name: typed.get(name) or text(name) for name in TEXT_FIELDS}
    fields["event_time"] = typed.get("event_time") or instant("event_time")
    fields["event_types"] = typed.get("event_types") or event_types()
    fields["position"] = typed.get("position") or whole("position", "int", from_json)
    fields["duration_ms"] = typed.get("duration_ms") or whole("duration_ms", "bigint", from_json)
    fields["revenue_micros"] = typed.get("revenue_micros") or whole("revenue_micros", "bigint", from_json)
    left = [name for name in EVENT_FIELDS if name not in typed]
    return checked(_with_fields(_with_entries(rows, left, sorted(typed)), fields), source)


def read_items(rows: DataFrame, source: Source) -> DataFrame:
    """The records of items in the contract's fields; ``rows`` has the place of each row and ``record``."""
    fields = {
        "item_id": text("item_id"),
        "categories": categories(),
        "author_id": text("author_id"),
        "duration_ms": whole("duration_ms", "bigint", from_json=True),
        "published_at": instant("published_at"),
    }
    return checked(_with_fields(_with_entries(rows, tuple(fields)), fields), source)


def _with_fields(rows: DataFrame, fields: Mapping[str, Field]) -> DataFrame:
    return rows.select(
        *(name for name in PLACE if name != "reason"),
        first([F.col("reason"), *(field.reason for field in fields.values())]).alias("reason"),
        *(field.value.alias(name) for name, field in fields.items()),
    )
