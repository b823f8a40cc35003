"""Putting files into the landing zone: each under its arrival hour, whole or not at all, and never over another.

Two that land under one name at the same moment are told apart on a local disk only: see :meth:`_Zone._named`.

A file lands as it is, in the present hour. Or a log of the past is replayed: with ``shift_to``, the events of all
given files move together, so that their last hour ends there, and every hour's piece lands in its own hour. Which
files of a folder or an archive are a source's own, under which name they land and how they are replayed, the source's
module in ``include/spark/sources`` may say (its functions ``wanted``, ``landed_name``, ``span`` and ``replay``).
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

from feedmill.spec import Source
from feedmill.timeline import HOUR

ARCHIVES = (".whl", ".zip")
_CHUNK = 1 << 20

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called with what is done, of how much, and which file is next."""


class ArrivalError(ValueError):
    """What was given cannot land; the message names the file, and what would land. Nothing, or no more, was landed."""


@dataclass(frozen=True)
class Found:
    """A file that is to land: which source it is of, and its name there."""

    source: Source
    path: Path
    name: str
    shown: str
    """The path as the user gave it, into an archive too."""


@dataclass(frozen=True)
class Arrival:
    """A file in the landing zone. ``already``: it lay there before, with the same content."""

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
    """Land the files of these sources that ``paths`` (files, folders, archives) hold.

    Args:
        landing: URL of the landing zone.
        sources: those that there are.
        names: those to land.
        paths: files, folders that are searched, or archives (.whl, .zip) that are.
        now: the present; without ``shift_to``, files arrive in its hour.
        shift_to: replay: the last event hour of all files together ends at this time's hour. Items, which have no
            event times, land in the first hour of the events that land with them, alone in the hour of this time.
        progress: is told of each file.

    Raises:
        ArrivalError: an unknown source, a missing or unfitting file, a name that is taken by another content.
    """
    wanted = [_known(sources, name) for name in names]
    with ExitStack() as stack:
        found = gather(wanted, paths, stack)
        if shift_to is None:
            return _land_as_is(landing, found, HOUR.floor(now), progress)
        return _replay(landing, found, HOUR.floor(shift_to), progress)


def shift(spans: Iterable[tuple[datetime, datetime]], end: datetime) -> timedelta:
    """By how much events must move so that the hour of the last of them ends at ``end``: whole hours."""
    last = max(to for _, to in spans)
    return end - (HOUR.floor(last) + HOUR.length)


def gather(sources: Sequence[Source], paths: Sequence[Path], stack: ExitStack) -> list[Found]:
    """The files to land, sorted by name; members of archives are unpacked until ``stack`` closes.

    Raises:
        ArrivalError: a path is missing, a file does not fit, or a folder or an archive holds nothing that does.
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
                    f"{path} holds no file of {source.name}: it takes {', '.join(source.suffixes)} files"
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
        raise ArrivalError(f"{source.name} takes {', '.join(source.suffixes)} files; {path} is none")
    if path.name.startswith((".", "_")):
        raise ArrivalError(f"{path}: names that start with a dot or an underscore are not read; land it under another")
    return _named(source, path, str(path))


def _named(source: Source, path: Path, shown: str) -> Found:
    rename: Callable[[Path], str] | None = getattr(_module(source), "landed_name", None)
    try:
        return Found(source, path, rename(path) if rename else path.name, shown)
    except ValueError as error:
        raise ArrivalError(f"{source.name} cannot take {shown}: {error}") from error


def _wanted(source: Source, path: PurePath) -> bool:
    """Whether a file that was found in a folder or an archive is one of the source's."""
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
    """The archive's fitting members, unpacked with their folders: readers open files by path."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="feedmill-land-")))
    try:
        with zipfile.ZipFile(archive) as packed:
            names = [
                name
                for name in sorted(packed.namelist())
                if not name.endswith("/") and any(_wanted(source, PurePath(name)) for source in sources)
            ]
            # ZipFile.extract keeps members inside of the folder, whatever their names say.
            return [(Path(packed.extract(name, folder)), f"{archive}/{name}") for name in names]
    except (zipfile.BadZipFile, OSError) as error:
        raise ArrivalError(f"{archive} is no readable archive: {error}") from error


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
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _replay(landing: str, found: list[Found], end: datetime, progress: Progress) -> list[Arrival]:
    events = [file for file in found if file.source.kind == "events"]
    items = [file for file in found if file.source.kind == "items"]
    for file in found:
        if not hasattr(_module(file.source), "replay"):
            raise ArrivalError(
                f"{file.source.name} cannot be moved in time: include/spark/sources/{file.source.name}.py has no "
                f"replay; land {file.shown} without --shift-to"
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
    except ValueError as error:
        raise ArrivalError(str(error)) from error
    progress(len(arrivals), len(arrivals), "")
    return arrivals


def _hours(start: datetime, end: datetime) -> int:
    return (HOUR.floor(end) - HOUR.floor(start)) // HOUR.length + 1


def _refuse_twins(places: Iterable[tuple[str, datetime, str, str]]) -> None:
    """Two given files of one name would meet in the landing zone."""
    seen: dict[tuple[str, datetime, str], str] = {}
    for source, hour, name, shown in places:
        other = seen.setdefault((source, hour, name), shown)
        if other != shown:
            raise ArrivalError(f"{other} and {shown} would both land as {name}; rename one")


class _Zone:
    """The landing zone as a place to write to."""

    def __init__(self, landing: str):
        self._fs: Any
        self._fs, self._root = fsspec.core.url_to_fs(landing)

    def put(self, source: str, hour: datetime, name: str, content: Iterable[bytes]) -> Arrival:
        """Write the content under a hidden name, then give it its own: a reader never sees half a file.

        Raises:
            ArrivalError: the name is taken by another content.
        """
        folder = f"{self._root.rstrip('/')}/{source}/{HOUR.name_of(hour)}"
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
        """Whether the draft has got its name; False where something has it already.

        On a local disk one step does both, for two landings of one name may meet. Elsewhere a file that comes between
        the look and the move is replaced.
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
        """Where the very content lies, all is well; another one must stay, because it may have been read."""
        fs = self._fs
        if fs.exists(final) and fs.info(final)["size"] == size and _same(fs, final, draft):
            return
        raise ArrivalError(
            f"{fs.unstrip_protocol(final)} is there with other content, and {source} may have been built from it; "
            f"land the new one under another name than {name}"
        )


def _same(fs: Any, one: str, other: str) -> bool:
    with fs.open(one, "rb") as left, fs.open(other, "rb") as right:
        while True:
            a, b = left.read(_CHUNK), right.read(_CHUNK)
            if a != b:
                return False
            if not a:
                return True
