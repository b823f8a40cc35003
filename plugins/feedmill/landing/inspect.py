"""Looking into a file once, when it is found: its digest, and why no build could read it (rule 6).

This takes a few megabytes of memory, whatever the file holds: a line, a gzip or a footer is followed up to its bound
only (:mod:`include.bounds`).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from feedmill.landing import footer
from feedmill.landing.names import shown
from feedmill.spec import Source
from include.bounds import FILE_BYTES, FILE_ROWS, MIB, amount

LONGEST_SEEN = 4 * MIB
"""The longest line that Spark may see: a task holds it several times until it is cut. Longer ones are counted, and
cut before Spark reads the file (:mod:`feedmill.landing.shorten`)."""

_CHUNK = MIB

_PACKED = 1 << 14
"""How much of a gzip is unpacked in one step: what is left of it is copied for each chunk and each member."""


@dataclass(frozen=True)
class Looked:
    """What a look into a file found."""

    digest: str
    defect: str | None
    """Why it cannot be read to its end; None if it can. A broken file is never read in part."""
    long_lines: int = 0
    """How many of its lines are longer than :data:`LONGEST_SEEN`."""


def look(stream: Any, name: str, size: int, source: Source | None) -> Looked:
    """Look into a file that is open for reading bytes; without a source, nothing will read it, and it is only hashed.

    Raises:
        OSError: the storage's own. It is no defect, since defects are permanent.
    """
    if size > FILE_BYTES:
        return Looked(_digest_of_ends(stream, size), f"{_size(size)}: a file may have {amount(FILE_BYTES)}")
    lines, defect = None, None
    if source is None:
        pass
    elif not name.endswith(source.suffixes):
        defect = f"{source.name} takes {', '.join(source.suffixes)} files; this is {shown(name)}"
    elif source.layout == "parquet":
        defect = footer.defect(stream, source.columns)
    else:
        lines = _Gzip() if name.endswith(".gz") else _Lines()
    hashed = hashlib.blake2b(digest_size=16)
    for chunk in _chunks(stream, size):
        hashed.update(chunk)
        if lines is not None and lines.defect is None:
            lines.feed(chunk)
    if lines is None:
        return Looked(hashed.hexdigest(), defect)
    return Looked(hashed.hexdigest(), lines.end(), lines.long)


def digest(stream: Any) -> str:
    """The digest of all bytes of a file."""
    hashed = hashlib.blake2b(digest_size=16)
    while chunk := stream.read(_CHUNK):
        hashed.update(chunk)
    return hashed.hexdigest()


def _digest_of_ends(stream: Any, size: int) -> str:
    """Of a file without a bound, which may be a hole of exabytes: its size, its first and its last megabyte."""
    hashed = hashlib.blake2b(str(size).encode(), digest_size=16)
    for start in (0, size - _CHUNK):
        stream.seek(start)
        hashed.update(stream.read(_CHUNK))
    return f"ends:{hashed.hexdigest()}"


def _chunks(stream: Any, size: int) -> Iterator[bytes]:
    """The file as long as it was when it was listed: another process may be appending to it."""
    stream.seek(0)
    while size > 0 and (chunk := stream.read(min(_CHUNK, size))):
        size -= len(chunk)
        yield chunk


def _size(size: int) -> str:
    return f"the file has {amount(size)}"


class _Lines:
    """Counts lines and bytes as they come, until the file is beyond its bound."""

    def __init__(self) -> None:
        self.defect: str | None = None
        self.lines = 0
        self.long = 0
        """How many lines are longer than Spark may see."""
        self._bytes = 0
        self._open = 0
        """How long the line is that has not ended yet."""

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the file, at most :data:`LONGEST_SEEN`."""
        first = chunk.find(b"\n")
        self._bytes += len(chunk)
        if first < 0:
            self._open += len(chunk)
        else:
            # A line that begins and ends in the chunk is not too long.
            self.long += self._open + first > LONGEST_SEEN
            self.lines += chunk.count(b"\n")
            self._open = len(chunk) - chunk.rfind(b"\n") - 1
        if self._bytes > FILE_BYTES:
            self.defect = f"the file unpacks to more than {amount(FILE_BYTES)}"
        elif self.lines > FILE_ROWS:
            self.defect = f"the file has more than {FILE_ROWS:,} lines"

    def end(self) -> str | None:
        """The file's defect, once all of it was fed."""
        self.long += self._open > LONGEST_SEEN
        self._open = 0
        return self.defect


class _Gzip(_Lines):
    """Unpacks to the end. Spark would fail the whole build or, with another setting, silently lose the rest."""

    def __init__(self) -> None:
        super().__init__()
        self._decoder = zlib.decompressobj(wbits=31)

    def feed(self, chunk: bytes) -> None:
        for start in range(0, len(chunk), _PACKED):
            try:
                self._unpack(chunk[start : start + _PACKED])
            except zlib.error as error:
                self.defect = f"broken gzip after line {self.lines}: {error}"
            if self.defect is not None:
                return

    def _unpack(self, packed: bytes) -> None:
        more = bool(packed)
        while more and self.defect is None:
            if self._decoder.eof:  # another member: a gzip file may be several in a row
                self._decoder = zlib.decompressobj(wbits=31)
            unpacked = self._decoder.decompress(packed, _CHUNK)
            packed = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail
            super().feed(unpacked)
            # A full chunk may not be all that the decoder has.
            more = bool(packed) or (len(unpacked) == _CHUNK and not self._decoder.eof)

    def end(self) -> str | None:
        if self.defect is None and not self._decoder.eof:
            return f"truncated gzip: it ends after line {self.lines} without the closing checksum"
        return super().end()
