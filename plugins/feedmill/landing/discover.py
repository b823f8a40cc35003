"""The landing zone: finding files (rule 6), and putting them where they are found.

Files lie in ``<landing>/<source>/<YYYY-MM-DDTHH>/<name>``: the folder is the hour in which they arrived. Names that
start with a dot or an underscore are not there yet. A file that lies elsewhere is found too, and not read: it has no
arrival hour of its own and a defect that says where it belongs.
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

from feedmill.ledger import files
from feedmill.ledger.files import FoundFile
from feedmill.ledger.store import Ledger
from feedmill.spec import FileKind, Source
from feedmill.timeline import HOUR, parse

if TYPE_CHECKING:
    from feedmill.ledger.models import File

log = logging.getLogger(__name__)

_CHUNK = 1 << 20


class LandingError(ValueError):
    """A file of the landing zone, or one that shall get there, is not what it must be."""


class LandingUnavailableError(ConnectionError):
    """A folder of the landing zone cannot be listed: what lies there would be taken for nothing."""


class _ReplacedError(OSError):
    """A file is another one than when it was first looked at."""


_OF_ONE_FILE = (FileNotFoundError, PermissionError, IsADirectoryError, _ReplacedError)
"""Errors of a file and not of its storage: it went, or is a link to nothing or to a folder, or is another user's."""


def discover(
    landing: str, sources: Mapping[str, Source], kinds: Iterable[FileKind], ledger: Ledger, now: datetime
) -> list[File]:
    """Register the files that are new in the landing zone, and return them.

    Raises:
        LandingUnavailableError: a folder cannot be listed, or a source's folder is gone.
    """
    found = new_files(landing, sources, kinds, ledger)
    with ledger.transaction() as session:
        return files.register(session, found, now)


def new_files(
    landing: str, sources: Mapping[str, Source], kinds: Iterable[FileKind], ledger: Ledger
) -> list[FoundFile]:
    """The files of the landing zone that are not registered, inspected; one that cannot be opened is left for later.

    Raises:
        LandingUnavailableError: a folder cannot be listed, or a source's folder is gone.
    """
    fs, root = fsspec.core.url_to_fs(landing)
    wanted = [source for source in sources.values() if source.kind in set(kinds)]
    listed = {source.name: _list(fs, root, source) for source in wanted}
    candidates = [(source, path, info) for source in wanted for path, info in listed[source.name] or ()]
    with ledger.transaction() as session:
        for source in wanted:
            # An hour is sealed with what lies there: of a disk that is not mounted, with nothing, and for good.
            folder = f"{fs.unstrip_protocol(root)}/{source.name}"
            if listed[source.name] is None and files.any_below(session, folder):
                raise LandingUnavailableError(
                    f"{folder} is gone, from where files were registered: is its disk mounted? Where they were meant "
                    "to go, make the folder again, empty"
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
            log.warning("%s cannot be opened, and is not registered until it can: %s", url, _words(error))
    return inspected


def why_closed(url: str) -> str | None:
    """Why a file that lies in the landing zone cannot be opened; None where it can, or has gone meanwhile."""
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
    """A file that lies in the landing zone, as the storage lists it."""

    url: str
    folder_hour: datetime | None
    """None where the folder names no hour."""
    size: int
    modified: datetime


def landed(landing: str, sources: Iterable[Source]) -> list[Landed]:
    """All files that lie in the landing zone, registered or not; nothing is opened.

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
    """Check that registered files are there, unchanged; not those with a defect, of which nothing is read.

    Raises:
        LandingError: names the first file that is missing or changed, and the way out.
    """
    for file in registered:
        if file.defect is not None:
            continue
        fs, path = fsspec.core.url_to_fs(file.path)
        try:
            info = fs.info(path)
        except FileNotFoundError:
            raise LandingError(
                f"{file.path} was registered at {file.registered_at:%Y-%m-%dT%H:%M} and is gone; put it back"
            ) from None
        # Any of them: the one that was registered was the first of what the storage told then, or an etag of old.
        if info["size"] != file.size or file.etag not in _etags(fs, path, info):
            raise LandingError(
                f"{file.path} changed after it was registered at {file.registered_at:%Y-%m-%dT%H:%M}: what was built "
                f"from it could not be built again. Put the old file back, and land the new one under another name"
            )


def _list(fs: Any, root: str, source: Source) -> list[tuple[str, dict[str, Any]]] | None:
    """The files below the source's folder; None where it is not there. A bucket has folders only as long as files."""
    folder = f"{root}/{source.name}"
    on_disk = isinstance(fs, LocalFileSystem) and type(fs).find is AbstractFileSystem.find
    try:
        listed = _below(fs, folder) if on_disk else fs.find(folder, detail=True)
    except FileNotFoundError:
        return None if on_disk else []
    except OSError as error:
        raise LandingUnavailableError(
            f"{error.filename or folder} cannot be listed: {_words(error)}. Nothing is read until it can: "
            "what lies there would be taken for nothing"
        ) from error
    return [
        (path, info)
        for path, info in sorted(listed.items())
        # GCS keeps a folder that was made by hand as an empty object whose name ends with a slash.
        if not path.endswith("/") and not any(_hidden(part) for part in PurePosixPath(path).relative_to(folder).parts)
    ]


def _below(fs: LocalFileSystem, folder: str) -> dict[str, dict[str, Any]]:
    """What :meth:`find` gives, with the errors of listing a folder, which fsspec's own walk passes over in silence."""
    listed: dict[str, dict[str, Any]] = {}
    for info in fs.ls(folder, detail=True):
        if info["type"] != "directory":
            listed[info["name"]] = info
        elif not _hidden(PurePosixPath(info["name"]).name):
            with suppress(FileNotFoundError):  # it went meanwhile
                listed |= _below(fs, info["name"])
    return listed


def _hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _inspect(fs: Any, root: str, source: Source, path: str, listed: dict[str, Any]) -> FoundFile:
    fs.invalidate_cache(path)  # a bucket's listing is remembered, and would answer twice
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
    # Else its size would be of one file and its digest of another, and no build would ever find it unchanged.
    fs.invalidate_cache(path)
    after = fs.info(path)
    if (after["size"], _modified(after)) != (info["size"], _modified(info)):
        raise _ReplacedError("it changes while it is looked at")
    return found


def _folder_hour(root: str, source: Source, path: str) -> datetime | None:
    """The hour that the file's folder names; None where it is no hour, or not a folder of the source's own."""
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
    """The storage's modification time; local files carry seconds, object stores a datetime or ISO text."""
    for key in ("mtime", "LastModified", "updated", "last_modified"):
        value = info.get(key)
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        if isinstance(value, str):
            return parse(value)
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
    raise LandingError(f"{info.get('name')}: the storage tells no modification time")


def _etags(fs: Any, path: str, info: dict[str, Any]) -> list[str]:
    """What the storage tells of the file, its content first; a digest of our own where nothing, as on a local disk.

    GCS gives each upload another etag: by it a file that was put back, the same bytes, would be a changed one.
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
    """Why the file cannot be read as a whole, or None. Half a file is never half landed."""
    if not path.endswith(source.suffixes):
        return f"{source.name} takes {', '.join(source.suffixes)} files; this is {PurePosixPath(path).name}"
    if source.layout == "parquet":
        return _parquet_defect(fs, path)
    return _gzip_defect(fs, path) if path.endswith(".gz") else None


def _parquet_defect(fs: Any, path: str) -> str | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # The bytes first, with the storage's errors let through: Arrow raises OSError for a broken footer, too, and a fault
    # that passes must not become a defect, which stays.
    with fs.open(path, "rb") as stream:
        footer = _footer(stream)
    try:
        pq.ParquetFile(pa.BufferReader(footer))
    except (pa.ArrowException, OSError) as error:
        return f"not a whole Parquet file: {str(error).splitlines()[0]}"
    return None


def _footer(stream: Any) -> bytes:
    """What Parquet's last 8 bytes say is its footer, and these; the whole file where it is shorter than that."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - 8))
    end: bytes = stream.read()
    if not end.endswith(b"PAR1"):
        return end
    stream.seek(max(0, size - 8 - int.from_bytes(end[:4], "little")))
    footer: bytes = stream.read()
    return footer


def _gzip_defect(fs: Any, path: str) -> str | None:
    """Decompress to the end: Spark would fail the whole build, or with another setting lose the rest in silence."""
    lines = 0
    decoder = zlib.decompressobj(wbits=31)
    try:
        with fs.open(path, "rb") as stream:
            while chunk := stream.read(_CHUNK):
                while chunk:
                    lines += decoder.decompress(chunk).count(b"\n")
                    chunk = decoder.unused_data if decoder.eof else b""
                    if chunk:  # another member: gzip files may be concatenated
                        decoder = zlib.decompressobj(wbits=31)
    except zlib.error as error:
        return f"broken gzip after line {lines}: {error}"
    return None if decoder.eof else f"truncated gzip: it ends after line {lines} without the closing checksum"
