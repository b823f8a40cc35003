"""Which file belongs to which arrival hour, for a ledger that has lost it (rule 10).

See :mod:`feedmill.doctor.rebuild`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from feedmill.doctor.rebuild_numbers import Histories
from feedmill.lake.commits import Commit
from feedmill.ledger import files, pins
from feedmill.ledger.files import FoundFile
from feedmill.ledger.models import File, Partition
from feedmill.ledger.pins import FilesRead, RuledOut
from feedmill.spec import KINDS, FileKind, Files, Map
from feedmill.timeline import HOUR, Range


@dataclass(frozen=True)
class RestoredFiles:
    """What was registered again."""

    registered: int
    """How many files were registered for the hour in which builds had read them."""
    doubtful: Mapping[FileKind, list[datetime]]
    """Arrival hours whose files are not those that were read."""
    largest: int
    """The largest number of a file."""
    unread: list[FoundFile]
    """Found files that no build is known to have read; nothing is registered of them."""


@dataclass(frozen=True)
class Reading:
    """A build that read files of a kind."""

    commit: Commit
    start: datetime
    """Of the arrival hours that it read."""
    end: datetime
    by_hour: Mapping[datetime, FilesRead]


@dataclass(frozen=True)
class RestoredHour:
    """The files of one arrival hour."""

    number: int
    registered: list[FoundFile | RuledOut]
    certain: bool
    """Whether they are those that the newest build read."""


def restore_files(session: Session, tables: Map, histories: Histories, found: Iterable[FoundFile]) -> RestoredFiles:
    """Seal what builds had sealed, and register what builds had read."""
    unread, registered, largest = list(found), 0, 0
    doubtful: dict[FileKind, list[datetime]] = {}
    for kind in KINDS:
        readings = _readings(tables, histories, kind)
        for reading in readings:
            files.seal(session, kind, Range(reading.commit.start, reading.commit.end, HOUR))
        elsewhere = {path: hour for one in readings for hour, read in one.by_hour.items() for path in read.elsewhere}
        for hour in sorted({hour for reading in readings for hour in reading.by_hour}):
            restored = _restore_hour(session, kind, hour, readings, _of_hour(kind, hour, unread, elsewhere))
            # By path: of a file that was ruled out, other bytes may lie there by now, which a person readmits.
            paths = {file.path for file in restored.registered}
            unread = [file for file in unread if file.path not in paths]
            registered += len(restored.registered)
            largest = max(largest, restored.number)
            if not restored.certain:
                doubtful.setdefault(kind, []).append(hour)
                _distrust(session, tables, kind, hour)
    session.flush()
    largest = max(largest, session.scalar(select(func.max(File.number))) or 0)
    return RestoredFiles(registered, doubtful, largest, unread)


def _readings(tables: Map, histories: Histories, kind: FileKind) -> list[Reading]:
    """The builds that read files of a kind, in the order of their begins."""
    found = []
    for table in tables:
        for entry in table.inputs:
            if isinstance(entry, Files) and entry.kind == kind:
                for commit in histories[table.name]:
                    window = entry.window(Range(commit.start, commit.end, table.every))
                    found.append(Reading(commit, *window, pins.files_read(commit.pins, kind)))
    return sorted(found, key=lambda reading: reading.commit.begin)


def _of_hour(
    kind: FileKind, hour: datetime, unread: Iterable[FoundFile], elsewhere: Mapping[str, datetime]
) -> list[FoundFile]:
    """The found files that may have been the hour's: first those that surely were, then the rest as they arrived."""
    mine = [f for f in unread if f.kind == kind and elsewhere.get(f.path, f.folder_hour) == hour]
    return sorted(mine, key=lambda f: (f.path not in elsewhere, f.received_at, f.path))


def _restore_hour(
    session: Session, kind: FileKind, hour: datetime, readings: Sequence[Reading], found: Sequence[FoundFile]
) -> RestoredHour:
    """Register the hour's files as they were, or as they are if they are not those that were read."""
    # Several builds may have read the hour. The one that began last knows all of its files.
    newest = [reading for reading in readings if hour in reading.by_hour][-1]
    expected = newest.by_hour[hour]
    ruled_out = {file.path: file for file in expected.ruled_out}
    query = select(File).where(File.kind == kind, File.arrival_hour == hour).order_by(File.number)
    known = list(session.scalars(query))
    for file in known:
        if file.number <= newest.commit.begin:  # else it was decided after that build: the ledger's dump knows better
            _rule(file, ruled_out.get(file.path))
    paths = {file.path for file in known}
    lost = [file for path, file in ruled_out.items() if path not in paths]
    there: list[File | FoundFile | RuledOut] = [*known, *lost, *(f for f in found if f.path not in ruled_out)]
    chosen = there[: expected.count]
    certain = len(chosen) == expected.count and pins.digest(chosen, expected.ruled_out) == expected.digest
    read = [reading for reading in readings if reading.start <= hour < reading.end]
    lacking = [r.commit.begin for r in read if not certain or _digest(r, hour) != expected.digest]
    number = 1 + max(lacking, default=0)
    registered: list[FoundFile | RuledOut] = []
    for one in chosen if certain else there:
        if not isinstance(one, File):
            registered.append(one)
            session.add(_registration(one, kind, hour, number))
        elif lacking:
            one.number = max(one.number, number)
    return RestoredHour(number, registered, certain)


def _rule(file: File, ruled_out: RuledOut | None) -> None:
    """Give a registered file the state in which a later build found it."""
    if ruled_out is not None and ruled_out.etag == file.etag:
        file.defect, file.reader = ruled_out.defect, ruled_out.reader
        file.disowned_by, file.disowned_because = ruled_out.disowned_by, ruled_out.disowned_because
    elif file.reader is not None or file.disowned_by is not None:
        file.defect = file.reader = file.disowned_by = file.disowned_because = None


def _digest(reading: Reading, hour: datetime) -> str:
    """Of the hour's files as the build read them; empty if its pins say nothing of the hour."""
    return reading.by_hour[hour].digest if hour in reading.by_hour else ""


def _distrust(session: Session, tables: Map, kind: FileKind, hour: datetime) -> None:
    """Clear the identity of the partitions that read the hour: outdated, since nobody can say what they hold."""
    for table in tables:
        for entry in table.inputs:
            if isinstance(entry, Files) and entry.kind == kind:
                for row in session.scalars(select(Partition).where(Partition.table_name == table.name)):
                    start, end = entry.window(table.one(row.partition))
                    if start <= hour < end:
                        row.identity = ""


def _registration(file: FoundFile | RuledOut, kind: FileKind, hour: datetime, number: int) -> File:
    registration = File(
        path=file.path,
        source=file.source,
        kind=kind,
        arrival_hour=hour,
        size=file.size,
        etag=file.etag,
        defect=file.defect,
        received_at=file.received_at,
        number=number,
    )
    if isinstance(file, RuledOut):
        registration.reader = file.reader
        registration.disowned_by, registration.disowned_because = file.disowned_by, file.disowned_because
    else:
        registration.long_lines = file.long_lines
    return registration
