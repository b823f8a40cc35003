"""Files that no build reads (rule 6): defects that a build has found, and files that a person has disowned.

Each change of this state keeps the file's arrival hour and takes a number, so that every partition that reads the hour
is stale. It is recorded for people, too, with a name and a reason. The state belongs to the bytes (the etag) that were
registered: whoever puts other bytes in their place has them read by readmitting the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.ledger.files import FoundFile
from feedmill.ledger.models import File, FileDecision, Partition
from feedmill.ledger.store import next_number
from feedmill.spec import FileKind, Files, Map, Table

MACHINE = "Feedmill"
"""Stands in the place of a person's name where no person decided."""

NOT_READ = or_(File.defect.is_not(None), File.disowned_by.is_not(None))
"""The condition that no build reads the file."""


class DecisionError(FeedmillError, ValueError, code=Exit.USAGE, retry=False, turn=Turn.CALLER):
    """A file cannot be disowned or readmitted; the message says why."""


@dataclass(frozen=True)
class Defect:
    """Why a file cannot be read, and the identity of the reader code that could not read it."""

    reason: str
    reader: str


@dataclass(frozen=True)
class Quarantined:
    """What of one source and arrival hour is not read."""

    source: str
    arrival_hour: datetime
    files: int
    """Defects and disowned files together."""
    bytes: int
    disowned: int
    """How many of the files a person has ruled out."""


def declare(session: Session, defects: Mapping[str, Defect]) -> list[File]:
    """Make defects of these files (by path), with a number; those that are not read already stay as they are."""
    number = next_number(session)
    query = select(File).where(File.path.in_(list(defects)), ~NOT_READ).order_by(File.path).with_for_update()
    declared = list(session.scalars(query))
    for file in declared:
        found = defects[file.path]
        file.defect, file.reader, file.number = found.reason, found.reader, number
        session.add(_decision(file, "defect", MACHINE, found.reason))
    return declared


def disown(session: Session, path: str, name: str, reason: str, tables: Map) -> File:
    """Rule a file out, whatever its cause; the person ``name`` says why.

    Raises:
        DecisionError: no name or reason; the file is disowned already; its hour has expired.
        LookupError: no such file is registered.
    """
    if not name.strip() or not reason.strip():
        raise DecisionError("to disown a file needs a name and a reason; the ledger keeps both")
    number = next_number(session)
    file = _get(session, path)
    if file.disowned_by is not None:
        raise DecisionError(f"{path} was disowned by {file.disowned_by} already: {file.disowned_because}")
    _refuse_expired(session, file, tables)
    file.disowned_by, file.disowned_because, file.number = name.strip(), reason.strip(), number
    session.add(_decision(file, "disowned", file.disowned_by, file.disowned_because))
    return file


def readmit(session: Session, seen: FoundFile, name: str, reason: str, tables: Map) -> File:
    """Have a file read again, with the bytes that lie there now: ``seen`` is what discovery would register.

    If these bytes have a defect that discovery sees, the file keeps it.

    Raises:
        DecisionError: builds read the file already; its hour has expired.
        LookupError: no such file is registered.
    """
    number = next_number(session)
    file = _get(session, seen.path)
    if file.not_read is None:
        raise DecisionError(f"{seen.path} is neither a defect nor disowned: builds read it already")
    _refuse_expired(session, file, tables)
    _take(file, seen, number)
    session.add(_decision(file, "readmitted", name.strip(), reason.strip()))
    return file


def declared(session: Session, kind: FileKind, start: datetime, end: datetime) -> list[File]:
    """The defects that builds have declared of files that arrived in ``[start, end)``."""
    query = select(File).where(
        File.kind == kind,
        File.arrival_hour >= start,
        File.arrival_hour < end,
        NOT_READ,
        File.reader.is_not(None),
        File.disowned_by.is_(None),
    )
    return list(session.scalars(query.order_by(File.path)))


def try_again(session: Session, seen: Iterable[FoundFile]) -> list[File]:
    """Readmit defects, as they lie there now, because the reader code has changed since they were declared."""
    found = {file.path: file for file in seen}
    number = next_number(session)
    query = select(File).where(File.path.in_(list(found)), File.reader.is_not(None), File.disowned_by.is_(None))
    readmitted = list(session.scalars(query.order_by(File.path).with_for_update()))
    for file in readmitted:
        _take(file, found[file.path], number)
        session.add(_decision(file, "readmitted", MACHINE, "the reader code has changed since"))
    return readmitted


def quarantined(session: Session, start: datetime | None = None, end: datetime | None = None) -> list[Quarantined]:
    """What is not read of the files that arrived in ``[start, end)``, by source and arrival hour."""
    query = (
        select(
            File.source,
            File.arrival_hour,
            func.count(),
            func.sum(File.size),
            func.count().filter(File.disowned_by.is_not(None)),
        )
        .where(NOT_READ)
        .group_by(File.source, File.arrival_hour)
        .order_by(File.arrival_hour, File.source)
    )
    if start is not None:
        query = query.where(File.arrival_hour >= start)
    if end is not None:
        query = query.where(File.arrival_hour < end)
    return [
        Quarantined(source, hour, files, int(size), disowned)
        for source, hour, files, size, disowned in session.execute(query).tuples()
    ]


def newest(
    session: Session, limit: int, source: str | None = None, hours: tuple[datetime, datetime] | None = None
) -> list[File]:
    """The files that are not read, the last decided first; of one source, and of the arrival hours ``[start, end)``."""
    query = select(File).where(NOT_READ).order_by(File.number.desc(), File.path).limit(limit)
    if source is not None:
        query = query.where(File.source == source)
    if hours is not None:
        query = query.where(File.arrival_hour >= hours[0], File.arrival_hour < hours[1])
    return list(session.scalars(query))


def arrived(
    session: Session, kinds: Iterable[FileKind], start: datetime, end: datetime, upto: int
) -> dict[datetime, tuple[int, int, int, int]]:
    """By arrival hour: files and bytes with numbers up to ``upto``, and how many of both are not read."""
    query = (
        select(
            File.arrival_hour,
            func.count(),
            func.sum(File.size),
            func.count().filter(NOT_READ),
            func.coalesce(func.sum(File.size).filter(NOT_READ), 0),
        )
        .where(File.kind.in_(list(kinds)), File.arrival_hour >= start, File.arrival_hour < end, File.number <= upto)
        .group_by(File.arrival_hour)
    )
    return {
        hour: (files, int(size), out, int(lost)) for hour, files, size, out, lost in session.execute(query).tuples()
    }


def decisions(session: Session, path: str) -> list[FileDecision]:
    """What was decided about a file, oldest first."""
    return list(session.scalars(select(FileDecision).where(FileDecision.path == path).order_by(FileDecision.id)))


def _get(session: Session, path: str) -> File:
    file = session.get(File, path, with_for_update=True, populate_existing=True)
    if file is None:
        raise LookupError(f"no file {path} is registered; `feedmill files list` shows those that are")
    return file


def _take(file: File, seen: FoundFile, number: int) -> None:
    file.size, file.etag, file.received_at, file.defect = seen.size, seen.etag, seen.received_at, seen.defect
    file.long_lines = seen.long_lines
    file.reader = file.disowned_by = file.disowned_because = None
    file.number = number


def _decision(file: File, what: str, name: str, reason: str) -> FileDecision:
    return FileDecision(path=file.path, etag=file.etag, what=what, name=name, reason=reason, number=file.number)


def _refuse_expired(session: Session, file: File, tables: Map) -> None:
    """The caller holds the counter's lock, and so does retention: no hour expires between this look and the decision.

    Raises:
        DecisionError: a table that others build on held the file's rows, and that partition has expired.
    """
    for table in tables:
        for entry in table.inputs:
            if isinstance(entry, Files) and entry.kind == file.kind and tables.readers(table):
                newest = table.every.floor(file.arrival_hour + entry.lookback)
                gone = select(Partition.expired_at).where(
                    Partition.table_name == table.name, Partition.partition == newest, Partition.expired_at.is_not(None)
                )
                if session.scalar(gone) is not None:
                    raise DecisionError(_expired(file, table, newest))


def _expired(file: File, table: Table, partition: datetime) -> str:
    return (
        f"{file.path} arrived in an hour whose rows are gone: {table.name} {table.every.name_of(partition)} has passed "
        f"its retention of {table.keep.days} days. What was built from it stays as it is. Land the file anew under "
        "another name if its rows matter"
    )
