"""Registering landed files (rule 6): once, with an arrival hour that no build has sealed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import ARRAY, Text, any_, delete, exists, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from feedmill.ledger.models import Build, File, Folder, SealedHour
from feedmill.ledger.store import lock_counter
from feedmill.spec import KINDS, FileKind, Files, Table
from feedmill.timeline import HOUR, Range

_AT_ONCE = 5_000
"""Paths of one question: a few hundred kilobytes."""


@dataclass(frozen=True)
class FoundFile:
    """A file as discovery saw it in the landing zone."""

    path: str
    source: str
    kind: FileKind
    folder_hour: datetime | None
    """The arrival hour that its folder names; None where it names none."""
    size: int
    etag: str
    received_at: datetime
    defect: str | None
    long_lines: int = 0
    """How many of its lines are longer than Spark may see."""


def known_paths(session: Session, paths: Iterable[str]) -> set[str]:
    """Those of ``paths`` that are registered already."""
    wanted = list(paths)
    found: set[str] = set()
    for start in range(0, len(wanted), _AT_ONCE):
        some = literal(wanted[start : start + _AT_ONCE], ARRAY(Text))
        found.update(session.scalars(select(File.path).where(File.path == any_(some))))
    return found


def register(session: Session, found: list[FoundFile], now: datetime) -> list[File]:
    """Give each new file an arrival hour and a number; known files stay as they are.

    The counter is locked first, so that no hour is sealed between the check and the registration.
    """
    if not found:
        return []
    counter = lock_counter(session)
    known = known_paths(session, [file.path for file in found])
    sealed = _sealed(session)
    added = []
    for file in sorted(found, key=lambda f: (f.folder_hour or now, f.path)):
        if file.path in known:
            continue
        counter.value += 1
        row = File(
            path=file.path,
            source=file.source,
            kind=file.kind,
            arrival_hour=_arrival_hour(file, sealed, now),
            size=file.size,
            etag=file.etag,
            defect=file.defect,
            long_lines=file.long_lines,
            received_at=file.received_at,
            number=counter.value,
        )
        added.append(row)
    session.add_all(added)
    return added


def _sealed(session: Session) -> Callable[[str, datetime], bool]:
    """Whether an hour of a kind is sealed."""
    ranges = session.execute(select(SealedHour.kind, SealedHour.hour, SealedHour.until)).tuples().all()

    @cache
    def sealed(kind: str, hour: datetime) -> bool:
        return any(start <= hour < end for name, start, end in ranges if name == kind)

    return sealed


def _arrival_hour(file: FoundFile, sealed: Callable[[str, datetime], bool], now: datetime) -> datetime:
    """The hour that the file's folder names if it is still open; otherwise the first open hour from now on."""
    if file.folder_hour is not None and not sealed(file.kind, file.folder_hour):
        return file.folder_hour
    hour = HOUR.floor(now)
    while sealed(file.kind, hour):
        hour += HOUR.length
    return hour


def any_below(session: Session, folder: str) -> bool:
    """Whether a file of this folder (a URL) was ever registered."""
    below = select(File.path).where(File.path.startswith(f"{folder}/", autoescape=True))
    return session.scalars(below.limit(1)).first() is not None


def seal(session: Session, kind: FileKind, hours: Range) -> None:
    """Seal arrival hours; the caller holds the counter's lock."""
    rows = [{"kind": kind, "hour": hour, "until": hour + HOUR.length} for hour in hours.partitions()]
    session.execute(insert(SealedHour).values(rows).on_conflict_do_nothing())


def registered(session: Session, kind: FileKind, start: datetime, end: datetime, upto: int) -> list[File]:
    """The files that arrived in ``[start, end)`` with numbers up to ``upto``, ordered by path."""
    query = (
        select(File)
        .where(File.kind == kind, File.arrival_hour >= start, File.arrival_hour < end, File.number <= upto)
        .order_by(File.path)
    )
    return list(session.scalars(query))


def read_by(session: Session, table: Table, span: Range, upto: int) -> dict[FileKind, list[File]]:
    """By kind, the files that a build of the range reads whose begin is ``upto``; defects and disowned files too."""
    found = {}
    for entry in table.inputs:
        if isinstance(entry, Files):
            start, end = entry.window(span)
            found[entry.kind] = registered(session, entry.kind, start, end, upto)
    return found


def unread(session: Session, tables: Iterable[Table]) -> list[File]:
    """Files that these tables should read and no build has read, neither in its own hours nor in its lookback."""
    entries = [(table, entry) for table in tables for entry in table.inputs if isinstance(entry, Files)]
    found: list[File] = []
    for kind in KINDS:
        readers = [(table, entry) for table, entry in entries if entry.kind == kind]
        if not readers:
            continue
        sealed = exists().where(
            SealedHour.kind == kind, SealedHour.hour <= File.arrival_hour, SealedHour.until > File.arrival_hour
        )
        query = select(File).where(File.kind == kind, ~sealed).order_by(File.arrival_hour, File.path)
        for table, entry in readers:
            in_window = exists().where(
                Build.table_name == table.name,
                Build.range_start <= File.arrival_hour + entry.lookback,
                Build.range_end > File.arrival_hour,
                Build.begin > File.number,
            )
            query = query.where(~in_window)
        found += session.scalars(query)
    return found


def forget(session: Session, paths: Iterable[str], tables: Iterable[Table]) -> None:
    """Remove the registrations of these files (they are gone), except of those that a build has read."""
    # Locked, because a build that begins now would read them.
    lock_counter(session).forgotten += 1
    never = {file.path for file in unread(session, tables)}
    session.execute(delete(File).where(File.path.in_(never & set(paths))))
    # One that was put back just now is new.
    session.execute(update(Folder).values(complete=False))


def find(session: Session, name: str) -> File:
    """The registered file of that URL, or the only one whose URL ends with that path.

    Raises:
        LookupError: there is none, or there are several.
    """
    file = session.get(File, name)
    if file is not None:
        return file
    ends = File.path.endswith(f"/{name.strip('/')}", autoescape=True)
    found = session.scalars(select(File).where(ends).order_by(File.path).limit(2)).all()
    if not found:
        raise LookupError(f"no registered file is called {name}; `feedmill files list` shows the newest ones")
    if len(found) > 1:
        raise LookupError(f"{name} could be {found[0].path} or {found[1].path}; give more of its path")
    return found[0]


def newest(
    session: Session, limit: int, source: str | None = None, hours: tuple[datetime, datetime] | None = None
) -> list[File]:
    """The files that were registered last, newest first; of one source, and of the arrival hours ``[start, end)``."""
    query = select(File).order_by(File.registered_at.desc(), File.path).limit(limit)
    if source is not None:
        query = query.where(File.source == source)
    if hours is not None:
        query = query.where(File.arrival_hour >= hours[0], File.arrival_hour < hours[1])
    return list(session.scalars(query))
