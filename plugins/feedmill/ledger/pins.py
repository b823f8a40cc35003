"""What a build records about its inputs besides their snapshots, to judge its freshness without the ledger (rule 10).

A build's pins name, under two keys that no table can have:

- ``recorded``: by input table, the commit of its newest publish whose number is not above the build's begin. Publishes
  of a table are recorded in the order of their commits. So the begin covers the numbers of this commit and of all
  earlier ones, and of no later one.
- ``files``: by kind and arrival hour, the registered files that the build reads: their count, a digest of them, and the
  paths of those that lie in another hour's folder.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedmill.ledger import files
from feedmill.ledger.models import File, Publish
from feedmill.spec import FileKind, Files, Table
from feedmill.timeline import HOUR, Range, parse

RECORDED = "recorded"
FILES = "files"


class Bytes(Protocol):
    """What identifies the contents of a file, registered or only found by discovery."""

    @property
    def path(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def etag(self) -> str: ...
    @property
    def received_at(self) -> datetime: ...


def beside_snapshots(session: Session, table: Table, span: Range, begin: int) -> dict[str, Any]:
    """The two keys for a build of the range that began at ``begin``."""
    recorded: dict[str, int | None] = {}
    read: dict[str, dict[str, list[Any]]] = {}
    for entry in table.inputs:
        if isinstance(entry, Files):
            start, end = entry.window(span)
            read[entry.kind] = _by_hour(files.registered(session, entry.kind, start, end, begin))
        else:
            query = (
                select(Publish.snapshot_id)
                .where(Publish.table_name == entry.table.name, Publish.changed, Publish.number <= begin)
                .order_by(Publish.number.desc())
                .limit(1)
            )
            recorded[entry.table.name] = session.scalar(query)
    return {**({RECORDED: recorded} if recorded else {}), **({FILES: read} if read else {})}


@dataclass(frozen=True)
class FilesRead:
    """The files of one arrival hour that a build read."""

    count: int
    digest: str
    elsewhere: tuple[str, ...]
    """Those that lie in the folder of another hour."""


def recorded(pins: Mapping[str, Any]) -> Mapping[str, int | None]:
    """By input table: the snapshot of the newest commit that the build covered; None if it covered none."""
    snapshots: Mapping[str, int | None] = pins.get(RECORDED, {})
    return snapshots


def files_read(pins: Mapping[str, Any], kind: FileKind) -> dict[datetime, FilesRead]:
    """By arrival hour: the files of a kind that the build read."""
    by_hour: Mapping[str, Any] = pins.get(FILES, {}).get(kind, {})
    return {
        parse(hour): FilesRead(count, digested, tuple(elsewhere))
        for hour, (count, digested, elsewhere) in by_hour.items()
    }


def digest(found: Iterable[Bytes]) -> str:
    """A digest of the files' paths, sizes, etags and times."""
    lines = sorted(f"{f.path}\0{f.size}\0{f.etag}\0{f.received_at.astimezone(UTC).isoformat()}" for f in found)
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=12).hexdigest()


def _by_hour(registered: Iterable[File]) -> dict[str, list[Any]]:
    by_hour: defaultdict[str, list[File]] = defaultdict(list)
    for file in registered:
        by_hour[HOUR.name_of(file.arrival_hour)].append(file)
    return {
        hour: [len(group), digest(group), [f.path for f in group if PurePosixPath(f.path).parent.name != hour]]
        for hour, group in by_hour.items()
    }
