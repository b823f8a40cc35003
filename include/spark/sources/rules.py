"""The rules that every landed row must keep, whatever its format, and the columns of a record.

A source module reads its own format into the columns below and names, in ``reason``, what is wrong with the
format: not UTF-8, not JSON, a field of the wrong type. :func:`checked` adds the rules of all formats.
"""

from collections.abc import Iterable

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feedmill.spec import FileKind, Source
from include.events import ANY, CLOCK_TOLERANCE, EARLIEST_EVENT_TIME, EVENT_TYPES, SEGMENT

PLACE = ("source_file", "line", "received_at", "arrival_hour", "raw", "reason")
"""Where a record stood in the landing zone, its text (of Parquet, only that of a wrong row), and what is wrong with it
(null: nothing)."""

FIELDS: dict[FileKind, dict[str, str]] = {
    "events": {
        "event_id": "string",
        "event_time": "timestamp",
        "event_types": "array<string>",
        "user_id": "string",
        "item_id": "string",
        "request_id": "string",
        "position": "int",
        "surface": "string",
        "model_id": "string",
        "experiment_id": "string",
        "variant": "string",
        "device_class": "string",
        "country": "string",
        "source": "string",
        "duration_ms": "bigint",
        "revenue_micros": "bigint",
    },
    "items": {
        "item_id": "string",
        "categories": "array<struct<category:string,weight:double>>",
        "author_id": "string",
        "duration_ms": "bigint",
        "published_at": "timestamp",
        "source": "string",
    },
}
"""A record's fields by kind of file, with their Spark types."""

REQUIRED: dict[FileKind, tuple[str, ...]] = {
    "events": ("event_id", "event_time", "event_types", "item_id"),
    "items": ("item_id",),
}

NOT_NEGATIVE: dict[FileKind, tuple[str, ...]] = {
    "events": ("position", "duration_ms", "revenue_micros"),
    "items": ("duration_ms",),
}

SHOWN = 80
"""Characters of a wrong value that a reason shows."""


def shown(value: Column) -> Column:
    """A value as a reason shows it: quoted, valid UTF-8, cut after 80 characters; null stays null."""
    text = F.make_valid_utf8(value.cast("string"))
    cut = F.when(F.length(text) > SHOWN, F.concat(F.substring(text, 1, SHOWN), F.lit("…"))).otherwise(text)
    return F.concat(F.lit("'"), cut, F.lit("'"))


def with_text(rows: DataFrame) -> DataFrame:
    """The runner's text lines. ``raw`` is made valid UTF-8, and if it was not valid, ``reason`` says so."""
    return rows.select(
        "source_file",
        "file_name",
        "line",
        "received_at",
        "arrival_hour",
        F.make_valid_utf8(F.rtrim("raw", F.lit("\r"))).alias("raw"),
        F.when(~F.is_valid_utf8("raw"), F.lit("raw: the bytes are not valid UTF-8")).alias("reason"),
    )


def unless(right: Column, name: str, value: Column, expected: str) -> Column:
    """The reason of a row whose column ``name`` is not what was expected; null where ``right`` is true."""
    return F.when(
        ~F.coalesce(right, F.lit(False)),
        F.concat(F.lit(f"{name}: "), shown(value), F.lit(f" is not {expected}")),
    )


def first(reasons: Iterable[Column]) -> Column:
    """The first reason that is not null; null where every rule is kept."""
    return F.coalesce(*reasons)


def checked(rows: DataFrame, source: Source) -> DataFrame:
    """The records of a source: shared rules applied, all columns of its kind, in order.

    ``rows`` has :data:`PLACE` and the fields of its kind except ``source``; a field that the format does not
    have may be missing and is null. A row with a reason has all its fields null but ``source``: nothing of a
    malformed row can be counted by accident.
    """
    kind = source.kind
    found = {name: F.col(name) if name in rows.columns else F.lit(None) for name in FIELDS[kind]}
    found["source"] = F.lit(source.name)
    shared = [F.when(F.col(name).isNull(), F.lit(f"{name} is missing")) for name in REQUIRED[kind]]
    if kind == "events":
        shared.append(_unknown_type())
    shared += [_negative(name) for name in NOT_NEGATIVE[kind] if name in rows.columns]
    if kind == "events":
        shared += [_too_early(), _too_late()]
        shared += [_reserved(name, F.col(name) == ANY) for name in ("surface", SEGMENT) if name in rows.columns]
    elif "categories" in rows.columns:
        shared.append(_reserved("categories", F.exists("categories", lambda entry: entry["category"] == ANY)))
    judged = rows.withColumn("reason", first([F.col("reason"), *shared]))
    good = F.col("reason").isNull()
    return settled(
        judged.select(
            *PLACE,
            *(
                (value if name == "source" else F.when(good, value)).cast(FIELDS[kind][name]).alias(name)
                for name, value in found.items()
            ),
        )
    )


def settled(rows: DataFrame) -> DataFrame:
    """The same rows, computed once each, whatever is filtered and selected afterwards.

    Spark pushes ``reason IS NULL`` down to the file and on the way writes each column in terms of the raw text. Without
    this step the plan parses a line in 787 places, and 300,000 lines took more than a minute; with it they take 14 s.
    Spark pushes no filter below a generator, and this generator makes one row of one row.
    """
    return rows.select(F.struct("*").alias("row")).select(F.inline(F.array("row")))


def _unknown_type() -> Column:
    unknown = F.filter("event_types", lambda entry: entry.isNull() | ~entry.isin(*EVENT_TYPES))
    name = F.coalesce(shown(F.get(unknown, 0)), F.lit("null"))
    return F.when(F.size("event_types") == 0, F.lit("event_types: the list is empty")).when(
        F.size(unknown) > 0,
        F.concat(F.lit("event_types: "), name, F.lit(f" is not one of {', '.join(EVENT_TYPES)}")),
    )


def _negative(name: str) -> Column:
    return F.when(F.col(name) < 0, F.concat(F.lit(f"{name}: "), F.col(name).cast("string"), F.lit(" is negative")))


def _reserved(name: str, taken: Column) -> Column:
    return F.when(taken, F.lit(f"{name}: '{ANY}' means any in Feedmill's tables; give it another name"))


def _too_early() -> Column:
    return F.when(
        F.col("event_time") < F.lit(EARLIEST_EVENT_TIME),
        F.concat(
            F.lit("event_time: "),
            _written("event_time"),
            F.lit(f" is before {EARLIEST_EVENT_TIME:%Y-%m-%d}; epoch times are in milliseconds"),
        ),
    )


def _too_late() -> Column:
    minutes = int(CLOCK_TOLERANCE.total_seconds() // 60)
    latest = F.col("arrival_hour") + F.expr(f"INTERVAL 1 HOUR {minutes} MINUTES")
    return F.when(
        F.col("event_time") > latest,
        F.concat(
            F.lit("event_time: "),
            _written("event_time"),
            F.lit(f" is in the future: more than {minutes} minutes after the end of the arrival hour "),
            _written("arrival_hour"),
        ),
    )


def _written(name: str) -> Column:
    return F.date_format(name, "yyyy-MM-dd'T'HH:mm:ss'Z'")
