"""Finding the files of the landing zone and registering them (rule 6).

A file lies in ``<landing>/<source>/<YYYY-MM-DDTHH>/<name>``. The folder is the hour in which the file arrived. A file
whose name starts with a dot or an underscore does not count as there yet. A file in any other folder is found but not
read: it gets a defect that says where it belongs.

Whoever writes logs can write anything there. So only regular files are opened, and only folders are entered: a link may
lead out of the zone, or back into it, and a pipe waits for a writer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.landing.inspect import digest, look
from feedmill.landing.names import IrregularError, irregular, located, opened, recorded, unreadable
from feedmill.ledger import files
from feedmill.ledger.files import FoundFile
from feedmill.ledger.store import Ledger
from feedmill.printable import on_one_line
from feedmill.spec import FileKind, Source
from feedmill.timeline import HOUR, parse

if TYPE_CHECKING:
    from feedmill.ledger.models import File

log = logging.getLogger(__name__)


class LandingError(FeedmillError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """A registered file is missing or has changed, or the storage does not give a fact that we need about a file."""


class LandingUnavailableError(FeedmillError, code=Exit.UNREACHABLE, retry=True, turn=Turn.OPERATOR):
    """A folder of the landing zone cannot be listed. Going on would treat it as empty."""


class _ReplacedError(FeedmillError, OSError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """A file was replaced or written to while we looked at it."""


_LAST_SECOND = 7_258_118_399
"""The last of the year 2199."""

_OF_ONE_FILE = (FileNotFoundError, PermissionError, IsADirectoryError, IrregularError, _ReplacedError)
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
    odd: dict[str, str] = {}
    listed = {source.name: _list(fs, root, source, odd) for source in wanted}
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
        known = files.known_paths(session, [_url(fs, path) for _, path, _ in candidates])
    for url, what in odd.items():
        log.warning("%s is %s. Nothing of it is read", on_one_line(url), what)
    inspected = []
    for source, path, info in candidates:
        url = _url(fs, path)
        if url in known:
            continue
        try:
            inspected.append(_inspect(fs, root, source, path, info))
        except _OF_ONE_FILE as error:
            log.warning("%s cannot be opened (%s). It is not registered until it can", on_one_line(url), _words(error))
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
    fs, path = located(url)
    try:
        with opened(fs, path):
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
        Landed(_url(fs, path), _folder_hour(root, source, path), info["size"], _modified(info))
        for source in sources
        for path, info in _list(fs, root, source, {}) or ()
    ]


def odd(landing: str, sources: Iterable[Source]) -> dict[str, str]:
    """What else lies in the landing zone, by URL, and what it is: links, pipes, sockets, devices, closed folders.

    Raises:
        LandingUnavailableError: a folder cannot be listed.
    """
    fs, root = fsspec.core.url_to_fs(landing)
    found: dict[str, str] = {}
    for source in sources:
        _list(fs, root, source, found)
    return found


def verify(registered: Iterable[File]) -> None:
    """Check that registered files are there and unchanged. Defects and disowned files are skipped: nobody reads them.

    Raises:
        LandingError: names the first file that is missing or changed, and says what to do.
    """
    for file in registered:
        if file.not_read is not None:
            continue
        fs, path = located(file.path)
        try:
            info = fs.info(path)
        except FileNotFoundError:
            raise LandingError(
                f"{file.path} was registered at {file.registered_at:%Y-%m-%dT%H:%M} and is gone; put it back. If it is "
                "lost for good, `feedmill files disown` it: then the hour is built without it"
            ) from None
        # One match is enough: the storage may have given another one first when the file was registered.
        if irregular(fs, path) or info["size"] != file.size or file.etag not in _etags(fs, path, info):
            raise LandingError(
                f"{file.path} changed after it was registered at {file.registered_at:%Y-%m-%dT%H:%M}, so that what "
                "was built from it cannot be rebuilt. Put the old file back, and land the new one under another name. "
                "If the old one is lost for good, `feedmill files disown` it, and then `feedmill files readmit` it to "
                "read the new bytes"
            )


def _url(fs: Any, path: str) -> str:
    return recorded(fs.unstrip_protocol(path))


def _list(fs: Any, root: str, source: Source, odd: dict[str, str]) -> list[tuple[str, dict[str, Any]]] | None:
    """The files below the source's folder; None if the folder is gone. In a bucket an empty folder does not exist.

    What else lies there is added to ``odd``, by URL.
    """
    folder = f"{root}/{source.name}"
    on_disk = isinstance(fs, LocalFileSystem) and type(fs).find is AbstractFileSystem.find
    try:
        listed = _below(fs, folder, odd) if on_disk else fs.find(folder, detail=True)
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


def _below(fs: LocalFileSystem, top: str, odd: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What :meth:`find` gives, but with the errors of listing a folder, and without following links.

    Only the errors of the source's own folder and of hours count: nothing that is read lies in others.
    """
    if (what := irregular(fs, top)) is not None:
        odd[_url(fs, top)] = what
        raise FileNotFoundError(top)
    listed: dict[str, dict[str, Any]] = {}
    folders = [top]
    while folders:
        folder = folders.pop()
        try:
            entries = fs.ls(folder, detail=True)
        except FileNotFoundError:
            if folder == top:
                raise
            continue  # it was removed just now
        except OSError as error:
            if folder == top or (
                PurePosixPath(folder).parent == PurePosixPath(top) and _hour(PurePosixPath(folder).name)
            ):
                raise
            odd[_url(fs, folder)] = f"a folder that cannot be listed ({_words(error)})"
            continue
        for info in entries:
            path = info["name"]
            if _hidden(PurePosixPath(path).name):
                continue
            if info["type"] == "directory":
                folders.append(path)
            elif info["type"] == "file":
                listed[path] = info
            else:
                odd[_url(fs, path)] = irregular(fs, path) or "gone"
    return listed


def _hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _inspect(fs: Any, root: str, source: Source, path: str, listed: dict[str, Any]) -> FoundFile:
    fs.invalidate_cache(path)  # fsspec caches a bucket's listing, and would answer from it
    info = fs.info(path)
    hour = _folder_hour(root, source, path)
    told = _told(info)
    defect = unreadable(fs.unstrip_protocol(path)) or (_misplaced(root, source, path) if hour is None else None)
    if defect is None or not told:
        with opened(fs, path) as stream:
            looked = look(stream, path, info["size"], source if defect is None else None)
    found = FoundFile(
        path=_url(fs, path),
        source=source.name,
        kind=source.kind,
        folder_hour=hour,
        size=info["size"],
        etag=told[0] if told else looked.digest,
        received_at=_modified(listed),
        defect=defect or looked.defect,
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
    return _hour(parts[0]) if len(parts) == 2 else None


def _hour(name: str) -> datetime | None:
    """The hour that a folder's name says; None if it says none."""
    try:
        hour = parse(name)
    except ValueError:
        return None
    return hour if HOUR.name_of(hour) == name else None


def _misplaced(root: str, source: Source, path: str) -> str:
    folder = on_one_line(str(PurePosixPath(path).parent.relative_to(root)))
    return (
        f"not read: the folder '{folder}' is not named by an arrival hour, such as {source.name}/2026-05-01T13; "
        f"move the file, or land it with feedmill land --source {source.name}"
    )


def _modified(info: dict[str, Any]) -> datetime:
    """The file's modification time. Local disks give seconds, object stores a datetime or ISO text.

    Anybody can set it on a disk: a time that is none, or that no calendar has, is the nearest that a table can hold.
    """
    for key in ("mtime", "LastModified", "updated", "last_modified"):
        value = info.get(key)
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        if isinstance(value, str):
            return parse(value)
        if isinstance(value, int | float):
            return datetime.fromtimestamp(min(max(value, 0), _LAST_SECOND), UTC)
    raise LandingError(f"{info.get('name')}: the storage gives no modification time")


def _etags(fs: Any, path: str, info: dict[str, Any]) -> list[str]:
    """What identifies the file's content: what the storage tells or, since a local disk tells nothing, our digest."""
    if told := _told(info):
        return told
    with opened(fs, path) as stream:
        return [digest(stream)]


def _told(info: dict[str, Any]) -> list[str]:
    """What the storage tells about the file, first what depends on its content only.

    An etag comes last because GCS gives each upload a new one: the same bytes, put back, would count as changed.
    """
    return [str(info[key]) for key in ("md5Hash", "crc32c", "etag", "ETag") if info.get(key)]
