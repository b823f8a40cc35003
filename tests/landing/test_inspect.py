"""What a look into a file finds: each damage and each bound, in plain words and in bounded memory."""

from __future__ import annotations

import gzip
import io
import os
import re
import struct
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feedmill.landing import footer, inspect
from feedmill.landing.inspect import LONGEST_SEEN, Looked, digest, look
from feedmill.spec import Source
from include.bounds import FILE_BYTES, FILE_ROWS, MIB, ROW_GROUP_BYTES

pytestmark = pytest.mark.rule(6)

LINES = Source("lines", kind="events", suffixes=(".jsonl", ".jsonl.gz"), layout="lines")
TABLES = Source("tables", kind="events", suffixes=(".parquet",), layout="parquet", columns=("a", "b", "nested"))
TEXT = b'{"a": 1}\n' * 1000


def defect(content: bytes, name: str) -> str | None:
    source = TABLES if name.endswith(".parquet") else LINES
    return look(io.BytesIO(content), f"/landing/{name}", len(content), source).defect


def of_parquet(table: Any, **options: Any) -> bytes:
    written = io.BytesIO()
    pq.write_table(table, written, **options)
    return written.getvalue()


class Endless(io.RawIOBase):
    """A gzip of zeros, or of another pattern, that is made as it is read: nobody holds it as a whole."""

    def __init__(self, pattern: bytes, times: int) -> None:
        packer = zlib.compressobj(wbits=31)
        pieces = [packer.compress(pattern) for _ in range(times)] + [packer.flush()]
        self.packed = io.BytesIO(b"".join(pieces))
        self.size = len(self.packed.getvalue())

    def read(self, size: int = -1) -> bytes:
        return self.packed.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self.packed.seek(offset, whence)


def test_a_look_has_the_digest_that_a_later_comparison_computes() -> None:
    for name in ("a.jsonl", "a.jsonl.gz", "a.parquet", "a.csv"):
        content = os.urandom(3 * MIB + 17)
        assert look(io.BytesIO(content), name, len(content), LINES).digest == digest(io.BytesIO(content))


def test_what_is_appended_meanwhile_is_not_followed() -> None:
    assert look(io.BytesIO(TEXT * 2), "a.jsonl", len(TEXT), LINES).digest == digest(io.BytesIO(TEXT))


def test_a_suffix_that_the_source_does_not_take_is_a_defect_and_not_a_silence() -> None:
    assert defect(TEXT, "a.csv") == "lines takes .jsonl, .jsonl.gz files; this is a.csv"


def test_a_truncated_gzip_tells_after_which_line_it_ends() -> None:
    whole = gzip.compress(TEXT)
    reason = defect(whole[:-4], "a.jsonl.gz")
    assert reason == "truncated gzip: it ends after line 1000 without the closing checksum"


def test_a_gzip_cut_in_its_data_is_truncated() -> None:
    whole = gzip.compress(os.urandom(4000), compresslevel=0)
    reason = defect(whole[:2000], "a.jsonl.gz")
    assert reason is not None
    assert re.fullmatch(r"truncated gzip: it ends after line \d+ without the closing checksum", reason)


def test_a_gzip_with_a_wrong_checksum_or_rubbish_behind_it_is_broken() -> None:
    whole = bytearray(gzip.compress(TEXT))
    whole[-6] ^= 0xFF
    reason = defect(bytes(whole), "a.jsonl.gz")
    assert reason is not None
    assert reason.startswith("broken gzip after line ")
    assert "incorrect data check" in reason
    reason = defect(gzip.compress(TEXT) + b"rubbish", "b.jsonl.gz")
    assert reason is not None
    assert reason.startswith("broken gzip after line 1000: ")
    assert defect(b"no gzip at all", "c.jsonl.gz") is not None


@pytest.mark.parametrize("chunk", [1, 7, 1 << 14])
def test_gzip_members_one_behind_the_other_are_one_file(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect, "_PACKED", chunk)
    member = gzip.compress(b"a\nb\n")
    assert defect(member * 3, "a.jsonl.gz") is None
    reason = defect(member * 2 + member[:-1], "b.jsonl.gz")
    assert reason == "truncated gzip: it ends after line 6 without the closing checksum"


def test_a_gzip_of_nothing_is_whole_and_an_empty_file_is_no_gzip() -> None:
    assert defect(gzip.compress(b""), "a.jsonl.gz") is None
    reason = defect(b"", "b.jsonl.gz")
    assert reason == "truncated gzip: it ends after line 0 without the closing checksum"
    assert defect(b"", "c.jsonl") is None


def test_a_parquet_file_without_its_footer_is_not_whole() -> None:
    whole = of_parquet(pa.table({"a": [1, 2]}))
    assert defect(whole, "a.parquet") is None
    for name, content in (("b", whole[:-10]), ("c", b""), ("d", b"PAR1 rubbish PAR1")):
        reason = defect(content, f"{name}.parquet")
        assert reason is not None
        assert reason.startswith("not a whole Parquet file: ")
        assert "\n" not in reason


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize("lines", [0, 2, 1_000_000])
def test_lines_that_spark_must_not_see_are_counted(name: str, lines: int) -> None:
    def long_lines(*some: bytes) -> int:
        content = b"{}\n" * lines + b"\n".join(some)
        packed = gzip.compress(content, 1) if name.endswith(".gz") else content
        looked = look(io.BytesIO(packed), name, len(packed), LINES)
        assert looked.defect is None
        return looked.long_lines

    longest, longer = b"x" * LONGEST_SEEN, b"x" * (LONGEST_SEEN + 1)
    assert long_lines(longest, TEXT, longest) == 0
    assert long_lines(longer, TEXT) == 1
    assert long_lines(longest, TEXT, longer) == 1, "the last one needs no end"
    assert long_lines(longer, TEXT, longer, longest, longer + b"\n", TEXT) == 3


def in_bounded_memory(feed: Endless) -> tuple[Looked, float]:
    """What was found, and how many MiB it took."""
    tracemalloc.start()
    try:
        found = look(feed, "a.jsonl.gz", feed.size, LINES)
        return found, tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


def test_a_line_of_gigabytes_in_a_small_gzip_is_found_in_a_few_megabytes() -> None:
    looked, memory = in_bounded_memory(Endless(b"x" * MIB, 1000))
    assert (looked.defect, looked.long_lines) == (None, 1)
    assert memory < 8


def test_a_gzip_that_unpacks_to_more_than_a_file_may_have_is_left_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect, "FILE_BYTES", 100 * MIB)
    feed = Endless((b"x" * 1023 + b"\n") * 1024, 1000)
    looked, memory = in_bounded_memory(feed)
    assert looked.defect == "the file unpacks to more than 100 MiB"
    assert memory < 8
    assert feed.packed.tell() == feed.size, "its digest covers all of it"


def test_many_members_and_many_lines_take_time_in_proportion() -> None:
    def seconds(members: int) -> float:
        start = time.process_time()
        assert defect(gzip.compress(b"\n") * members, "a.jsonl.gz") is None
        return time.process_time() - start

    seconds(1000)
    assert seconds(100_000) < 30 * max(seconds(10_000), 0.01)


def test_more_lines_than_a_file_may_have_are_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect, "FILE_ROWS", 1000)
    assert defect(TEXT, "a.jsonl") is None
    assert defect(TEXT + b"\n", "a.jsonl") == "the file has more than 1,000 lines"


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.parquet"])
def test_a_hole_of_an_exabyte_is_not_read(name: str) -> None:
    class Hole(io.RawIOBase):
        def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
            return offset

        def read(self, size: int = -1) -> bytes:
            assert size == MIB
            return bytes(size)

    source = TABLES if name == "a.parquet" else LINES
    found = look(Hole(), name, 1 << 60, source)
    assert found.defect == "the file has 1,073,741,824 GiB: a file may have 4 GiB"
    assert found.digest != look(Hole(), name, (1 << 60) + 1, source).digest


WHOLE = pa.table(
    {
        "a": ["x", "y", None] * 1000,
        "b": pa.array(range(3000), pa.int64()),
        "nested": [[{"c": n, "d": ["e"] * (n % 3)}] for n in range(3000)],
        "ignored": [b"z"] * 3000,
    }
)


@pytest.mark.parametrize("compression", ["NONE", "SNAPPY", "GZIP", "LZ4", "ZSTD"])
@pytest.mark.parametrize("pages", ["1.0", "2.0"])
def test_a_parquet_file_of_any_codec_that_spark_unpacks_is_whole(compression: str, pages: str) -> None:
    written = of_parquet(
        WHOLE, compression=compression, data_page_version=pages, data_page_size=100, row_group_size=700
    )
    assert defect(written, "a.parquet") is None


def test_a_codec_that_spark_lacks_is_named_if_the_column_is_read() -> None:
    reason = defect(of_parquet(WHOLE, compression={"nested.list.element.c": "BROTLI", "a": "SNAPPY"}), "a.parquet")
    assert reason == (
        "nested.list.element.c: Spark does not unpack BROTLI; land the rows in a new file, with ZSTD or SNAPPY"
    )
    assert defect(of_parquet(WHOLE, compression={"ignored": "BROTLI"}), "a.parquet") is None


def test_a_column_whose_name_is_not_utf8_is_a_defect() -> None:
    for name in ("secret", "a"):
        written = of_parquet(pa.table({name: [1]})).replace(b"secret", b"secr\xa5t").replace(b"\x01a", b"\x01\xff")
        reason = defect(written, "a.parquet")
        assert reason is not None
        assert reason.startswith("not a whole Parquet file: 'utf-8' codec can't decode byte ")


@pytest.mark.parametrize("pages", ["1.0", "2.0"])
def test_a_wrong_byte_anywhere_in_a_footer_or_page_header_fails_no_look(pages: str) -> None:
    whole = of_parquet(WHOLE.slice(0, 3), data_page_version=pages)
    for at in range(len(whole)):
        for wrong in (0, whole[at] ^ 1, whole[at] ^ 0x80, 255):
            defect(whole[:at] + bytes([wrong]) + whole[at + 1 :], "a.parquet")


def test_a_parquet_file_without_columns_is_a_defect() -> None:
    assert defect(of_parquet(pa.table({})), "a.parquet") == "the Parquet file has no columns"


def test_more_rows_than_a_file_may_have_are_a_defect_however_few_bytes_they_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(footer, "FILE_ROWS", 2999)
    assert (
        defect(of_parquet(WHOLE.select(["ignored"])), "a.parquet") == "the file has 3,000 rows: a file may have 2,999"
    )


def test_a_row_group_that_unpacks_to_more_than_spark_can_hold_is_a_defect() -> None:
    written = of_parquet(pa.table({"a": ["x" * MIB * 8] * 70}), use_dictionary=False, compression="ZSTD")
    assert len(written) < MIB
    reason = defect(written, "a.parquet")
    assert reason == "a row group unpacks to 560 MiB: it may have 512 MiB; write smaller row groups"
    wide = of_parquet(pa.table({"z": ["x" * MIB * 8] * 70}), use_dictionary=False, compression="ZSTD")
    assert defect(wide, "a.parquet") is None, "nobody reads this column"


def bombs() -> Iterator[tuple[str, bytes]]:
    """Pages whose headers promise what they do not hold, behind a footer that is whole."""
    written = of_parquet(pa.table({"a": ["x", "y"] * 10}), compression="NONE", use_dictionary=["a"])
    column = pq.ParquetFile(io.BytesIO(written)).metadata.row_group(0).column(0)
    start = column.dictionary_page_offset
    assert written[start : start + 3] == b"\x15\x04\x15", "the type, a dictionary; then its size"
    ends = {"two gigabytes": b"\x15\x04\x15\xfe\xff\xff\xff\x0f", "less than nothing": b"\x15\x04\x15\x01"}
    for what, header in ends.items():
        yield what, written[:start] + header + written[start + len(header) :]
    yield "no header", written[:start] + bytes([0x1A]) * 40 + written[start + 40 :]
    yield "nothing at all", written[:start] + bytes(column.total_compressed_size) + written[start + 78 :]


@pytest.mark.parametrize(("what", "content"), bombs())
def test_a_page_that_promises_what_it_does_not_hold_is_a_defect(what: str, content: bytes) -> None:
    reason = defect(content, "a.parquet")
    assert reason is not None, what
    assert reason.startswith(("not a whole Parquet file: ", "a row group unpacks to 2 GiB"))


def test_a_footer_longer_than_a_footer_may_be_is_not_read() -> None:
    class Long(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if size is None or size < 0:
                assert len(self.getvalue()) - self.tell() <= 8, "only its length was read"
            return super().read(size)

    content = bytes(12 * MIB) + struct.pack("<I", 9 * MIB) + b"PAR1"
    found = look(Long(content), "a.parquet", len(content), TABLES)
    assert found.defect == "the Parquet footer has 9 MiB: it may have 8 MiB"


def test_the_bounds_of_a_file_leave_room_for_an_hour_of_the_largest_feed() -> None:
    assert FILE_ROWS >= 10 * 2_000_000
    assert FILE_BYTES >= 2_000_000 * 1024
    assert ROW_GROUP_BYTES <= FILE_BYTES
