"""What a build records about its inputs besides their snapshots, to judge its freshness without the ledger (rule 10).

A build's pins name, under two keys that no table can have:

- ``recorded``: by input table, the commit of its newest publish whose number is not above the build's begin. Publishes
  of a table are recorded in the order of their commits. So the begin covers the numbers of this commit and of all
  earlier ones, and of no later one.
- ``files``: by kind and arrival hour, the registered files: their count, a digest of them, the paths of those that lie
  in another hour's folder, and, if there are any, those that the build does not read although discovery sees nothing
  wrong with them: what a build could not read, and what a person has disowned.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from itertools import chain
from pathlib import PurePosixPath
from typing import Any, Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedmill.ledger.models import File, Publish
from feedmill.spec import FileKind, Files, Table
from feedmill.timeline import HOUR, parse

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


def beside_snapshots(
    session: Session, table: Table, read: Mapping[FileKind, Iterable[File]], begin: int
) -> dict[str, Any]:
    """The two keys for a build that reads these files and began at ``begin``."""
    recorded: dict[str, int | None] = {}
    for entry in table.inputs:
        if not isinstance(entry, Files):
            query = (
                select(Publish.snapshot_id)
                .where(Publish.table_name == entry.table.name, Publish.changed, Publish.number <= begin)
                .order_by(Publish.number.desc())
                .limit(1)
            )
            recorded[entry.table.name] = session.scalar(query)
    by_hour = {kind: _by_hour(registered) for kind, registered in read.items()}
    return {**({RECORDED: recorded} if recorded else {}), **({FILES: by_hour} if by_hour else {})}


@dataclass(frozen=True)
class RuledOut:
    """A file that a build did not read, as the ledger knew it: its bytes, and why it was ruled out."""

    path: str
    source: str
    size: int
    etag: str
    received_at: datetime
    defect: str | None
    reader: str | None
    disowned_by: str | None
    disowned_because: str | None


@dataclass(frozen=True)
class FilesRead:
    """The files of one arrival hour, as a build read them."""

    count: int
    """All of them, also those that were not read."""
    digest: str
    elsewhere: tuple[str, ...]
    """Those that lie in the folder of another hour."""
    ruled_out: tuple[RuledOut, ...] = ()
    """Those that were not read, as far as only the ledger knew that."""


def recorded(pins: Mapping[str, Any]) -> Mapping[str, int | None]:
    """By input table: the snapshot of the newest commit that the build covered; None if it covered none."""
    snapshots: Mapping[str, int | None] = pins.get(RECORDED, {})
    return snapshots


def files_read(pins: Mapping[str, Any], kind: FileKind) -> dict[datetime, FilesRead]:
    """By arrival hour: the files of a kind that the build read."""
    by_hour: Mapping[str, Any] = pins.get(FILES, {}).get(kind, {})
    return {
        parse(hour): FilesRead(count, digested, tuple(elsewhere), tuple(_ruled_out(one) for one in chain(*ruled_out)))
        for hour, (count, digested, elsewhere, *ruled_out) in by_hour.items()
    }


def digest(found: Iterable[Bytes], ruled_out: Iterable[RuledOut]) -> str:
    """A digest of the files' paths, sizes, etags and times, and of why some of them were ruled out."""
    lines = sorted(f"{f.path}\0{f.size}\0{f.etag}\0{f.received_at.astimezone(UTC).isoformat()}" for f in found)
    why = sorted(f"{f.path}\0{f.defect}\0{f.reader}\0{f.disowned_by}\0{f.disowned_because}" for f in ruled_out)
    return hashlib.blake2b("\n".join([*lines, *why]).encode(), digest_size=12).hexdigest()


def _by_hour(registered: Iterable[File]) -> dict[str, list[Any]]:
    by_hour: defaultdict[str, list[File]] = defaultdict(list)
    for file in registered:
        by_hour[HOUR.name_of(file.arrival_hour)].append(file)
    return {hour: _pinned(hour, group) for hour, group in by_hour.items()}


def _pinned(hour: str, group: list[File]) -> list[Any]:
    out = [
        RuledOut(**{field.name: getattr(file, field.name) for field in fields(RuledOut)})
        for file in group
        if file.reader is not None or file.disowned_by is not None
    ]
    elsewhere = [file.path for file in group if PurePosixPath(file.path).parent.name != hour]
    pinned = [{**asdict(one), "received_at": one.received_at.astimezone(UTC).isoformat()} for one in out]
    return [len(group), digest(group, out), elsewhere, *([pinned] if pinned else [])]


def _ruled_out(pinned: Mapping[str, Any]) -> RuledOut:
    return RuledOut(**{**pinned, "received_at": datetime.fromisoformat(pinned["received_at"])})
