"""Files with a line that Spark must not see are read from a copy in which it is cut, so that only that row is rejected.

The copies stand in the folder ``_feedmill`` of the landing zone, which discovery never looks into. There Spark reads
them with the same credentials as the files. A build makes them when it begins and removes them when it ends; what a
killed build leaves, housekeeping removes.
"""

from __future__ import annotations

import errno
import gzip
import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import fsspec

from feedmill.landing.inspect import LONGEST_SEEN
from feedmill.landing.names import located, opened
from feedmill.ledger.models import File
from feedmill.timeline import days
from include.bounds import LINE_BYTES, MIB, amount

log = logging.getLogger(__name__)

WORK = "_feedmill"
"""The folder of the landing zone that is Feedmill's own."""

KEEP = days(2)
"""How long something may stay there: the build that wrote it may still be reading. No build takes so long."""

_BLANK = b" \t\r"
_CUT, _CUT_BLANK = "…".encode(), b" "


@dataclass(frozen=True)
class Copies:
    """From where files are read instead."""

    urls: Mapping[str, str] = field(default_factory=dict)
    """The copy's URL, by the file's path."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Why a file with too long a line cannot be copied, and so not be read, by path."""


@contextmanager
def shortened(landing: str, files: Iterable[File]) -> Iterator[Copies]:
    """Copies of those files that need one; they are removed afterwards.

    If Feedmill may not write to the landing zone, there are none, and each file has a reason why it is not read.

    Raises:
        OSError: the storage's own, such as a full disk, or a file that may not be read: no file's fault.
    """
    wanted = [file for file in files if file.long_lines and file.not_read is None]
    if not wanted:
        yield Copies()
        return
    fs, root = fsspec.core.url_to_fs(landing)
    folder = f"{root}/{WORK}/{uuid.uuid4().hex}"
    if not _may_write(fs, folder):
        yield Copies(unreadable={file.path: _why_unread(file) for file in wanted})
        return
    urls: dict[str, str] = {}
    try:
        for number, file in enumerate(wanted):
            path = f"{folder}/{number}{'.gz' if file.path.endswith('.gz') else ''}"
            _copy(file, fs, path)
            urls[file.path] = fs.unstrip_protocol(path)
            log.info("%s has %d lines that are too long; they are cut in a copy", file.path, file.long_lines)
        yield Copies(urls)
    finally:
        with suppress(Exception):
            fs.rm(folder, recursive=True)


def remove_leftovers(landing: str, now: datetime) -> str:
    """Remove what killed builds left in Feedmill's own folder of the landing zone. Returns what was done."""
    fs, root = fsspec.core.url_to_fs(landing)
    folder = f"{root}/{WORK}"
    fs.invalidate_cache(folder)
    try:
        found = fs.find(folder, detail=True) if fs.isdir(folder) else {}
    except FileNotFoundError:  # a build removed its own just now
        found = {}
    removed = 0
    for path in found:
        with suppress(FileNotFoundError):
            if fs.modified(path) < now - KEEP:
                fs.rm_file(path)
                removed += 1
    return f"removed {removed} files that killed builds left in the landing zone"


def _may_write(fs: Any, folder: str) -> bool:
    """Make the folder, and try. Only a refusal counts, so that no outage costs a file its rows."""
    try:
        fs.makedirs(folder, exist_ok=True)
        fs.pipe_file(f"{folder}/try", b"")
    except OSError as error:
        if not _is_refusal(error):
            raise
        return False
    return True


def _is_refusal(error: OSError) -> bool:
    # Google's errors have the status as their code; with 401, credentials have expired.
    refused = isinstance(error, PermissionError | FileExistsError | NotADirectoryError) or error.errno == errno.EROFS
    return refused or getattr(error, "code", None) == 403


def _why_unread(file: File) -> str:
    return (
        f"it has {file.long_lines:,} lines of more than {amount(LONGEST_SEEN)}, and Feedmill may not write a copy "
        f"without them to the folder {WORK} of the landing zone"
    )


def _copy(file: File, fs: Any, path: str) -> None:
    with opened(*located(file.path)) as packed, fs.open(path, "wb") as written:
        if not file.path.endswith(".gz"):
            for piece in cut(_chunks(packed)):
                written.write(piece)
            return
        with gzip.open(packed) as stream, gzip.GzipFile(fileobj=written, mode="wb", compresslevel=1, mtime=0) as target:
            for piece in cut(_chunks(stream)):
                target.write(piece)


def _chunks(stream: Any) -> Iterator[bytes]:
    while chunk := stream.read(MIB):
        yield chunk


def cut(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of a file, but each line beyond :data:`include.bounds.LINE_BYTES` cut to a little more than that.

    So its reader sees that it is too long, and no line moves. A line stays blank, or stays not blank. A chunk may not
    be longer than that bound.
    """
    line = _OpenLine()
    for chunk in chunks:
        first = chunk.find(b"\n")
        if first < 0:
            yield line.more(chunk)
            continue
        last = chunk.rfind(b"\n")
        yield line.more(chunk[:first]) + line.end()
        # Lines that begin and end in the chunk are not too long.
        yield chunk[first : last + 1]
        line = _OpenLine()
        yield line.more(chunk[last + 1 :])
    yield line.end()


class _OpenLine:
    """A line that has not ended yet."""

    def __init__(self) -> None:
        self._room = LINE_BYTES
        self._is_cut = False
        self._is_blank = True

    def more(self, part: bytes) -> bytes:
        """What is kept of its next bytes."""
        kept = part[: self._room]
        self._room -= len(kept)
        self._is_cut = self._is_cut or len(kept) < len(part)
        self._is_blank = self._is_blank and not part.strip(_BLANK)
        return kept

    def end(self) -> bytes:
        """What stands in place of the bytes that were cut."""
        if not self._is_cut:
            return b""
        return _CUT_BLANK if self._is_blank else _CUT
