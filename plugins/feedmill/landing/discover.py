"""Finding the files of the landing zone and registering them (rule 6).

A file lies in ``<landing>/<source>/<YYYY-MM-DDTHH>/<name>``. The folder is the hour in which the file arrived. A file
whose name starts with a dot or an underscore does not count as there yet. A file in any other folder is found but not
read: it gets a defect that says where it belongs.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.ledger import files
from feedmill.ledger.files import FoundFile
from feedmill.ledger.store import Ledger
from feedmill.spec import FileKind, Source
from feedmill.timeline import HOUR, parse

if TYPE_CHECKING:
    from feedmill.ledger.models import File

log = logging.getLogger(__name__)

_CHUNK = 1 << 20


class LandingError(FeedmillError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """A registered file is missing or has changed, or the storage does not give a fact that we need about a file."""


class LandingUnavailableError(FeedmillError, code=Exit.UNREACHABLE, retry=True, turn=Turn.OPERATOR):
    """A folder of the landing zone cannot be listed. Going on would treat it as empty."""


class _ReplacedError(FeedmillError, OSError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """A file was replaced or written to while we looked at it."""


_OF_ONE_FILE = (FileNotFoundError, PermissionError, IsADirectoryError, _ReplacedError)
"""Errors of one file, not of its storage: it was removed, is a broken link or a folder, or may not be read."""


def discover(
    landing: str, sources: Mapping[str, Source], kinds: Iterable[FileKind], ledger: Ledger, now: datetime
) -> list[File]:
    """Register the new files of the landing zone, and return them.

    Raises:
        LandingUnavailableError: a folder cannot be listed, or a source's folder is gone.
    """
    found = new_files(landing, sources, kinds, ledger)
    with ledger.transaction() as session:
        return files.register(session, found, now)


def new_files(
    landing: str, sources: Mapping[str, Source], kinds: Iterable[FileKind], ledger: Ledger
) -> list[FoundFile]:
    """Inspect the files of the landing zone that are not registered. A file that cannot be opened is left for later.

    Raises:
        LandingUnavailableError: a folder cannot be listed, or a source's folder is gone.
    """
    fs, root = fsspec.core.url_to_fs(landing)
    wanted = [source for source in sources.values() if source.kind in set(kinds)]
    listed = {source.name: _list(fs, root, source) for source in wanted}
    candidates = [(source, path, info) for source in wanted for path, info in listed[source.name] or ()]
    with ledger.transaction() as session:
        for source in wanted:
            # A seal covers the files that are in the folder. If the disk is missing, the hour would be empty for ever.
            folder = f"{fs.unstrip_protocol(root)}/{source.name}"
            if listed[source.name] is None and files.any_below(session, folder):
                raise LandingUnavailableError(
                    f"{folder} is gone, but files were registered from it. Is its disk mounted? If the folder was "
                    "removed on purpose, create it again, empty"
                )
        known = files.known_paths(session, [fs.unstrip_protocol(path) for _, path, _ in candidates])
    inspected = []
    for source, path, info in candidates:
        url = fs.unstrip_protocol(path)
        if url in known:
            continue
        try:
            inspected.append(_inspect(fs, root, source, path, info))
        except _OF_ONE_FILE as error:
            log.warning("%s cannot be opened (%s). It is not registered until it can", url, _words(error))
    return inspected


def look_again(landing: str, file: File, sources: Mapping[str, Source]) -> FoundFile | None:
    """A registered file as discovery would find it now; None if it is gone or cannot be opened.

    Raises:
        LandingError: the map has no such source any more.
    """
    source = sources.get(file.source)
    if source is None:
        raise LandingError(f"{file.path} is of the source {file.source}, which include/spark/sources does not have")
    fs, root = fsspec.core.url_to_fs(landing)
    path = fs._strip_protocol(file.path)
    try:
        return _inspect(fs, root, source, path, fs.info(path))
    except _OF_ONE_FILE as error:
        log.warning("%s cannot be opened (%s)", file.path, _words(error))
        return None


def why_closed(url: str) -> str | None:
    """Why a file of the landing zone cannot be opened; None if it can, or if it is gone."""
    fs, path = fsspec.core.url_to_fs(url)
    try:
        with fs.open(path, "rb"):
            return None
    except FileNotFoundError as error:
        return _words(error) if fs.lexists(path) else None
    except _OF_ONE_FILE as error:
        return _words(error)


def _words(error: OSError) -> str:
    return str(error.strerror or error)


@dataclass(frozen=True)
class Landed:
    """A file of the landing zone, as the storage lists it."""

    url: str
    folder_hour: datetime | None
    """None if the folder is not named after an hour."""
    size: int
    modified: datetime


def landed(landing: str, sources: Iterable[Source]) -> list[Landed]:
    """All files of the landing zone, registered or not. No file is opened.

    Raises:
        LandingUnavailableError: a folder cannot be listed.
    """
    fs, root = fsspec.core.url_to_fs(landing)
    return [
        Landed(fs.unstrip_protocol(path), _folder_hour(root, source, path), info["size"], _modified(info))
        for source in sources
        for path, info in _list(fs, root, source) or ()
    ]


def verify(registered: Iterable[File]) -> None:
    """Check that registered files are there and unchanged. Defects and disowned files are skipped: nobody reads them.

    Raises:
        LandingError: names the first file that is missing or changed, and says what to do.
    """
    for file in registered:
        if file.not_read is not None:
            continue
        fs, path = fsspec.core.url_to_fs(file.path)
        try:
            info = fs.info(path)
        except FileNotFoundError:
            raise LandingError(
                f"{file.path} was registered at {file.registered_at:%Y-%m-%dT%H:%M} and is gone; put it back. If it is "
                "lost for good, `feedmill files disown` it: then the hour is built without it"
            ) from None
        # One match is enough: the storage may have given another one first when the file was registered.
        if info["size"] != file.size or file.etag not in _etags(fs, path, info):
            raise LandingError(
                f"{file.path} changed after it was registered at {file.registered_at:%Y-%m-%dT%H:%M}, so that what "
                "was built from it cannot be rebuilt. Put the old file back, and land the new one under another name. "
                "If the old one is lost for good, `feedmill files disown` it, and then `feedmill files readmit` it to "
                "read the new bytes"
            )


def _list(fs: Any, root: str, source: Source) -> list[tuple[str, dict[str, Any]]] | None:
    """The files below the source's folder; None if the folder is gone. In a bucket an empty folder does not exist."""
    folder = f"{root}/{source.name}"
    on_disk = isinstance(fs, LocalFileSystem) and type(fs).find is AbstractFileSystem.find
    try:
        listed = _below(fs, folder) if on_disk else fs.find(folder, detail=True)
    except FileNotFoundError:
        return None if on_disk else []
    except OSError as error:
        raise LandingUnavailableError(
            f"{error.filename or folder} cannot be listed: {_words(error)}. No file is read until it can, because "
            "the folder would count as empty"
        ) from error
    return [
        (path, info)
        for path, info in sorted(listed.items())
        # GCS keeps a folder that was made by hand as an empty object whose name ends with a slash.
        if not path.endswith("/") and not any(_hidden(part) for part in PurePosixPath(path).relative_to(folder).parts)
    ]


def _below(fs: LocalFileSystem, folder: str) -> dict[str, dict[str, Any]]:
    """The same as fsspec's ``find``, but errors of listing a folder are raised. fsspec's own walk ignores them."""
    listed: dict[str, dict[str, Any]] = {}
    for info in fs.ls(folder, detail=True):
        if info["type"] != "directory":
            listed[info["name"]] = info
        elif not _hidden(PurePosixPath(info["name"]).name):
            with suppress(FileNotFoundError):  # it was removed just now
                listed |= _below(fs, info["name"])
    return listed


def _hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _inspect(fs: Any, root: str, source: Source, path: str, listed: dict[str, Any]) -> FoundFile:
    fs.invalidate_cache(path)  # fsspec caches a bucket's listing, and would answer from it
    info = fs.info(path)
    hour = _folder_hour(root, source, path)
    found = FoundFile(
        path=fs.unstrip_protocol(path),
        source=source.name,
        kind=source.kind,
        folder_hour=hour,
        size=info["size"],
        etag=_etags(fs, path, info)[0],
        received_at=_modified(listed),
        defect=_misplaced(root, source, path) if hour is None else _defect(fs, source, path),
    )
    # Otherwise the size could belong to one file and the digest to another, and no build would accept the file.
    fs.invalidate_cache(path)
    after = fs.info(path)
    if (after["size"], _modified(after)) != (info["size"], _modified(info)):
        raise _ReplacedError("it changed while it was being read")
    return found


def _folder_hour(root: str, source: Source, path: str) -> datetime | None:
    """The hour in the name of the file's folder; None if the name is not an hour."""
    parts = PurePosixPath(path).relative_to(f"{root}/{source.name}").parts
    try:
        hour = parse(parts[0]) if len(parts) == 2 else None
    except ValueError:
        return None
    return hour if hour is not None and HOUR.name_of(hour) == parts[0] else None


def _misplaced(root: str, source: Source, path: str) -> str:
    folder = PurePosixPath(path).parent.relative_to(root)
    return (
        f"not read: the folder {str(folder)!r} is not named by an arrival hour, such as {source.name}/2026-05-01T13; "
        f"move the file, or land it with feedmill land --source {source.name}"
    )


def _modified(info: dict[str, Any]) -> datetime:
    """The file's modification time. Local disks give seconds, object stores a datetime or ISO text."""
    for key in ("mtime", "LastModified", "updated", "last_modified"):
        value = info.get(key)
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        if isinstance(value, str):
            return parse(value)
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
    raise LandingError(f"{info.get('name')}: the storage gives no modification time")


def _etags(fs: Any, path: str, info: dict[str, Any]) -> list[str]:
    """What the storage says about the file's content; values that depend on the content alone come first. A local disk
    says nothing, so we compute a digest.

    An etag comes last because GCS gives each upload a new one: the same bytes, put back, would count as changed.
    """
    told = [str(info[key]) for key in ("md5Hash", "crc32c", "etag", "ETag") if info.get(key)]
    return told or [_digest(fs, path)]


def _digest(fs: Any, path: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with fs.open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _defect(fs: Any, source: Source, path: str) -> str | None:
    """Why the file cannot be read to its end; None if it can. No part of a broken file is ever read."""
    if not path.endswith(source.suffixes):
        return f"{source.name} takes {', '.join(source.suffixes)} files; this is {PurePosixPath(path).name}"
    if source.layout == "parquet":
        return _parquet_defect(fs, path)
    return _gzip_defect(fs, path) if path.endswith(".gz") else None


def _parquet_defect(fs: Any, path: str) -> str | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # We read the bytes ourselves, so that the storage's errors come through. Arrow raises OSError for a broken footer,
    # too, and a temporary fault must not become a defect, which is permanent.
    with fs.open(path, "rb") as stream:
        footer = _footer(stream)
    try:
        pq.ParquetFile(pa.BufferReader(footer))
    except (pa.ArrowException, OSError) as error:
        return f"not a whole Parquet file: {str(error).splitlines()[0]}"
    return None


def _footer(stream: Any) -> bytes:
    """The footer, as long as the last 8 bytes say, and those 8 bytes; at most the whole file."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - 8))
    end: bytes = stream.read()
    if not end.endswith(b"PAR1"):
        return end
    stream.seek(max(0, size - 8 - int.from_bytes(end[:4], "little")))
    footer: bytes = stream.read()
    return footer


def _gzip_defect(fs: Any, path: str) -> str | None:
    """Decompress to the end. Spark would fail the whole build or, with another setting, silently lose the rest."""
    lines = 0
    decoder = zlib.decompressobj(wbits=31)
    try:
        with fs.open(path, "rb") as stream:
            while chunk := stream.read(_CHUNK):
                while chunk:
                    lines += decoder.decompress(chunk).count(b"\n")
                    chunk = decoder.unused_data if decoder.eof else b""
                    if chunk:  # another member: a gzip file may be several in a row
                        decoder = zlib.decompressobj(wbits=31)
    except zlib.error as error:
        return f"broken gzip after line {lines}: {error}"
    return None if decoder.eof else f"truncated gzip: it ends after line {lines} without the closing checksum"
