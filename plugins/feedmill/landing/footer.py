"""What a Parquet file says of itself, in its footer and before each page, checked before Spark believes it.

Spark takes the memory that a page says it needs before it reads the page. So a file of a kilobyte that promises two
gigabytes would stop the server, and with it every build.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.landing import thrift
from feedmill.printable import printable
from include.bounds import FILE_BYTES, FILE_ROWS, MIB, ROW_GROUP_BYTES, amount

LONGEST_FOOTER = 8 * MIB
"""Ten thousand columns in ten row groups have a footer of about this length."""

_WINDOW = MIB
"""How much of a file is looked at at once, and the longest header of a page."""

# The numbers of fields, codecs and encodings in parquet-format/src/main/thrift/parquet.thrift.
_ROW_GROUPS = 4
_GROUP_COLUMNS, _GROUP_ROWS = 1, 3
_OTHER_FILE, _METADATA = 1, 3
_ENCODED, _PATH, _CODEC, _CHUNK_UNPACKED, _CHUNK_PACKED, _FIRST_PAGE, _DICTIONARY_PAGE = 2, 3, 4, 6, 7, 9, 11
_PAGE_UNPACKED, _PAGE_PACKED, _PAGE_DICTIONARY, _DICTIONARY_VALUES = 2, 3, 7, 1

_CODECS = {3: "LZO", 4: "BROTLI"}
"""Those that Spark cannot unpack; it can UNCOMPRESSED, SNAPPY, GZIP, LZ4, ZSTD and LZ4_RAW."""

_LAST_CODEC = 7

_ENCODINGS = {9: "BYTE_STREAM_SPLIT"}
"""Those that Spark cannot read; it can all others up to RLE_DICTIONARY."""

_LAST_ENCODING = 9


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
    groups = _groups(_footer(stream), columns)
    if any(rows < 0 for rows, _ in groups):
        raise _DefectError("not a whole Parquet file: a row group has fewer than no rows")
    rows = sum(rows for rows, _ in groups)
    if rows > FILE_ROWS:
        raise _DefectError(f"the file has {rows:,} rows: a file may have {FILE_ROWS:,}")
    size = stream.seek(0, os.SEEK_END)
    total = 0
    for _, read in groups:
        for column in read:
            _decodable(column)
        unpacked = sum(max(column.unpacked, _unpacked(stream, size, column)) for column in read)
        if unpacked > ROW_GROUP_BYTES:
            raise _DefectError(
                f"a row group unpacks to {amount(unpacked)}: it may have {amount(ROW_GROUP_BYTES)}; "
                "write smaller row groups"
            )
        total += unpacked
    if total > FILE_BYTES:
        raise _DefectError(f"the file unpacks to {amount(total)}: a file may have {amount(FILE_BYTES)}")


@dataclass(frozen=True)
class _Column:
    """A column of a row group, as the footer has it."""

    name: str
    codec: int
    encodings: frozenset[int]
    start: int
    """Where its first page begins."""
    packed: int
    unpacked: int


def _groups(footer: bytes, columns: Sequence[str]) -> list[tuple[int, list[_Column]]]:
    """The rows of each row group, and those of its columns that are read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(footer))
        _ = file.schema_arrow.names  # one may be no UTF-8
        metadata, _ = thrift.structure(footer)
        groups = metadata[_ROW_GROUPS]
        if not len(file.schema) or any(not group[_GROUP_COLUMNS] for group in groups):
            raise _DefectError("the Parquet file has no columns")
        return [
            (operator.index(group[_GROUP_ROWS]), [c for c in map(_column, group[_GROUP_COLUMNS]) if _read(c, columns)])
            for group in groups
        ]
    # The footer is in memory: an OSError is Arrow's word for a broken one.
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise _DefectError(f"not a whole Parquet file: {printable(said)}") from error


def _column(chunk: thrift.Fields) -> _Column:
    if chunk.get(_OTHER_FILE) or _METADATA not in chunk:
        raise _DefectError("a column of the Parquet file is encrypted, or lies in another file")
    found = chunk[_METADATA]
    first, dictionary = operator.index(found[_FIRST_PAGE]), operator.index(found.get(_DICTIONARY_PAGE, 0))
    return _Column(
        ".".join(part.decode() for part in found[_PATH]),
        operator.index(found[_CODEC]),
        frozenset(map(operator.index, found[_ENCODED])),
        dictionary if 0 < dictionary < first else first,
        operator.index(found[_CHUNK_PACKED]),
        operator.index(found[_CHUNK_UNPACKED]),
    )


def _read(column: _Column, columns: Sequence[str]) -> bool:
    return any(column.name == name or column.name.startswith(f"{name}.") for name in columns)


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
    # We read the bytes ourselves, so that the storage's errors come through: a temporary fault is no defect.
    footer: bytes = stream.read()
    return footer


def _decodable(column: _Column) -> None:
    if column.codec in _CODECS or not 0 <= column.codec <= _LAST_CODEC:
        raise _DefectError(
            f"{column.name}: Spark does not unpack {_CODECS.get(column.codec, f'codec {column.codec}')}; "
            "land the rows in a new file, with ZSTD or SNAPPY"
        )
    for number in sorted(column.encodings):
        if number in _ENCODINGS or not 0 <= number <= _LAST_ENCODING:
            raise _DefectError(
                f"{column.name}: Spark does not read the encoding {_ENCODINGS.get(number, number)}; "
                "land the rows in a new file, with the writer's default"
            )


def _unpacked(stream: Any, size: int, column: _Column) -> int:
    """What the pages of a column say they unpack to.

    Raises:
        _DefectError: the pages are not where the footer says, or say what cannot be.
    """
    name, start = column.name, column.start
    end = start + column.packed
    if not 0 <= start <= end <= size:
        raise _DefectError(f"not a whole Parquet file: the pages of {name} would end at byte {end} of {size}")
    window, unpacked = _Window(stream, end), 0
    while start < end:
        try:
            header, length = window.header(start)
            # Of another type, a field raises TypeError here.
            packed, said = operator.index(header[_PAGE_PACKED]), operator.index(header[_PAGE_UNPACKED])
            in_dictionary = operator.index(header.get(_PAGE_DICTIONARY, {}).get(_DICTIONARY_VALUES, 0))
        except (LookupError, ValueError, TypeError, AttributeError):
            raise _DefectError(f"not a whole Parquet file: a page of {name} has no header at byte {start}") from None
        start += length + packed
        # A value of a dictionary takes a byte or more.
        if packed < 0 or said < 0 or in_dictionary > said or start > end:
            raise _DefectError(f"not a whole Parquet file: the pages of {name} are longer or shorter than they say")
        unpacked += said
    return unpacked


class _Window:
    """A part of the file, and the headers of pages in it."""

    def __init__(self, stream: Any, end: int) -> None:
        self._stream, self._end = stream, end
        self._start, self._bytes = 0, b""

    def header(self, start: int) -> tuple[thrift.Fields, int]:
        """The numbers and structures of a page's header by field, and its length.

        Raises:
            LookupError, ValueError: there is none.
        """
        at = start - self._start
        if 0 <= at < len(self._bytes):
            try:
                found, end = thrift.structure(self._bytes, at)
                return found, end - at
            except LookupError:
                pass  # it goes on behind the window
        self._stream.seek(start)
        self._start, self._bytes = start, self._stream.read(min(_WINDOW, self._end - start))
        return thrift.structure(self._bytes)
