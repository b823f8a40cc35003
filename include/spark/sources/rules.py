"""The rules that every landed row must keep, whatever its format, and the columns of a record.

A source module reads its own format into the columns below and names, in ``reason``, what is wrong with the
format: not UTF-8, not JSON, a field of the wrong type. :func:`checked` adds the rules of all formats.
"""

from collections.abc import Iterable, Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feedmill.spec import FileKind, Source
from include.bounds import (
    CATEGORIES,
    ITEM_DURATION_MS,
    LINE_BYTES,
    MEASURES,
    NUMBER_LENGTH,
    PUBLISHED,
    RAW_LENGTH,
    TEXT_LENGTH,
    WEIGHTS,
    amount,
)
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

LARGEST: dict[FileKind, dict[str, int]] = {"events": MEASURES, "items": {"duration_ms": ITEM_DURATION_MS}}
"""The largest value that a measure may have; see :mod:`include.bounds`."""

TEXTS: dict[FileKind, tuple[str, ...]] = {
    kind: tuple(name for name, type_ in fields.items() if type_ == "string" and name != "source")
    for kind, fields in FIELDS.items()
}
"""The fields that hold one text."""

SHOWN = 80
"""Characters of a wrong value that a reason shows."""

BLANKS = (
    # The control characters, without NUL, which no text may hold; and all that Unicode calls white space.
    "".join(map(chr, (*range(1, 33), 0x7F, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029)))
    + "\u202f\u205f\u3000"
    # Characters that show nothing: soft hyphen, joiners, marks of direction and order, fillers, blank Braille.
    + "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    + "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\u2800\u3164\ufeff\uffa0"
)
"""What a value that says nothing consists of."""

NUL = "\0"
"""No text may hold it: PostgreSQL and most tools of the command line do not take it."""


def shown(value: Column) -> Column:
    """A value as a reason shows it: quoted, valid UTF-8, without NUL, cut after 80 characters; null stays null."""
    text = F.translate(F.make_valid_utf8(value.cast("string")), NUL, "\u2400")
    cut = F.when(F.length(text) > SHOWN, F.concat(F.substring(text, 1, SHOWN), F.lit("…"))).otherwise(text)
    return F.concat(F.lit("'"), cut, F.lit("'"))


def with_text(rows: DataFrame) -> DataFrame:
    """The runner's text lines. ``raw`` is made valid UTF-8; if it was not valid, or is too long, ``reason`` says so."""
    too_long = F.octet_length("raw") > LINE_BYTES
    # Cut in a step of its own: nothing else looks at a line that is too long.
    lines = rows.select(
        "source_file",
        "file_name",
        "line",
        "received_at",
        "arrival_hour",
        F.when(too_long, beginning("raw")).otherwise(F.col("raw")).alias("raw"),
        F.when(too_long, F.lit(f"raw: the line is longer than {amount(LINE_BYTES)}")).alias("reason"),
    )
    not_utf8 = F.when(~F.is_valid_utf8("raw"), F.lit("raw: the bytes are not valid UTF-8"))
    return lines.withColumns(
        {
            "raw": F.make_valid_utf8(F.rtrim("raw", F.lit("\r"))),
            "reason": first([F.col("reason"), not_utf8]),
        }
    )


def beginning(name: str) -> Column:
    """A row's text, cut after so many characters as ``events.rejected.raw`` keeps."""
    start = F.substring(name, 1, RAW_LENGTH)
    return F.when(F.length(name) > RAW_LENGTH, F.concat(start, F.lit("…"))).otherwise(F.col(name))


def meant(text: Column) -> Column:
    """A text, or null where it is blank: it consists of characters that show nothing."""
    return F.when(F.trim(text, F.lit(BLANKS)) != "", text)


def with_whole_numbers(rows: DataFrame, texts: Mapping[str, str]) -> DataFrame:
    """The rows with a column more for each text column: the whole number that it writes, as a decimal.

    ``12``, ``12.0`` and ``1.2E1`` are 12; any other text is null. That is decided by the text, before any cast: Spark
    computes for minutes on 1e-1000000000, and takes 1e-30 for 0. ``texts``: the text's column, by the number's.
    """
    if not texts:
        return rows
    # In two steps, for Spark computes a step's columns once.
    numbers = rows.withColumns({number: _number(F.trim(text)) for number, text in texts.items()})
    return numbers.withColumns({name: F.when(F.col(name) == F.floor(name), F.col(name)) for name in texts})


def _number(written: Column) -> Column:
    plausible = written.rlike(r"^[+-]?(\d{1,20}(\.0*)?|\d(\.\d{1,17})?[eE]\+?\d{1,2})$")
    return F.when((F.octet_length(written) <= NUMBER_LENGTH) & plausible, written.try_cast("decimal(38,18)"))


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
    kind, given = source.kind, set(rows.columns)
    texts = [name for name in TEXTS[kind] if name in given]
    # Settled, for in one step with the rules the code that Spark makes of it is too long for Java, and is interpreted.
    rows = settled(rows.withColumns({name: meant(F.col(name)) for name in texts}))
    found = {name: F.col(name) if name in given else F.lit(None) for name in FIELDS[kind]}
    found["source"] = F.lit(source.name)
    shared = [_unfit_texts(texts)]
    shared += [F.when(F.col(name).isNull(), F.lit(f"{name} is missing")) for name in REQUIRED[kind]]
    if kind == "events":
        shared.append(_unknown_type())
    shared += [_negative(name) for name in NOT_NEGATIVE[kind] if name in given]
    shared += [_too_large(name, largest) for name, largest in LARGEST[kind].items() if name in given]
    if kind == "events":
        shared += [_too_early(), _too_late()]
        shared += [_reserved(name, F.col(name) == ANY) for name in ("surface", SEGMENT) if name in given]
    else:
        shared += [_unfit_categories()] if "categories" in given else []
        shared += [_implausible("published_at")] if "published_at" in given else []
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


def _too_large(name: str, largest: int) -> Column:
    written = F.col(name).cast("string")
    return F.when(F.col(name) > largest, F.concat(F.lit(f"{name}: "), written, F.lit(f" is more than {largest}")))


def _unfit_texts(names: Sequence[str]) -> Column:
    """The reason of the first text that no id and no name may be."""
    suspect = F.contains(F.concat_ws("", *names), F.lit(NUL)) | (
        F.greatest(F.lit(0), *(F.octet_length(name) for name in names)) > TEXT_LENGTH
    )
    texts = F.array(*(F.struct(F.lit(name).alias("name"), F.col(name).alias("text")) for name in names))
    return F.when(suspect, _first_unfit(F.transform(texts, lambda entry: _unfit(entry["name"], entry["text"]))))


def _first_unfit(reasons: Column) -> Column:
    return F.get(F.filter(reasons, lambda reason: reason.isNotNull()), 0)


def _unfit(name: Column, text: Column) -> Column:
    """The reason of a text that no id and no name may be; null for any other."""
    said = F.concat(name, F.lit(": "), shown(text))
    length = F.length(text).cast("string")
    return F.when(F.contains(text, F.lit(NUL)), F.concat(said, F.lit(" holds a NUL or half of a surrogate pair"))).when(
        F.length(text) > TEXT_LENGTH,
        F.concat(said, F.lit(" has "), length, F.lit(f" characters, more than {TEXT_LENGTH}")),
    )


def _unfit_categories() -> Column:
    """The reason of categories that no item may have."""
    least, most = WEIGHTS
    unfit = F.transform("categories", lambda entry: _unfit(F.lit("categories"), entry["category"]))
    outside = F.filter("categories", lambda entry: ~entry["weight"].between(least, most))
    return first(
        [
            F.when(
                F.size("categories") > CATEGORIES,
                F.concat(
                    F.lit("categories: "), F.size("categories").cast("string"), F.lit(f" are more than {CATEGORIES}")
                ),
            ),
            _first_unfit(unfit),
            F.when(
                F.size(outside) > 0,
                F.concat(
                    F.lit("categories: the weight "),
                    F.get(outside, 0)["weight"].cast("string"),
                    F.lit(f" is not between {least:g} and {most:g}"),
                ),
            ),
            _reserved("categories", F.exists("categories", lambda entry: entry["category"] == ANY)),
        ]
    )


def _implausible(name: str) -> Column:
    start, end = PUBLISHED
    return F.when(
        ~((F.col(name) >= F.lit(start)) & (F.col(name) < F.lit(end))),
        F.concat(
            F.lit(f"{name}: "),
            _written(name),
            F.lit(f" is not between {start:%Y} and {end:%Y}; a time that is not known is left out"),
        ),
    )


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
