"""Listing the landing zone: all of it, or only the folders that may hold something new.

A disk tells when a folder changed last. A bucket does not; there we leave out folders of hours that are long over, and
list everything from time to time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from pathlib import Path, PurePosixPath
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.landing.names import irregular, recorded
from feedmill.spec import Source
from feedmill.timeline import HOUR, parse


class LandingUnavailableError(FeedmillError, code=Exit.UNREACHABLE, retry=True, turn=Turn.OPERATOR):
    """A folder of the landing zone cannot be listed. Going on would treat it as empty."""


@dataclass(frozen=True)
class Listing:
    """A folder and its files, as the storage lists them."""

    folder: str
    """Its path, without the protocol."""
    files: list[tuple[str, dict[str, Any]]]
    stamp: str | None
    """What the disk said of the folder just before it was listed. It changes whenever a file comes or goes. None where
    it says nothing of the files below: in a bucket, and where the folder has folders in it."""


_YEARS = (2000, 2200)
"""``[from, to)``. States are columns of hours, which a folder of the year 9999 would make 70 million long."""

Skip = Callable[[str, str | None], bool]
"""Given a folder's path and stamp: whether nothing new can be in it."""


def on_disk(fs: Any) -> bool:
    """Whether it is a local disk: it has folders, empty ones too, and says when they changed."""
    return isinstance(fs, LocalFileSystem) and type(fs).find is AbstractFileSystem.find


def url_of(fs: Any, path: str) -> str:
    """A path's URL as the ledger records it."""
    return recorded(fs.unstrip_protocol(path))


def hour_of(name: str) -> datetime | None:
    """The hour that a folder's name says; None if it says none, or one in which no feed has a file."""
    try:
        hour = parse(name)
    except (ValueError, OverflowError):
        return None
    return hour if HOUR.name_of(hour) == name and _YEARS[0] <= hour.year < _YEARS[1] else None


def list_source(
    fs: Any, root: str, source: Source, odd: dict[str, str], skip: Skip | None = None
) -> list[Listing] | None:
    """The folders of a source with their files, but for those that ``skip`` leaves out; None if the source's own
    folder is gone. In a bucket an empty folder does not exist.

    What else lies there is added to ``odd``, by URL.

    Raises:
        LandingUnavailableError: a folder cannot be listed.
    """
    folder, disk = f"{root}/{source.name}", on_disk(fs)
    try:
        if disk:
            return _below(fs, folder, odd, skip)
        return _all_of(fs, folder) if skip is None else _some_of(fs, folder, skip)
    except FileNotFoundError:
        return None if disk else []
    except OSError as error:
        raise LandingUnavailableError(
            f"{error.filename or folder} cannot be listed: {error.strerror or error}. No file is read until it can, "
            "because the folder would count as empty"
        ) from error


def _below(fs: LocalFileSystem, top: str, odd: dict[str, str], skip: Skip | None) -> list[Listing]:
    """The folder and those below it, with the errors of listing a folder, and without following links.

    Only the errors of the source's own folder and of hours count: nothing that is read lies in others.
    """
    if (what := irregular(fs, top)) is not None:
        odd[url_of(fs, top)] = what
        raise FileNotFoundError(top)
    found: list[Listing] = []
    waiting: list[tuple[str, str | None]] = [(top, None)]
    while waiting:
        folder, stamp = waiting.pop()
        try:
            entries = fs.ls(folder, detail=True)
        except FileNotFoundError:
            if folder == top:
                raise
            continue  # it was removed just now
        except OSError as error:
            if folder == top or (
                PurePosixPath(folder).parent == PurePosixPath(top) and hour_of(PurePosixPath(folder).name)
            ):
                raise
            odd[url_of(fs, folder)] = f"a folder that cannot be listed ({error.strerror or error})"
            continue
        files, folders = [], []
        for info in sorted(entries, key=itemgetter("name")):
            path = info["name"]
            if _hidden(PurePosixPath(path).name):
                continue
            if info["type"] == "directory":
                folders.append(path)
            elif info["type"] == "file":
                files.append((path, info))
            else:
                odd[url_of(fs, path)] = irregular(fs, path) or "gone"
        found.append(Listing(folder, files, None if folders else stamp))
        for path in reversed(folders):
            # Before it is listed: a file that comes meanwhile changes it once more.
            with suppress(FileNotFoundError):
                theirs = _stamp(path)
                if skip is None or not skip(path, theirs):
                    waiting.append((path, theirs))
    return found


def _stamp(folder: str) -> str:
    state = Path(folder).lstat()
    # Copying tools set a folder's modification time to that of the original; nobody can set the other one.
    return f"{state.st_mtime_ns} {state.st_ctime_ns}"


def _all_of(fs: Any, folder: str) -> list[Listing]:
    """Everything below the folder in a bucket, as one listing."""
    fs.invalidate_cache(folder)
    listed = fs.find(folder, detail=True).items()
    return [
        Listing(
            folder,
            [
                (path, info)
                for path, info in sorted(listed)
                # GCS keeps a folder that was made by hand as an empty object whose name ends with a slash.
                if not path.endswith("/")
                and not any(_hidden(part) for part in PurePosixPath(path).relative_to(folder).parts)
            ],
            None,
        )
    ]


def _some_of(fs: Any, folder: str, skip: Skip) -> list[Listing]:
    """The folder in a bucket and the folders in it, but for those that are skipped."""
    fs.invalidate_cache(folder)
    files: list[tuple[str, dict[str, Any]]] = []
    found: list[Listing] = []
    for info in sorted(fs.ls(folder, detail=True), key=itemgetter("name")):
        name = info["name"].rstrip("/")
        if _hidden(PurePosixPath(name).name) or name == folder:
            continue
        if info["type"] != "directory":
            files.append((name, info))
        elif not skip(name, None):
            found += _all_of(fs, name)
    return [Listing(folder, files, None), *found]


def _hidden(name: str) -> bool:
    return name.startswith((".", "_"))
