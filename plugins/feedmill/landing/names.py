"""What lies in the landing zone: which of it is a file, how its path is recorded, and which names no build can read."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.printable import on_one_line

LONGEST = 2000
"""The longest URL in bytes that is recorded as it is: PostgreSQL's index of the files takes 2,700."""


_PATTERN = frozenset("*?[]{}\\")
"""What Hadoop takes for a pattern. Escaped, it is found, but not beside a colon, which Hadoop takes for a scheme."""


class IrregularError(FeedmillError, OSError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """What lies there is no regular file: a link, a pipe, a socket or a device. It is never opened or followed."""


def located(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    Not ``fsspec.core.url_to_fs``, which takes the name ``a::b.jsonl`` for two URLs.
    """
    kind = fsspec.get_filesystem_class(get_protocol(url))
    return kind(**kind._get_kwargs_from_urls(url)), kind._strip_protocol(url)


def opened(fs: Any, path: str) -> Any:
    """The file, open for reading bytes.

    Raises:
        IrregularError: it is no regular file. Without opening it: a pipe would wait for a writer, for ever.
    """
    if type(fs) is not LocalFileSystem:
        return fs.open(path, "rb")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        if (why := irregular(fs, path)) is not None:
            raise IrregularError(f"it is {why}") from None
        raise
    try:
        if (why := _kind(os.fstat(descriptor).st_mode)) is not None:
            raise IrregularError(f"it is {why}")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def irregular(fs: Any, path: str) -> str | None:
    """What lies there, if it is neither a regular file nor a folder; object stores have nothing else."""
    return _kind(os.lstat(path).st_mode) if isinstance(fs, LocalFileSystem) and os.path.lexists(path) else None


def _kind(mode: int) -> str | None:
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    kinds = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def recorded(url: str) -> str:
    """The URL as the ledger and events.rejected can hold it: as it is, if it is UTF-8 and short enough.

    Of another one the bytes that are not UTF-8 are escaped, and the middle is left out. It has two slashes where no
    other path has them, so that two files never share one.
    """
    if _is_text(url) and len(url.encode()) <= LONGEST:
        return url
    folder, _, name = on_one_line(url).rpartition("/")
    if len(f"{folder}//{name}".encode()) <= LONGEST:
        return f"{folder}//{name}"
    whole = hashlib.blake2b(os.fsencode(url), digest_size=8).hexdigest()
    return f"{_cut(folder, LONGEST // 2)}…{whole}//{_cut(name, 300)}"


def unreadable(url: str) -> str | None:
    """Why no build can read a file of this name; None if nothing speaks against it."""
    if not _is_text(url):
        return f"the name is not UTF-8: '{shown(url)}'; rename the file"
    if len(url.encode()) > LONGEST:
        return f"the path is longer than {LONGEST} bytes; move or rename the file"
    path = url.partition("://")[2]
    if ":" in path and _PATTERN & set(path):
        return "Spark cannot find a name with a colon and one of *?[]{}\\; rename the file"
    if "//" in path:
        return "Spark cannot find a name with two slashes in a row; rename the object"
    return None


def shown(path: str) -> str:
    """The name of a file as messages show it."""
    return on_one_line(PurePosixPath(path).name)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _cut(text: str, length: int) -> str:
    return text.encode()[:length].decode(errors="ignore")
