"""Files that a log writer might land: strategies for any bytes, and a corpus of what has gone wrong somewhere.

A file is accounted for when it has a landed or a rejected row for each of its own, or one rejected row for all of it.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

HOUR = datetime(2026, 5, 1, 10, tzinfo=UTC)
MIB = 1 << 20


@dataclass(frozen=True)
class Given:
    """A file to land: its source, its name as the disk has it, and its bytes."""

    source: str
    name: bytes
    content: bytes
    huge: bool = False
    """It unpacks to more than anybody should unpack, here either."""

    def must_be_read(self) -> bool:
        """Whether it must be read row by row, whatever its lines hold: only a broken gzip, an unpacked size and some
        names may cost a file of lines all of its rows. Of Parquet it is not known here."""
        suffixes = (b".jsonl", b".json", b".jsonl.gz", b".json.gz")
        plain = self.name.isascii() and self.name.endswith(suffixes) and not set(self.name) & set(b":*?[]{}\\")
        return plain and self.content != b"" and self.source != "events_parquet" and self.rows() is not None

    def rows(self) -> int | None:
        """How many rows it has; None if its bytes cannot be read to their end, or there are too many of them."""
        if self.huge:
            return None
        if self.source == "events_parquet":
            try:
                return int(pq.ParquetFile(io.BytesIO(self.content)).metadata.num_rows)
            except (pa.ArrowException, OSError):
                return None
        content = self.content
        if self.name.endswith(b".gz"):
            unpacked = _unpacked(content)
            if unpacked is None:
                return None
            content = unpacked
        # Spark drops the mark of UTF-8 at the beginning of a file.
        return sum(line.strip(b" \t\r") != b"" for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"))


def _unpacked(packed: bytes) -> bytes | None:
    """What a gzip of one or several members holds; None if it is none, or is broken. Zeros behind the last member are
    damage, as they are to Hadoop; Python's own module passes over them."""
    parts = []
    while packed:
        member = zlib.decompressobj(wbits=31)
        try:
            parts.append(member.decompress(packed))
        except zlib.error:
            return None
        if not member.eof:
            return None
        packed = member.unused_data
    return b"".join(parts)


GOOD = {
    "event_id": '"e1"',
    "event_time": f'"{HOUR:%Y-%m-%dT%H:%M:%SZ}"',
    "event_types": '["impression", "click"]',
    "item_id": '"i1"',
    "user_id": '"u1"',
    "request_id": '"r1"',
    "position": "3",
    "surface": '"home"',
    "model_id": '"m"',
    "experiment_id": '"x"',
    "variant": '"a"',
    "device_class": '"phone"',
    "country": '"DE"',
    "duration_ms": "1500",
    "revenue_micros": "10",
}
GOOD_ITEM = {
    "item_id": '"i1"',
    "categories": '["news", {"category": "sport", "weight": 2}]',
    "author_id": '"a1"',
    "duration_ms": "90000",
    "published_at": '"2026-01-01T00:00:00Z"',
}

ODD_TEXTS = (
    *(
        "",
        " ",
        "\t",
        "\u00a0\u3000",
        "\u200b",
        "\ufeff",
        "\0",
        "a\0b",
        "\x1b[31m",
        "\u202egnp",
        "\x7f\x9b",
        "😀",
        "e\u0301",
    ),
    *("*", "null", "NaN", "unknown", "' OR 1=1 --", "<script>", "${HOME}", "%s%n", "\\", '"', "a" * 1024, "a" * 1025),
    *("1e-1000000000", "1e1000000000", "9" * 400, "0x10", "١٢", "-0", "+5", " 7 ", "1_000", "0001-01-01T00:00:00Z"),
    *("9999-12-31T23:59:59.999999999Z", "2026-05-01T10:00:00+99:99", "2026-02-30T00:00:00Z", "-2026-05-01T10:00:00Z"),
)
ODD_TOKENS = (
    *(
        "null",
        "true",
        "[]",
        "{}",
        "0",
        "-0",
        "-1",
        "0.0",
        "-0.0",
        "1.0",
        "1e0",
        "0e0",
        "1e-30",
        "1E+400",
        "1e-1000000000",
    ),
    *("9223372036854775807", "-9223372036854775808", "9223372036854775808", "1e308", "9" * 39, "9" * 999, "9" * 1001),
    *(
        "0." + "3" * 40,
        "1.0000000000000000000001",
        "NaN",
        "Infinity",
        "-Infinity",
        "01",
        "1.",
        ".5",
        "'a'",
        "undefined",
    ),
    *('"\\ud83d"', '"\\ude00\\ud83d"', '"\\\\ud83d"', '"\\u0000"', '"\\ud83d\\ude00"', '"\\uzzzz"', '"\\x"', '"open'),
    *(
        "[" * 70 + "]" * 70,
        '{"a":' * 70 + "1" + "}" * 70,
        "[" * 3000,
        "[null]",
        "[[]]",
        '[{"category": "a", "weight": "b"}]',
    ),
    *(
        '[{"category": "a", "weight": 1e-320}, "b"]',
        '[{"category": "a", "weight": 1e308}]',
        '["a", "a"]',
        '[{"weight": 1}]',
    ),
    *('{"category": "a"}', '["\\u0000"]', '[" "]', '["*"]', "[1, 2.5, true]", "[" + ", ".join(['"c"'] * 500) + "]"),
)

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(ODD_TEXTS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_tokens = st.sampled_from(ODD_TOKENS) | st.sampled_from(ODD_TEXTS).map(json.dumps) | _json.map(json.dumps)


@st.composite
def _records(draw: st.DrawFn, good: dict[str, str]) -> bytes:
    """A good record, some fields of which are odd, missing or there twice."""
    fields = list(good.items())
    for name in draw(st.lists(st.sampled_from([*good, "event_type", "other"]), max_size=3)):
        place = next((n for n, (other, _) in enumerate(fields) if other == name), len(fields))
        odd = draw(st.none() | _tokens)
        fields[place : place + draw(st.integers(0, 1))] = [] if odd is None else [(name, odd)]
    return ("{" + ", ".join(f'"{name}": {value}' for name, value in fields) + "}").encode("utf-8", "surrogatepass")


@st.composite
def _deformed(draw: st.DrawFn, lines: st.SearchStrategy[bytes]) -> bytes:
    """A line that was cut, mixed up, doubled, or written in another encoding."""
    line = draw(lines)
    at = draw(st.integers(0, len(line)))
    ways: list[Callable[[], bytes]] = [
        lambda: line[:at],
        lambda: line[:at] + draw(st.binary(min_size=1, max_size=4)) + line[at:],
        lambda: line + line,
        lambda: b"[" + line + b"]",
        lambda: b"\xef\xbb\xbf" + line,
        lambda: line.decode(errors="replace").encode("utf-16"),
        lambda: line.replace(b" ", b"\0"),
        lambda: line.replace(b'"', b"'"),
        lambda: line + b"\r",
        lambda: b" " * draw(st.integers(0, 3)) + b"\t\r",
        lambda: (
            line[:-1] + b', "extra": "' + b"x" * draw(st.sampled_from([1000, 100_000, MIB, 2 * MIB, 5 * MIB])) + b'"}'
        ),
        lambda: b"[" * draw(st.sampled_from([65, 1001, 100_000])),
    ]
    return draw(st.sampled_from(ways))()


def _lines(good: dict[str, str]) -> st.SearchStrategy[bytes]:
    records = _records(good)
    return st.one_of(
        records, records, records, _deformed(records), _json.map(json.dumps).map(_bytes), st.binary(max_size=60)
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@st.composite
def names(draw: st.DrawFn, suffix: bytes) -> bytes:
    """Any name that a disk takes and a reader counts as there, of at most 250 bytes."""
    letters = st.characters(exclude_characters="/\0", exclude_categories=("Cs",)).map(str.encode)
    odd = st.sampled_from(
        [b":", b"%", b"*", b"[", b"}", b"\\", b"\n", b" ", b"?", b"#", b"\xe9", b"\xff", b"~", b"=", b"$"]
    )
    stem = b"".join(draw(st.lists(letters | odd, min_size=1, max_size=12)))
    # Files of one example have different names, whatever the letters are.
    unique = f"{draw(st.integers(0, 2**63)):x}".encode()
    return (b"n" if stem.startswith((b".", b"_")) else b"") + stem[:200] + unique + suffix


@st.composite
def of_lines(draw: st.DrawFn, source: str, good: dict[str, str]) -> Given:
    """A file of JSON lines, packed and damaged or not."""
    end = draw(st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r"]))
    content = end.join(draw(st.lists(_lines(good), max_size=12)))
    content += draw(st.sampled_from([b"", b"\n", b"\n\n \n"]))
    if draw(st.booleans()):
        return Given(source, draw(names(draw(st.sampled_from([b".jsonl", b".json"])))), content)
    packed = gzip.compress(content, draw(st.integers(0, 9)), mtime=0)
    at = draw(st.integers(0, len(packed)))
    packed = draw(
        st.sampled_from(
            [
                packed,
                packed,
                packed + gzip.compress(content),
                packed[:at],
                packed[:at] + b"\xff" + packed[at + 1 :],
                packed + b"\0" * 512,
                packed + b"rubbish",
                content,
                b"",
                gzip.compress(b"") * 3,
            ]
        )
    )
    return Given(source, draw(names(b".jsonl.gz")), packed)


_NUMBERS: dict[Any, tuple[int, int]] = {
    **{
        pa_type(): (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        for pa_type, bits in ((pa.int8, 8), (pa.int16, 16), (pa.int32, 32), (pa.int64, 64))
    },
    **{
        pa_type(): (0, 2**bits - 1)
        for pa_type, bits in ((pa.uint8, 8), (pa.uint16, 16), (pa.uint32, 32), (pa.uint64, 64))
    },
    **{pa.timestamp(unit, zone): (-(2**63), 2**63 - 1) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC")},
    **dict.fromkeys((pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"), pa.date32()), (0, 86399)),
    pa.date64(): (0, 0),
    pa.duration("us"): (-(2**63), 2**63 - 1),
}
_INSTANT = int(HOUR.timestamp())
_PLAUSIBLE = {"s": _INSTANT, "ms": _INSTANT * 10**3, "us": _INSTANT * 10**6, "ns": _INSTANT * 10**9}
_OTHERS: dict[Any, Callable[[random.Random], Any]] = {
    pa.string(): lambda dice: dice.choice(ODD_TEXTS),
    pa.large_string(): lambda dice: dice.choice(ODD_TEXTS),
    pa.string_view(): lambda dice: dice.choice(ODD_TEXTS),
    pa.binary(): lambda dice: dice.randbytes(dice.randrange(9)),
    pa.binary(3): lambda dice: dice.randbytes(3),
    pa.bool_(): lambda dice: dice.random() < 0.5,
    pa.float32(): lambda dice: dice.choice([0.0, 1.0, 1e-30, float("nan"), float("inf")]),
    pa.float64(): lambda dice: dice.choice([0.0, 2.0, 1e-30, 1e300, float("nan"), float("-inf")]),
    pa.float16(): lambda dice: dice.choice([0.0, 2.0]),
    pa.decimal128(38, 18): lambda dice: Decimal(dice.choice(["0", "1", "1e-18", "99999999999999999999"])),
    pa.decimal128(5, -2): lambda dice: Decimal(100),
    pa.decimal256(60, 2): lambda dice: Decimal("1e50"),
    pa.null(): lambda dice: None,
    pa.list_(pa.string()): lambda dice: dice.choice([[], ["click"], ["click", None], ["nope"] * 50]),
    pa.large_list(pa.string()): lambda dice: ["click"],
    pa.list_(pa.list_(pa.int64())): lambda dice: [[1], []],
    pa.list_(pa.string(), 2): lambda dice: ["click", "like"],
    pa.struct({"a": pa.string(), "b": pa.list_(pa.int8())}): lambda dice: {"a": "x", "b": [1]},
    pa.map_(pa.string(), pa.int64()): lambda dice: [("k", 1)],
    pa.map_(pa.int64(), pa.string()): lambda dice: [(1, "v")],
    pa.dictionary(pa.int8(), pa.string()): lambda dice: dice.choice(["u", "\0", ""]),
}
_TYPES = [*_NUMBERS, *_OTHERS]
_USUAL = {"event_types": pa.list_(pa.string()), "event_time": pa.timestamp("us", "UTC"), "position": pa.int32()}
_USUAL |= {"duration_ms": pa.int64(), "revenue_micros": pa.int64()}


def _column(dice: random.Random, kind: Any, rows: int) -> Any:
    if kind in _NUMBERS:
        least, most = _NUMBERS[kind]
        plausible = _PLAUSIBLE[kind.unit] if pa.types.is_timestamp(kind) else 1
        values = [dice.choice([None, least, most, 0, plausible, plausible]) for _ in range(rows)]
        stored = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[kind.bit_width]
        return pa.array(values, kind if pa.types.is_integer(kind) else stored).view(kind)
    return pa.array([_OTHERS[kind](dice) if dice.random() < 0.8 else None for _ in range(rows)], kind)


def parquet(seed: int, flips: bool = False) -> bytes:
    """A Parquet file with columns of the contract, in usual types or any, as any writer might store it.

    ``flips``: one in five has a wrong byte anywhere, which only a read can find.
    """
    dice = random.Random(seed)
    rows = dice.choice([0, 1, 3, 50])
    columns: dict[str, Any] = {}
    for name in [*GOOD, "event_type", "Event_ID", "a.b"]:
        kind = _USUAL.get(name, pa.string()) if dice.random() < 0.8 else dice.choice(_TYPES)
        if (dice.random() < 0.85 and name not in ("Event_ID", "a.b", "event_type")) or dice.random() < 0.05:
            columns[name] = _column(dice, kind, rows)
    written = io.BytesIO()
    options: dict[str, Any] = {
        "compression": dice.choice(["NONE", "SNAPPY", "GZIP", "LZ4", "ZSTD", "BROTLI"]),
        "version": dice.choice(["1.0", "2.4", "2.6"]),
        "data_page_version": dice.choice(["1.0", "2.0"]),
        "use_dictionary": dice.random() < 0.5,
        "row_group_size": dice.choice([1, 7, 1000]),
        "data_page_size": dice.choice([1, 100, MIB]),
        "write_statistics": dice.random() < 0.5,
        "use_deprecated_int96_timestamps": dice.random() < 0.2,
        "write_page_checksum": dice.random() < 0.3,
        "use_byte_stream_split": False,
    }
    if not options["use_dictionary"] and dice.random() < 0.5:
        choices = {
            "int": ["DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT", "PLAIN"],
            "string": ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY", "PLAIN"],
        }
        options["column_encoding"] = {
            name: dice.choice(choices["string" if column.type == pa.string() else "int"])
            for name, column in columns.items()
            if column.type in (pa.string(), pa.int32(), pa.int64())
        }
    try:
        pq.write_table(pa.table(columns), written, **options)
    except (pa.ArrowException, OverflowError, OSError):  # Parquet has no such type, or the type not this value
        return parquet(seed + 1, flips)
    content = written.getvalue()
    damage = dice.random()
    if flips and damage > 0.8:
        at = dice.randrange(len(content))
        return content[:at] + bytes([dice.randrange(256)]) + content[at + 1 :]
    if damage < 0.1:
        return content[: dice.randrange(len(content))]
    if damage < 0.2:
        at = dice.randrange(max(0, len(content) - 300), len(content))
        return content[:at] + bytes([dice.randrange(256)]) + content[at + 1 :]
    return content


def any_file(flips: bool = False) -> st.SearchStrategy[Given]:
    """Any file of the three sources of the contract; ``flips`` as for :func:`parquet`."""
    tables = st.integers(0, 2**32).map(lambda number: parquet(number, flips))
    of_parquet = st.builds(Given, st.just("events_parquet"), names(b".parquet"), tables)
    return st.one_of(of_lines("events_jsonl", GOOD), of_lines("items_jsonl", GOOD_ITEM), of_parquet)


def line(good: dict[str, str] = GOOD, **changed: str) -> bytes:
    """A good record with some fields written otherwise."""
    return ("{" + ", ".join(f'"{name}": {value}' for name, value in (good | changed).items()) + "}").encode()


def beside() -> list[Given]:
    """A good event and its item, which no other file names: without one a ranking is empty, and its check holds it."""
    event, item = line(event_id='"good"', item_id='"good"'), line(GOOD_ITEM, item_id='"good"')
    return [Given("events_jsonl", b"good.jsonl", event), Given("items_jsonl", b"good.jsonl", item)]


def corpus() -> Iterator[Given]:
    """What has gone wrong somewhere, with a good line beside it where the format allows it."""
    good, item = line() + b"\n", line(GOOD_ITEM) + b"\n"

    def events(name: str, content: bytes) -> Given:
        return Given("events_jsonl", name.encode("utf-8", "surrogateescape"), content)

    yield events("good.jsonl", good)
    yield events(
        "exponent.jsonl", good + line(position='"1e-1000000000"') + b"\n" + line(revenue_micros="1e-1000000000")
    )
    yield events("live.jsonl", good + (line(duration_ms="9223372036854775807") + b"\n") * 2)
    yield events(
        "sums.jsonl", b"".join(line(event_id=f'"s{n}"', revenue_micros="1000000000") + b"\n" for n in range(100))
    )
    yield events("nul.jsonl", good + line(item_id='"i\\u00001"', user_id='"u\\u0000"', duration_ms="99999999999"))
    yield events("halves.jsonl", good + line(user_id='"\\ud83d"') + b"\n" + line(user_id='"\\ude00"'))
    yield events("brackets.jsonl", good + b"[" * 100_000 + b"\n" + b'{"a":' * 100_000)
    yield events("digits.jsonl", good + line(position="9" * 900_000))
    yield events("string.jsonl", good + line(surface=f'"{"x" * 1_000_000}"'))
    yield events("long.jsonl", good + line(extra=f'"{"x" * 2 * MIB}"') + b"\n" + good)
    yield events("longer.jsonl", good + b"x" * 10 * MIB + b"\n" + good)
    wide = b" " * 5 * MIB
    yield events("longer.jsonl.gz", gzip.compress(good + wide + b"x\n" + good + wide + b"\n" + good))
    yield events("long-line.jsonl.gz", gzip.compress(line(extra=f'"{"x" * 130 * MIB}"'), 1))
    yield Given("events_jsonl", b"bomb.jsonl.gz", _bomb(5 * 1024), huge=True)
    yield events("lines.jsonl.gz", gzip.compress(b"x\n" * 100_000))
    yield events("empty.jsonl", b"")
    yield events("blank.jsonl", b"\n \n\t\r\n")
    yield events("bom.jsonl", b"\xef\xbb\xbf" + good)
    yield events("utf-16.jsonl", good.decode().encode("utf-16"))
    yield events("latin-1.jsonl", good + line(surface='"f\xfcr"').decode().encode("latin-1"))
    yield events("crlf.jsonl", good.replace(b"\n", b"\r\n") * 2)
    yield events("cr.jsonl", good.replace(b"\n", b"\r") * 2)
    yield events("array.json", b"[" + good.strip() + b",\n" + good.strip() + b"]\n")
    yield events("pretty.json", json.dumps(json.loads(good), indent=1).encode())
    yield events("twice.jsonl", good + b'{"event_id": "a", "event_id": "b"}\n')
    yield events("garbage.jsonl.gz", gzip.compress(good) + b"rubbish")
    yield events("members.jsonl.gz", gzip.compress(good) * 5)
    yield events("cut.jsonl.gz", gzip.compress(good * 1000)[:-9])
    yield events("no-gzip.jsonl.gz", good)
    yield events("nothing.jsonl.gz", b"")
    yield events("caf\udce9.jsonl", good)
    for name in (
        " a b",
        "13:00:00",
        "a::b",
        "new\nline",
        "100%25",
        "a[1]*?{b}",
        "back\\slash",
        "#?&=+",
        "fu\u0308r",
        "x" * 240,
    ):
        yield events(f"{name}.jsonl", line(event_id=json.dumps(name)) + b"\n")
    yield events("wrong.csv", good)
    categories = ", ".join(f'"c{n}"' for n in range(5000))
    items: dict[str, str] = {"many": f"[{categories}]", "more": f"[{categories}, {categories}, {categories}]"}
    items |= {"vanishing": '[{"category": "a", "weight": 1e-300}, {"category": "b", "weight": 1e300}]'}
    items |= {"halves": '["\\ud83d"]', "blank": '["\\u3000"]', "deep": "[" * 80 + "]" * 80, "none": "[]"}
    for name, written in items.items():
        changed = line(GOOD_ITEM, item_id=f'"{name}"', categories=written)
        yield Given("items_jsonl", f"{name}.jsonl".encode(), item + changed)
    yield Given("items_jsonl", b"times.jsonl", line(GOOD_ITEM, item_id='"t"', published_at="-253402300799999"))
    yield from _tables()


def _bomb(mebibytes: int) -> bytes:
    """A gzip of many members that unpacks to more than so many MiB."""
    return gzip.compress(b'{"event_id": "e"}\n' * (64 * MIB // 18), 1) * (mebibytes // 63)


def _tables() -> Iterator[Given]:
    click = {
        "event_id": ["p1"],
        "event_type": ["click"],
        "item_id": ["i1"],
        "event_time": [HOUR + timedelta(minutes=1)],
    }

    def stored(name: str, columns: dict[str, Any], **options: Any) -> Given:
        written = io.BytesIO()
        table = pa.table(columns)
        if isinstance(columns.get("event_time"), list):
            table = table.set_column(
                table.column_names.index("event_time"),
                "event_time",
                pa.array(columns["event_time"], pa.timestamp("us", "UTC")),
            )
        pq.write_table(table, written, **options)
        return Given("events_parquet", f"{name}.parquet".encode(), written.getvalue())

    yield stored("good", click)
    yield stored("brotli", click, compression="BROTLI")
    yield stored(
        "split", click | {"position": [1]}, use_dictionary=False, column_encoding={"position": "BYTE_STREAM_SPLIT"}
    )
    yield stored("milliseconds", click | {"event_time": pa.array([2**63 - 1], pa.timestamp("ms", "UTC"))})
    yield stored("nothing", {})
    yield stored("no-rows", {name: column[:0] for name, column in click.items()})
    yield stored("foreign", {"Event_ID": ["a"], "other": [1]})
    whole = stored("whole", click).content
    yield Given("events_parquet", b"cut.parquet", whole[:-20])
    start = pq.ParquetFile(io.BytesIO(whole)).metadata.row_group(0).column(0).dictionary_page_offset
    two_gigabytes = b"\x15\x04\x15\xfe\xff\xff\xff\x0f"
    yield Given("events_parquet", b"bomb.parquet", whole[:start] + two_gigabytes + whole[start + len(two_gigabytes) :])
    yield Given("events_parquet", b"text.parquet", b"PAR1 not at all PAR1")
