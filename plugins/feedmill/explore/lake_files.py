"""The only file system that a query has: the data files of the snapshots that it reads, and nobody can write to it.

DuckDB's own switches are not enough. It lets a query write to whatever file it may read, by a COPY inside of a WITH,
which counts as SELECT.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import fsspec
from fsspec.spec import AbstractFileSystem

SCHEME = "lake"


class LakeFiles(AbstractFileSystem):  # type: ignore[misc]
    """Files by number, such as ``lake://7``. A name that came from a path could hold ``*`` or ``hour=``, which DuckDB
    would interpret."""

    protocol = SCHEME
    cachable = False

    def __init__(self, paths: Iterable[str]):
        super().__init__()
        self._numbers = {path: str(number) for number, path in enumerate(dict.fromkeys(paths))}
        self._paths = {number: path for path, number in self._numbers.items()}

    def url(self, path: str) -> str:
        """Under which name DuckDB reads the file."""
        return f"{SCHEME}://{self._numbers[path]}"

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """What DuckDB asks before it opens a file."""
        fs, inner = self._inner(path)
        return {"name": self._strip_protocol(path), "size": fs.size(inner), "type": "file"}

    def ls(self, _path: str, **_options: Any) -> list[Any]:
        """Nothing: a query names tables, not files."""
        return []

    def glob(self, path: str, **_options: Any) -> list[str]:
        """The file itself; DuckDB asks for every name as if it were a pattern."""
        name = self._strip_protocol(path)
        return [name] if name in self._paths else []

    def modified(self, path: str) -> Any:
        """When the file was written."""
        fs, inner = self._inner(path)
        return fs.modified(inner)

    def _open(self, path: str, mode: str = "rb", **_options: Any) -> _SharedFile:
        if mode != "rb":
            raise PermissionError("a query cannot write")
        fs, inner = self._inner(path)
        return _SharedFile(fs.open(inner, "rb"))

    def _inner(self, path: str) -> tuple[Any, str]:
        """The file system that has the file, and its path there. Where that is not this disk, fsspec has credentials.

        Raises:
            PermissionError: it is none of the lake's files.
        """
        name = self._strip_protocol(path)
        if name not in self._paths:
            raise PermissionError("a query cannot write, and can read the published tables only")
        real = self._paths[name]
        scheme, mark, _ = real.partition(":")
        if not mark or scheme == "file":
            # Spark writes file:/, PyIceberg file:///, and neither escapes what it wrote.
            return fsspec.filesystem("file"), "/" + real.removeprefix("file:").lstrip("/") if mark else real
        fs, inner = fsspec.core.url_to_fs(real)
        return fs, str(inner)


class _SharedFile:
    """A file that DuckDB's threads read at once: each has a position of its own.

    They seek and read in two calls. With one position, another thread's seek comes between: "only 1982 bytes returned".
    """

    def __init__(self, file: Any):
        self._file = file
        self._lock = threading.Lock()
        self._position = threading.local()

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence != 0:
            raise ValueError("only from the start")
        self._position.offset = offset
        return offset

    def tell(self) -> int:
        return int(getattr(self._position, "offset", 0))

    def read(self, size: int = -1) -> bytes:
        with self._lock:
            self._file.seek(self.tell())
            found = bytes(self._file.read(size))
        self._position.offset = self.tell() + len(found)
        return found

    def close(self) -> None:
        self._file.close()
