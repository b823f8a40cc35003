"""The contract's events as JSON lines: what is read, what is rejected and why, and how files are replayed."""

import gzip
import json
from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import functions as F

from include.spark.sources import events_jsonl
from include.spark.sources.rules import FIELDS, PLACE

GOOD = {
    "event_id": "e1",
    "event_time": "2026-05-01T13:05:00Z",
    "event_types": ["impression", "click"],
    "item_id": "i1",
}


def line(**changes):
    """A good line with some fields changed; None takes a field out."""
    return json.dumps({name: value for name, value in (GOOD | changes).items() if value is not None})


def number(**written):
    """A good line with a number as it is written, which Python's JSON would write otherwise."""
    return line()[:-1] + "".join(f', "{name}": {text}' for name, text in written.items()) + "}"


def fill(text, length):
    """The line, made so many bytes long by its last field, an empty string."""
    return f'{text[:-2]}{"x" * (length - len(text))}"}}'


DEEP = "raw: not one JSON object with at most 64 levels of lists and objects"
MIB = 1 << 20
TIME = "is not an ISO 8601 time with a zone or a number of epoch milliseconds"

BAD = {
    "bytes that are not UTF-8": (line().encode() + b"\x80", "raw: the bytes are not valid UTF-8"),
    "no JSON": ("event_id=e1", "raw: not one JSON object with each field once"),
    "half a line": (line()[:-5], "raw: not one JSON object with each field once"),
    "two objects in a line": (line() + line(), "raw: not one JSON object with each field once"),
    "garbage after the object": (line() + " trailing", "raw: not one JSON object with each field once"),
    "a list that closes the parser's": (line() + "] x", "raw: not one JSON object with each field once"),
    "a list": (f"[{line()}]", "raw: not one JSON object with each field once"),
    "a field twice": ('{"event_id": "a", "event_id": "b"}', "raw: not one JSON object with each field once"),
    "no event_id": (line(event_id=None), "event_id is missing"),
    "a blank event_id": (line(event_id=" "), "event_id is missing"),
    "an event_id that is an object": (line(event_id={"a": 1}), "event_id: '{\"a\":1}' is not a string"),
    "a fraction as item_id": (line(item_id=1.5), "item_id: '1.5' is not a string"),
    "no event_time": (line(event_time=None), "event_time is missing"),
    "a time without zone": (line(event_time="2026-05-01T13:05:00"), f"event_time: '2026-05-01T13:05:00' {TIME}"),
    "a day that does not exist": (
        line(event_time="2026-02-30T13:05:00Z"),
        f"event_time: '2026-02-30T13:05:00Z' {TIME}",
    ),
    "a time beyond all calendars": (line(event_time=2**63 - 1), f"event_time: '9223372036854775807' {TIME}"),
    "an unset clock": (
        line(event_time="1970-01-01T00:00:00Z"),
        "event_time: 1970-01-01T00:00:00Z is before 2000-01-01; epoch times are in milliseconds",
    ),
    "epoch seconds": (
        line(event_time=1777640700),
        "event_time: 1970-01-21T13:47:20Z is before 2000-01-01; epoch times are in milliseconds",
    ),
    "a time in the future": (
        line(event_time="2026-05-01T14:05:00.000001Z"),
        "event_time: 2026-05-01T14:05:00Z is in the future: more than 5 minutes after the end of the arrival hour "
        "2026-05-01T13:00:00Z",
    ),
    "no event type": (line(event_types=None), "event_types is missing"),
    "an empty list of types": (line(event_types=[]), "event_types: the list is empty"),
    "an unknown type": (
        line(event_types=["impression", "clik"]),
        "event_types: 'clik' is not one of impression, click, like, share, comment, follow, save, hide, opt_out, play",
    ),
    "a null among the types": (
        line(event_types=["impression", None]),
        "event_types: null is not one of impression, click, like, share, comment, follow, save, hide, opt_out, play",
    ),
    "types as one string": (line(event_types="click"), "event_types: 'click' is not a list of strings"),
    "no item_id": (line(item_id=None), "item_id is missing"),
    "words as duration_ms": (line(duration_ms="abc"), "duration_ms: 'abc' is not a whole number"),
    "a fraction as duration_ms": (line(duration_ms=1.5), "duration_ms: '1.5' is not a whole number"),
    "a huge duration_ms": (line(duration_ms=2**63), "duration_ms: '9223372036854775808' is not a number of 64 bits"),
    "a list as position": (line(position=[1]), "position: '[1]' is not a whole number"),
    "a huge position": (line(position=2**31), "position: '2147483648' is not a number of 32 bits"),
    "a negative position": (line(position=-1), "position: -1 is negative"),
    "a negative duration": (line(duration_ms=-5), "duration_ms: -5 is negative"),
    "negative revenue": (line(revenue_micros=-5), "revenue_micros: -5 is negative"),
    "a position beyond all lists": (line(position=1_000_001), "position: 1000001 is more than 1000000"),
    "the sentinel of a live stream": (
        line(duration_ms=2**63 - 1),
        "duration_ms: 9223372036854775807 is more than 604800000",
    ),
    "more revenue than an event has": (
        line(revenue_micros=10**9 + 1),
        "revenue_micros: 1000000001 is more than 1000000000",
    ),
    "an exponent of a billion in a string": (
        line(position="1e-1000000000"),
        "position: '1e-1000000000' is not a whole number",
    ),
    "an exponent of a billion": (
        number(position="1e-1000000000"),
        "position: a number with an exponent and next to 0 is not a whole number",
    ),
    "a large exponent in a string": (
        line(revenue_micros="1e1000000000"),
        "revenue_micros: '1e1000000000' is not a whole number",
    ),
    "a large exponent": (number(revenue_micros="1e1000000000"), "revenue_micros: 'Infinity' is not a whole number"),
    "a fraction that a decimal cannot hold": (line(position="1e-30"), "position: '1e-30' is not a whole number"),
    "a fraction that a double can hold": (number(position="1e-30"), "position: '1.0E-30' is not a whole number"),
    "a fraction of twenty digits": (
        line(position="1.00000000000000000001"),
        "position: '1.00000000000000000001' is not a whole number",
    ),
    "a number of ten thousand digits": (
        line(duration_ms="9" * 10_000),
        f"duration_ms: '{'9' * 80}…' is not a whole number",
    ),
    "a number of ten thousand digits without quotes": (
        number(duration_ms="9" * 10_000),
        "raw: not one JSON object with each field once",
    ),
    "a number that is none": (line(position="NaN"), "position: 'NaN' is not a whole number"),
    "a time of a billion digits": (
        line(event_time=f"2026-05-01T13:05:00.{'0' * 1000}Z"),
        f"event_time: '2026-05-01T13:05:00.{'0' * 60}…' {TIME}",
    ),
    "an epoch with an exponent": (
        line(event_time=None)[:-1] + ', "event_time": 1e-1000000000}',
        f"event_time: '0.0' {TIME}",
    ),
    "NUL in an id": (line(user_id="a\0b"), "user_id: 'a\u2400b' holds a NUL or half of a surrogate pair"),
    "half of a surrogate pair": (
        line(item_id="a\ud83d"),
        "item_id: 'a\u2400' holds a NUL or half of a surrogate pair",
    ),
    "the other half first": (
        line(surface="\ude00\ud83d"),
        "surface: '\u2400\u2400' holds a NUL or half of a surrogate pair",
    ),
    "half of a pair behind a backslash": (
        line(surface="\\\ud83d"),
        "surface: '\\\u2400' holds a NUL or half of a surrogate pair",
    ),
    "a text that is too long": (
        line(user_id="ü" * 1025),
        f"user_id: '{'ü' * 80}…' has 1025 characters, more than 1024",
    ),
    "an event_id of white space of every kind": (
        line(event_id="\u00a0\u2003\u3000\t\u200b\ufeff"),
        "event_id is missing",
    ),
    "a hundred thousand brackets": ("[" * 100_000, DEEP),
    "an object of 65 levels": (line(extra=json.loads("[" * 64 + "]" * 64)), DEEP),
    "a line that is too long": (
        line(extra="x" * MIB),
        "raw: the line is longer than 1 MiB",
    ),
    "a line that is too long and no text": (
        b"\xff" * (MIB + 1),
        "raw: the line is longer than 1 MiB",
    ),
    "UTF-16": (line().encode("utf-16-le"), "raw: not one JSON object with each field once"),
    "any surface": (line(surface="*"), "surface: '*' means any in Feedmill's tables; give it another name"),
    "any country": (line(country="*"), "country: '*' means any in Feedmill's tables; give it another name"),
    "a very long wrong value": (line(position="x" * 100), f"position: '{'x' * 80}…' is not a whole number"),
}

MEASURED = GOOD | {"position": 10**6, "duration_ms": 7 * 24 * 3600 * 1000, "revenue_micros": 10**9}

INSTANT = datetime(2026, 5, 1, 13, 5, tzinfo=UTC)

READ = {
    "a time with an offset": (line(event_time="2026-05-01T15:05:00+02:00"), "event_time", INSTANT),
    "a time without seconds": (line(event_time="2026-05-01 13:05Z"), "event_time", INSTANT),
    "microseconds": (line(event_time="2026-05-01T13:05:00.000007Z"), "event_time", INSTANT.replace(microsecond=7)),
    "epoch milliseconds": (line(event_time=1777640700000), "event_time", INSTANT),
    "a clock five minutes ahead": (
        line(event_time="2026-05-01T14:05:00Z"),
        "event_time",
        INSTANT + timedelta(hours=1),
    ),
    "one event type": (line(event_types=None, event_type="play"), "event_types", ["play"]),
    "a type said twice": (line(event_types=["click", "click"]), "event_types", ["click"]),
    "a numbered user": (line(user_id=12345678901234567890), "user_id", "12345678901234567890"),
    "a user in brackets": (line(user_id="[deleted]"), "user_id", "[deleted]"),
    "a blank country": (line(country=""), "country", None),
    "a JSON null": (line().replace("}", ', "surface": null}'), "surface", None),
    "a number in a string": (line(duration_ms="15"), "duration_ms", 15),
    "a whole float": (line(revenue_micros=12345678.0), "revenue_micros", 12345678),
    "a field that nobody knows": (line(colour="red"), "item_id", "i1"),
    "a carriage return": (line() + "\r", "item_id", "i1"),
    "the largest measures": (json.dumps(MEASURED), "revenue_micros", 10**9),
    "a number with an exponent": (number(duration_ms="1.5e3"), "duration_ms", 1500),
    "a number with an exponent in a string": (line(duration_ms="1.5E+3"), "duration_ms", 1500),
    "a zero": (line(position=0), "position", 0),
    "a zero as a float": (number(position="0.0"), "position", 0),
    "a whole pair of surrogates": (line(surface="\U0001f600"), "surface", "\U0001f600"),
    "a backslash before a u": (line(surface="\\ud83d"), "surface", "\\ud83d"),
    "half of a pair in a field that nobody reads": (line(title="\ud83d"), "item_id", "i1"),
    "a NUL in a field that nobody reads": (line(title="\0"), "item_id", "i1"),
    "a text of the greatest length": (line(user_id="ü" * 1024), "user_id", "ü" * 1024),
    "ids that look alike": (line(item_id="\u0430\u200bb "), "item_id", "\u0430\u200bb "),
    "a user of white space": (line(user_id="\u2028\u3000"), "user_id", None),
    "brackets in a text": (line(surface="[" * 100), "surface", "[" * 100),
    "an object of 64 levels": (line(extra=json.loads("[" * 63 + "]" * 63)), "item_id", "i1"),
    "a hundred lists beside each other": (line(extra=[[], {}] * 100), "item_id", "i1"),
    "a line of the greatest length": (fill(line(extra=""), MIB), "item_id", "i1"),
    "text beyond ASCII": (line(surface="Für dich"), "surface", "Für dich"),
}


@pytest.fixture(scope="module")
def records(text_rows):
    """What becomes of every line above, by the line's name; one Spark job."""
    cases = {name: case[0] for name, case in (BAD | READ).items()}
    read = events_jsonl.read(text_rows("a.jsonl", list(cases.values())))
    rows = {row["line"]: row for row in read.withColumn("micros", F.unix_micros("event_time")).collect()}
    return dict(zip(cases, (rows[number] for number in sorted(rows)), strict=True))


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_line_is_rejected_with_field_and_value(records, name):
    assert records[name]["reason"] == BAD[name][1]


@pytest.mark.parametrize("name", READ)
def test_a_well_formed_line_is_read(records, name):
    _, field, expected = READ[name]
    row = records[name]
    assert row["reason"] is None
    if isinstance(expected, datetime):
        assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row["micros"]) == expected
    else:
        assert row[field] == expected


def test_a_rejected_row_keeps_its_text_and_place_but_no_field(records):
    row = records["words as duration_ms"]
    assert json.loads(row["raw"])["duration_ms"] == "abc"
    assert row["source_file"] == "file:///landing/a.jsonl"
    assert row["line"] == list(BAD).index("words as duration_ms") + 1
    assert [row[name] for name in FIELDS["events"] if name != "source"] == [None] * (len(FIELDS["events"]) - 1)
    assert row["source"] == "events_jsonl"


def test_text_that_is_not_utf8_is_stored_as_valid_text(records):
    assert records["bytes that are not UTF-8"]["raw"] == line() + "�"


def test_records_have_all_columns_in_order(text_rows):
    read = events_jsonl.read(text_rows("a.jsonl", []))
    assert read.columns == [*PLACE, *FIELDS["events"]]
    assert {field.name: field.dataType.simpleString() for field in read.schema if field.name in FIELDS["events"]} == (
        FIELDS["events"]
    )


def test_a_filter_on_reason_does_not_make_spark_parse_a_line_again(spark, capsys):
    # Rows that Spark has to compute: what it is handed, as in text_rows, it parses while it plans.
    rows = spark.range(1).selectExpr(
        "'file:///landing/a.jsonl' AS source_file",
        "'a.jsonl' AS file_name",
        "id AS line",
        "timestamp_seconds(id) AS received_at",
        "timestamp_seconds(id) AS arrival_hour",
        """concat('{"event_id": ', id, '}') AS raw""",
    )
    events_jsonl.read(rows).where("reason IS NULL").explain(extended=True)
    optimized = capsys.readouterr().out.partition("== Optimized Logical Plan ==")[2].partition("== Physical Plan")[0]
    assert optimized.count("parseJson") == 1


REPLAYED = [
    b'{"event_time":"2026-05-01T13:59:59.5+02:00",  "event_id":1}\n',
    b"not JSON\n",
    b'{"payload":{"event_time":"2026-05-01T11:00:00Z"}, "event_time": 1777636800000}\n',
    b'{"event_id": 3, "event_time": "2026-05-01 11:30Z"}\n',
]


def replayed(tmp_path, lines=REPLAYED, name="log.jsonl", shift=timedelta(days=1, hours=2)):
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"".join(lines)) if name.endswith(".gz") else b"".join(lines))
    return list(events_jsonl.replay(path, name, shift))


def test_a_replay_lands_each_hour_in_a_file_of_its_own_and_changes_nothing_but_the_time(tmp_path):
    assert replayed(tmp_path) == [
        (
            datetime(2026, 5, 2, 13, tzinfo=UTC),
            "log.jsonl",
            b'{"event_time":"2026-05-02T15:59:59.5+02:00",  "event_id":1}\n'
            b"not JSON\n"
            b'{"event_id": 3, "event_time": "2026-05-02 13:30:00Z"}\n',
        ),
        (
            datetime(2026, 5, 2, 14, tzinfo=UTC),
            "log.jsonl",
            b'{"payload":{"event_time":"2026-05-01T11:00:00Z"}, "event_time": 1777730400000}\n',
        ),
    ]


def test_a_line_of_brackets_goes_with_the_line_before_it(tmp_path):
    ((_, _, content),) = replayed(tmp_path, [REPLAYED[0], b"[" * 100_000 + b"\n"])
    assert content.endswith(b"[" * 100_000 + b"\n")


def test_a_replayed_gzip_file_is_a_gzip_file(tmp_path):
    contents = [content for _, _, content in replayed(tmp_path, name="log.jsonl.gz")]
    assert gzip.decompress(contents[0]).startswith(b'{"event_time":"2026-05-02T15:59:59.5+02:00"')


def test_a_shift_of_broken_seconds_is_refused(tmp_path):
    with pytest.raises(ValueError, match="whole seconds"):
        replayed(tmp_path, shift=timedelta(milliseconds=1))


def test_a_file_without_any_time_cannot_be_replayed(tmp_path):
    with pytest.raises(ValueError, match="no line with a readable event_time"):
        replayed(tmp_path, lines=[b"not JSON\n", b"[]\n", b'{"event_time": true}\n', b'{"event_time": "soon"}\n'])


def test_a_span_is_the_first_and_the_last_event_time(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(REPLAYED))
    assert events_jsonl.span(path) == (
        datetime(2026, 5, 1, 11, 30, tzinfo=UTC),
        datetime(2026, 5, 1, 12, 0, tzinfo=UTC),
    )
