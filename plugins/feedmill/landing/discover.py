"""Finding the files of the landing zone and registering them (rule 6).

A file lies in ``<landing>/<source>/<YYYY-MM-DDTHH>/<name>``. The folder is the hour in which the file arrived. A file
whose name starts with a dot or an underscore does not count as there yet. A file in any other folder is found but not
read: it gets a defect that says where it belongs.

Whoever writes logs can write anything there. So only regular files are opened, and only folders are entered: a link may
lead out of the zone, or back into it, and a pipe waits for a writer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import fsspec

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.landing.inspect import Looked, digest, look
from feedmill.landing.listing import LandingUnavailableError, Skip, hour_of, list_source, on_disk, url_of
from feedmill.landing.names import IrregularError, irregular, located, opened, unreadable
from feedmill.ledger import files, folders
from feedmill.ledger.files import FoundFile
from feedmill.ledger.folders import Look, Memory
from feedmill.ledger.store import Ledger
from feedmill.printable import on_one_line
from feedmill.spec import FileKind, Source
from feedmill.timeline import days, parse

if TYPE_CHECKING:
    from feedmill.ledger.models import File

log = logging.getLogger(__name__)


AT_ONCE = 8
"""Files that are looked at at the same time: a bucket answers each after some 50 ms."""

RECENT = timedelta(hours=6)
"""Folders of hours that began less than this ago are always listed, whatever the storage says of them."""

SWEEP_DISK = days(1)
"""How often every folder of a source is listed on a disk. A disk tells of every change, but network and object stores
that are mounted as one may not."""

SWEEP_BUCKET = timedelta(hours=1)
"""How often everything is listed in a bucket, which does not tell in which folders something is new. So this is how
late a file is found that lands in the folder of an hour long over. It costs one request for each thousand files."""


class LandingError(FeedmillError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """A registered file is missing or has changed, or the storage does not give a fact that we need about a file."""


class _ReplacedError(FeedmillError, OSError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """A file was replaced or written to while we looked at it."""


_LAST_SECOND = 7_258_118_399
"""The last of the year 2199."""

_OF_ONE_FILE = (FileNotFoundError, PermissionError, IsADirectoryError, IrregularError, _ReplacedError)
"""Errors of one file, not of its storage: it was removed, is a broken link or a folder, or may not be read."""


@dataclass(frozen=True)
class _Found:
    """What a look at the landing zone gave."""

    files: list[FoundFile]
    """Those that were not registered yet."""
    folders: list[Look]
    """What may be kept of the folders, once the files are registered."""
    swept: set[str]
    """The sources' own folders in which everything was listed."""


def discover(
    landing: str,
    sources: Mapping[str, Source],
    kinds: Iterable[FileKind],
    ledger: Ledger,
    now: datetime,
    hours: Iterable[datetime] = (),
) -> list[File]:
    """Register the new files of the landing zone, and return them. Folders in which nothing can be new are not listed.

    ``hours`` are arrival hours whose folders are always listed: a build seals them next.

    Raises:
        LandingUnavailableError: a folder cannot be listed, or a source's folder is gone.
    """
    wanted = [source for source in sources.values() if source.kind in set(kinds)]
    with ledger.transaction() as session:
        memory = folders.remembered(session, [source.name for source in wanted])
    fs, root = fsspec.core.url_to_fs(landing)
    found = _look(fs, root, wanted, ledger, lambda source: _skip(fs, root, source, memory, now, set(hours)))
    with ledger.transaction() as session:
        added = files.register(session, found.files, now)
    with ledger.transaction() as session:
        folders.record(session, found.folders, memory)
        for source in found.swept:
            folders.forget_others(session, found.folders, source)
    return added


def new_files(
    landing: str, sources: Mapping[str, Source], kinds: Iterable[FileKind], ledger: Ledger
) -> list[FoundFile]:
    """Inspect the files of the landing zone that are not registered, in all of its folders. A file that cannot be
    opened is left for later.

    Raises:
        LandingUnavailableError: a folder cannot be listed, or a source's folder is gone.
    """
    fs, root = fsspec.core.url_to_fs(landing)
    wanted = [source for source in sources.values() if source.kind in set(kinds)]
    return _look(fs, root, wanted, ledger, lambda _: None).files


def _skip(fs: Any, root: str, source: Source, memory: Memory, now: datetime, hours: set[datetime]) -> Skip | None:
    """Which of the source's folders need not be listed; None if it is time to list them all."""
    disk = on_disk(fs)
    if not memory.swept(url_of(fs, f"{root}/{source.name}"), SWEEP_DISK if disk else SWEEP_BUCKET):
        return None

    def skip(folder: str, stamp: str | None) -> bool:
        hour = hour_of(PurePosixPath(folder).name)
        if hour is not None and (hour in hours or hour + RECENT > now):
            return False
        if stamp is None:
            return hour is not None
        return memory.unchanged(url_of(fs, folder), stamp)

    return skip


def _look(
    fs: Any, root: str, wanted: list[Source], ledger: Ledger, skipping: Callable[[Source], Skip | None]
) -> _Found:
    skips = {source.name: skipping(source) for source in wanted}
    odd: dict[str, str] = {}
    listed = {source.name: list_source(fs, root, source, odd, skips[source.name]) for source in wanted}
    listings = [(source, listing) for source in wanted for listing in listed[source.name] or ()]
    with ledger.transaction() as session:
        for source in wanted:
            # A seal covers the files that are in the folder. If the disk is missing, the hour would be empty for ever.
            folder = f"{fs.unstrip_protocol(root)}/{source.name}"
            if listed[source.name] is None and files.any_below(session, folder):
                raise LandingUnavailableError(
                    f"{folder} is gone, but files were registered from it. Is its disk mounted? If the folder was "
                    "removed on purpose, create it again, empty"
                )
        paths = [path for _, listing in listings for path, _ in listing.files]
        known = files.known_paths(session, [url_of(fs, path) for path in paths])
    for url, what in odd.items():
        log.warning("%s is %s. Nothing of it is read", on_one_line(url), what)
    inspected: list[FoundFile] = []
    looks: list[Look] = []
    with ThreadPoolExecutor(AT_ONCE, "inspect") as threads:
        for source, listing in listings:
            new = [entry for entry in listing.files if url_of(fs, entry[0]) not in known]
            whole = True
            for (path, _), file in zip(new, threads.map(partial(_tried, fs, root, source), new), strict=True):
                if isinstance(file, FoundFile):
                    inspected.append(file)
                    continue
                whole = False
                url = on_one_line(url_of(fs, path))
                log.warning("%s cannot be opened (%s). It is not registered until it can", url, _words(file))
            looks.append(Look(url_of(fs, listing.folder), source.name, listing.stamp, whole))
    swept = {url_of(fs, f"{root}/{name}") for name, skip in skips.items() if skip is None}
    return _Found(inspected, [look for look in looks if look.stamp is not None or look.url in swept], swept)


def _tried(fs: Any, root: str, source: Source, entry: tuple[str, dict[str, Any]]) -> FoundFile | OSError:
    """The file as it is, or why it cannot be opened now."""
    try:
        return _inspect(fs, root, source, *entry)
    except _OF_ONE_FILE as error:
        return error


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
        Landed(url_of(fs, path), _folder_hour(root, source, path), info["size"], _modified(info))
        for source in sources
        for listing in list_source(fs, root, source, {}) or ()
        for path, info in listing.files
    ]


def odd(landing: str, sources: Iterable[Source]) -> dict[str, str]:
    """What else lies in the landing zone, by URL, and what it is: links, pipes, sockets, devices, closed folders.

    Raises:
        LandingUnavailableError: a folder cannot be listed.
    """
    fs, root = fsspec.core.url_to_fs(landing)
    found: dict[str, str] = {}
    for source in sources:
        list_source(fs, root, source, found)
    return found


def verify(registered: Iterable[File]) -> None:
    """Check that registered files are there and unchanged. Defects and disowned files are skipped: nobody reads them.

    Raises:
        LandingError: names the first file that is missing or changed, and says what to do.
    """
    with ThreadPoolExecutor(AT_ONCE, "verify") as threads:
        for _ in threads.map(_verify, [file for file in registered if file.not_read is None]):
            pass


def _verify(file: File) -> None:
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


def _inspect(fs: Any, root: str, source: Source, path: str, listed: dict[str, Any]) -> FoundFile:
    fs.invalidate_cache(path)  # fsspec caches a bucket's listing, and would answer from it
    info = fs.info(path)
    hour = _folder_hour(root, source, path)
    told = _told(info)
    defect = unreadable(fs.unstrip_protocol(path)) or (_misplaced(root, source, path) if hour is None else None)
    looked = Looked("", None)
    if defect is None or not told:
        with opened(fs, path) as stream:
            looked = look(stream, path, info["size"], source if defect is None else None)
    found = FoundFile(
        path=url_of(fs, path),
        source=source.name,
        kind=source.kind,
        folder_hour=hour,
        size=info["size"],
        etag=told[0] if told else looked.digest,
        received_at=_modified(listed),
        defect=defect or looked.defect,
        long_lines=looked.long_lines,
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
    return hour_of(parts[0]) if len(parts) == 2 else None


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
