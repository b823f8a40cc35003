"""What a Parquet file says of itself, in its footer and before each page, checked before Spark believes it.

Spark takes the memory that a page says it needs before it reads the page. So a file of a kilobyte that promises two
gigabytes would stop the server, and with it every build.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from feedmill.errors import Exit, FeedmillError, Turn
from include.bounds import FILE_BYTES, FILE_ROWS, MIB, ROW_GROUP_BYTES, amount

LONGEST_FOOTER = 32 * MIB
"""Ten thousand columns in a hundred row groups have a footer of about this length."""

_WINDOW = MIB
"""How much of a file is looked at at once, and the longest header of a page."""

_CODECS = frozenset({"UNCOMPRESSED", "SNAPPY", "GZIP", "LZ4", "ZSTD"})
"""What Spark can unpack; pyarrow calls LZ4_RAW ``LZ4``."""

_ENCODINGS = frozenset(
    {
        "PLAIN",
        "PLAIN_DICTIONARY",
        "RLE",
        "RLE_DICTIONARY",
        "BIT_PACKED",
        "DELTA_BINARY_PACKED",
        "DELTA_LENGTH_BYTE_ARRAY",
        "DELTA_BYTE_ARRAY",
    }
)
"""How Spark can read values."""


class _DefectError(FeedmillError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """Why the file cannot be read."""


def defect(stream: Any, columns: Sequence[str]) -> str | None:
    """Why Spark cannot read these columns of a Parquet file; None if nothing speaks against it. No value is unpacked.

    Raises:
        OSError: the storage's own.
    """
    try:
        _check(stream, columns)
    except _DefectError as found:
        return str(found)
    return None


def _check(stream: Any, columns: Sequence[str]) -> None:
    metadata = _metadata(stream)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if any(group.num_columns == 0 for group in groups):
        raise _DefectError("the Parquet file has no columns")
    rows = sum(group.num_rows for group in groups)
    if rows > FILE_ROWS:
        raise _DefectError(f"the file has {rows:,} rows: a file may have {FILE_ROWS:,}")
    size = stream.seek(0, os.SEEK_END)
    total = 0
    for group in groups:
        read = [column for column in _columns(group) if _is_read(column.path_in_schema, columns)]
        for column in read:
            _decodable(column)
        unpacked = sum(max(column.total_uncompressed_size, _unpacked(stream, size, column)) for column in read)
        if unpacked > ROW_GROUP_BYTES:
            raise _DefectError(
                f"a row group unpacks to {amount(unpacked)}: it may have {amount(ROW_GROUP_BYTES)}; "
                "write smaller row groups"
            )
        total += unpacked
    if total > FILE_BYTES:
        raise _DefectError(f"the file unpacks to {amount(total)}: a file may have {amount(FILE_BYTES)}")


def _metadata(stream: Any) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # We read the bytes ourselves, so that the storage's errors come through. Arrow raises OSError for a broken footer,
    # too, and a temporary fault must not become a defect, which is permanent.
    footer = _footer(stream)
    try:
        return pq.ParquetFile(pa.BufferReader(footer)).metadata
    except (pa.ArrowException, OSError) as error:
        raise _DefectError(f"not a whole Parquet file: {str(error).splitlines()[0]}") from error


def _footer(stream: Any) -> bytes:
    """The footer, as long as the last 8 bytes say, and those 8 bytes; at most the whole file."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - 8))
    end: bytes = stream.read()
    if not end.endswith(b"PAR1"):
        return end
    length = min(size - 8, int.from_bytes(end[:4], "little"))
    if length > LONGEST_FOOTER:
        raise _DefectError(f"the Parquet footer has {amount(length)}: it may have {amount(LONGEST_FOOTER)}")
    stream.seek(max(0, size - 8 - length))
    footer: bytes = stream.read()
    return footer


def _columns(group: Any) -> Iterator[Any]:
    return (group.column(number) for number in range(group.num_columns))


def _is_read(path: str, columns: Sequence[str]) -> bool:
    return any(path == name or path.startswith(f"{name}.") for name in columns)


def _decodable(column: Any) -> None:
    if column.compression not in _CODECS:
        raise _DefectError(
            f"{column.path_in_schema}: Spark does not unpack {column.compression}; "
            "land the rows in a new file, with ZSTD or SNAPPY"
        )
    if strange := sorted(set(column.encodings) - _ENCODINGS):
        raise _DefectError(
            f"{column.path_in_schema}: Spark does not read the encoding {strange[0]}; "
            "land the rows in a new file, with the writer's default"
        )


def _unpacked(stream: Any, size: int, column: Any) -> int:
    """What the pages of a column say they unpack to.

    Raises:
        _DefectError: the pages are not where the footer says, or say what cannot be.
    """
    name = column.path_in_schema
    start = column.data_page_offset
    if column.has_dictionary_page and 0 < column.dictionary_page_offset < start:
        start = column.dictionary_page_offset
    end = start + column.total_compressed_size
    if not 0 <= start <= end <= size:
        raise _DefectError(f"not a whole Parquet file: the pages of {name} would end at byte {end} of {size}")
    window, unpacked = _Window(stream, end), 0
    while start < end:
        try:
            header, length = window.header(start)
            packed, said = header[_PACKED], header[_UNPACKED]
            in_dictionary = header.get(_DICTIONARY, {}).get(_VALUES, 0)
        except (LookupError, ValueError, TypeError, AttributeError):
            raise _DefectError(f"not a whole Parquet file: a page of {name} has no header at byte {start}") from None
        start += length + packed
        # A value of a dictionary takes a byte or more.
        if packed < 0 or said < 0 or in_dictionary > said or start > end:
            raise _DefectError(f"not a whole Parquet file: the pages of {name} are longer or shorter than they say")
        unpacked += said
    return unpacked


# The fields of a page's header that count: parquet-format/parquet.thrift, PageHeader and DictionaryPageHeader.
_UNPACKED, _PACKED, _DICTIONARY, _VALUES = 2, 3, 7, 1

_DEEPEST = 8
"""How deep a header's structures may stand in each other; the format has four levels."""


class _Window:
    """A part of the file, and the headers in it, which Thrift's compact protocol writes."""

    def __init__(self, stream: Any, end: int) -> None:
        self._stream, self._end = stream, end
        self._start, self._bytes = 0, b""
        self._at = 0

    def header(self, start: int) -> tuple[dict[int, Any], int]:
        """The numbers and structures of a page's header by field, and its length.

        Raises:
            LookupError, ValueError: there is none.
        """
        if self._start <= start < self._start + len(self._bytes):
            try:
                return self._read(start)
            except LookupError:
                pass  # it goes on behind the window
        self._stream.seek(start)
        self._start, self._bytes = start, self._stream.read(min(_WINDOW, self._end - start))
        return self._read(start)

    def _read(self, start: int) -> tuple[dict[int, Any], int]:
        self._at = start - self._start
        found = self._struct(0)
        return found, self._start + self._at - start

    def _struct(self, depth: int) -> dict[int, Any]:
        if depth > _DEEPEST:
            raise ValueError("too deep")
        found: dict[int, Any] = {}
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._number()
            found[field] = self._value(head & 15, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        match kind:
            case 1 | 2:
                return kind == 1
            case 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._number()
            case 7:
                return self._skip(8)
            case 8:
                return self._skip(self._varint())
            case 12:
                return self._struct(depth + 1)
            case _:  # a list, a set or a map: no header of a page has one
                raise ValueError(f"type {kind}")

    def _byte(self) -> int:
        self._at += 1
        return self._bytes[self._at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while shift < 64:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise ValueError("a number without an end")

    def _number(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)

    def _skip(self, length: int) -> None:
        self._at += length
        if self._at > len(self._bytes):
            raise IndexError(length)
