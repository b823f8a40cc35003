"""Putting files into the landing zone: each into the folder of its arrival hour.

A file lands as a whole or not at all, and it never replaces another file. One exception: if two files land under one
name at the same moment, only a local disk keeps the first one: see :meth:`_Zone._named`.

Normally a file lands as it is, in the present hour. A log of the past can be replayed instead, with ``shift_to``: the
events of all given files move by the same time, so that their last hour ends at ``shift_to``, and each hour of events
lands in its own hour.

The source's module in ``include/spark/sources`` may say which files of a folder or an archive it takes (``wanted``),
under which name a file lands (``landed_name``), and how it is replayed (``span`` and ``replay``).
"""

from __future__ import annotations

import importlib
import os
import tempfile
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any, Literal, TypeAlias

import fsspec
from fsspec.implementations.local import LocalFileSystem

from feedmill.connections import ICEBERG
from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.spec import Source
from feedmill.timeline import HOUR

ARCHIVES = (".whl", ".zip")
_CHUNK = 1 << 20

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called with the number of files done, their total, and the name of the next."""


class ArrivalError(FeedmillError, code=Exit.USAGE, retry=False, turn=Turn.CALLER):
    """A given file cannot land. The message names it and says what to do. Files before it may have landed."""


class ZoneError(FeedmillError, code=Exit.UNREACHABLE, retry=True, turn=Turn.OPERATOR):
    """The landing zone takes no file: it is read-only, full, or does not answer. Files before it may have landed."""


@dataclass(frozen=True)
class Found:
    """A file that is to land, with its source and its name in the landing zone."""

    source: Source
    path: Path
    name: str
    shown: str
    """The path for messages: as the user gave it, or inside the archive."""


@dataclass(frozen=True)
class Arrival:
    """A file in the landing zone. ``already``: it was there before, with the same content."""

    source: str
    hour: datetime
    path: str
    bytes: int
    state: Literal["landed", "already"]


def land(
    landing: str,
    sources: Mapping[str, Source],
    names: Sequence[str],
    paths: Sequence[Path],
    now: datetime,
    shift_to: datetime | None = None,
    progress: Progress = lambda _done, _total, _what: None,
) -> list[Arrival]:
    """Land the files of these sources from ``paths``: files, folders or archives.

    Args:
        landing: URL of the landing zone.
        sources: all sources that exist.
        names: the sources to land.
        paths: files, or folders and archives (.whl, .zip) to search.
        now: the present. Without ``shift_to``, files arrive in its hour.
        shift_to: replay the files: the last hour of all their events ends at this hour. Items have no event times.
            They land in the first hour of the events given with them, or, without events, in this hour.
        progress: called for each file.

    Raises:
        ArrivalError: a source is unknown, a file is missing or does not fit, or another file has its name.
        ZoneError: the landing zone takes no file.
    """
    wanted = [_known(sources, name) for name in names]
    with ExitStack() as stack:
        found = gather(wanted, paths, stack)
        if shift_to is None:
            return _land_as_is(landing, found, HOUR.floor(now), progress)
        return _replay(landing, found, HOUR.floor(shift_to), progress)


def shift(spans: Iterable[tuple[datetime, datetime]], end: datetime) -> timedelta:
    """How far events must move, in whole hours, so that the hour of the last event ends at ``end``."""
    last = max(to for _, to in spans)
    return end - (HOUR.floor(last) + HOUR.length)


def gather(sources: Sequence[Source], paths: Sequence[Path], stack: ExitStack) -> list[Found]:
    """The files to land, sorted by name. Members of archives stay unpacked until ``stack`` closes.

    Raises:
        ArrivalError: a path is missing, a file does not fit, or a folder or archive has no file that fits.
    """
    found: list[Found] = []
    for path in paths:
        if not path.exists():
            raise ArrivalError(f"{path} does not exist")
        if path.is_dir():
            inside = [(child, str(child)) for child in _children(path)]
        elif path.suffix in ARCHIVES:
            inside = _members(path, sources, stack)
        else:
            found += [_file(source, path) for source in sources]
            continue
        for source in sources:
            fitting = [_named(source, child, shown) for child, shown in inside if _wanted(source, child)]
            if not fitting:
                raise ArrivalError(
                    f"{path} has no file for {source.name}, which takes {', '.join(source.suffixes)} files"
                )
            found += fitting
    return sorted(found, key=lambda f: (f.source.name, f.name, f.shown))


def _known(sources: Mapping[str, Source], name: str) -> Source:
    try:
        return sources[name]
    except KeyError:
        raise ArrivalError(f"there is no source {name!r}; there are {', '.join(sorted(sources))}") from None


def _module(source: Source) -> ModuleType:
    return importlib.import_module(f"include.spark.sources.{source.name}")


def _file(source: Source, path: Path) -> Found:
    if not path.name.endswith(source.suffixes):
        raise ArrivalError(f"{source.name} takes {', '.join(source.suffixes)} files; {path} is not one")
    if path.name.startswith((".", "_")):
        raise ArrivalError(f"{path}: files whose name starts with a dot or an underscore are not read; rename it")
    return _named(source, path, str(path))


def _named(source: Source, path: Path, shown: str) -> Found:
    rename: Callable[[Path], str] | None = getattr(_module(source), "landed_name", None)
    try:
        return Found(source, path, rename(path) if rename else path.name, shown)
    except ValueError as error:
        raise ArrivalError(f"{source.name} cannot take {shown}: {error}") from error


def _wanted(source: Source, path: PurePath) -> bool:
    """Whether a file from a folder or an archive belongs to the source."""
    if not path.name.endswith(source.suffixes):
        return False
    own: Callable[[PurePath], bool] | None = getattr(_module(source), "wanted", None)
    return own(path) if own else True


def _children(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    )


def _members(archive: Path, sources: Sequence[Source], stack: ExitStack) -> list[tuple[Path, str]]:
    """The archive's fitting members. They are unpacked with their folders, because readers open files by path."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="feedmill-land-")))
    try:
        with zipfile.ZipFile(archive) as packed:
            names = [
                name
                for name in sorted(packed.namelist())
                if not name.endswith("/") and any(_wanted(source, PurePath(name)) for source in sources)
            ]
            # ZipFile.extract keeps members inside the folder, even if their names point out of it.
            return [(Path(packed.extract(name, folder)), f"{archive}/{name}") for name in names]
    except (zipfile.BadZipFile, OSError) as error:
        raise ArrivalError(f"{archive} cannot be read as an archive: {error}") from error


def _land_as_is(landing: str, found: list[Found], hour: datetime, progress: Progress) -> list[Arrival]:
    _refuse_twins((f.source.name, hour, f.name, f.shown) for f in found)
    zone = _Zone(landing)
    arrivals = []
    for done, file in enumerate(found):
        progress(done, len(found), file.name)
        arrivals.append(zone.put(file.source.name, hour, file.name, _chunks(file.path)))
    progress(len(found), len(found), "")
    return arrivals


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise ArrivalError(f"{path} cannot be read: {error.strerror or error}") from error


def _replay(landing: str, found: list[Found], end: datetime, progress: Progress) -> list[Arrival]:
    events = [file for file in found if file.source.kind == "events"]
    items = [file for file in found if file.source.kind == "items"]
    for file in found:
        if not hasattr(_module(file.source), "replay"):
            raise ArrivalError(
                f"{file.source.name} cannot be replayed: include/spark/sources/{file.source.name}.py has no "
                f"function replay; land {file.shown} without --shift-to"
            )
    try:
        spans = [_module(file.source).span(file.path) for file in events]
        by = shift(spans, end) if spans else timedelta(0)
        first = HOUR.floor(min(start for start, _ in spans) + by) if spans else end
        total = sum(_hours(start, to) for start, to in spans) + len(items)
        _refuse_twins((f.source.name, first, f.name, f.shown) for f in found)
        zone = _Zone(landing)
        arrivals: list[Arrival] = []
        for file in found:
            replay = _module(file.source).replay
            pieces: Iterator[tuple[datetime, str, bytes]] = (
                replay(file.path, first) if file.source.kind == "items" else replay(file.path, file.name, by)
            )
            for hour, name, content in pieces:
                progress(len(arrivals), max(total, len(arrivals)), f"{HOUR.name_of(hour)} {name}")
                arrivals.append(zone.put(file.source.name, hour, name, [content]))
    except ArrivalError:
        raise
    except (ValueError, OSError) as error:
        raise ArrivalError(str(error)) from error
    progress(len(arrivals), len(arrivals), "")
    return arrivals


def _hours(start: datetime, end: datetime) -> int:
    return (HOUR.floor(end) - HOUR.floor(start)) // HOUR.length + 1


def _refuse_twins(places: Iterable[tuple[str, datetime, str, str]]) -> None:
    """Refuse two given files that would land under one name."""
    seen: dict[tuple[str, datetime, str], str] = {}
    for source, hour, name, shown in places:
        other = seen.setdefault((source, hour, name), shown)
        if other != shown:
            raise ArrivalError(f"{other} and {shown} would both land as {name}; rename one")


class _Zone:
    """The landing zone, to write to."""

    def __init__(self, landing: str):
        self._fs: Any
        self._fs, self._root = fsspec.core.url_to_fs(landing)

    def put(self, source: str, hour: datetime, name: str, content: Iterable[bytes]) -> Arrival:
        """Write the content under a hidden name, then rename it, so that no reader ever sees half a file.

        Raises:
            ArrivalError: a file of this name with other content is there.
            ZoneError: the landing zone takes no file.
        """
        folder = f"{self._root.rstrip('/')}/{source}/{HOUR.name_of(hour)}"
        try:
            return self._put(source, hour, name, folder, content)
        except FeedmillError:
            raise
        except Exception as error:  # each kind of storage has its own
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
            raise ZoneError(
                f"{self._fs.unstrip_protocol(folder)} cannot be written: {reason}. The user who runs Feedmill needs "
                f"write access to the landing zone, which connection {ICEBERG} names, and free space in it; then land "
                "the same files again"
            ) from error

    def _put(self, source: str, hour: datetime, name: str, folder: str, content: Iterable[bytes]) -> Arrival:
        final, draft = f"{folder}/{name}", f"{folder}/.{uuid.uuid4().hex}"
        fs = self._fs
        fs.makedirs(folder, exist_ok=True)
        size = 0
        try:
            with fs.open(draft, "wb") as stream:
                for chunk in content:
                    size += stream.write(chunk)
            landed = self._named(draft, final)
            if not landed:
                self._refuse_another(final, draft, size, source, name)
        finally:
            if fs.exists(draft):
                fs.rm_file(draft)
        return Arrival(source, hour, fs.unstrip_protocol(final), size, "landed" if landed else "already")

    def _named(self, draft: str, final: str) -> bool:
        """Give the draft its name; False if another file has that name already.

        On a local disk looking and naming are one step, so that two landings of one name cannot replace each other.
        Elsewhere, a file that arrives between the look and the move is replaced.
        """
        if isinstance(self._fs, LocalFileSystem):
            try:
                os.link(draft, final)
                return True
            except FileExistsError:
                return False
            except OSError:
                pass  # a file system without hard links, such as FAT, or a bucket that is shown as folders
        if self._fs.exists(final):
            return False
        self._fs.mv(draft, final)
        return True

    def _refuse_another(self, final: str, draft: str, size: int, source: str, name: str) -> None:
        """The same content is fine. Other content must stay, because a build may have read it."""
        fs = self._fs
        if fs.exists(final) and fs.info(final)["size"] == size and _same(fs, final, draft):
            return
        raise ArrivalError(
            f"{fs.unstrip_protocol(final)} already exists with other content, and builds may have read it; land "
            f"the new {source} file under another name than {name}"
        )


def _same(fs: Any, one: str, other: str) -> bool:
    with fs.open(one, "rb") as left, fs.open(other, "rb") as right:
        while True:
            a, b = left.read(_CHUNK), right.read(_CHUNK)
            if a != b:
                return False
            if not a:
                return True
