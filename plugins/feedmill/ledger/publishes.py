"""Recording publishes: the number, the early cut-off, the touches (rules 1, 3 and 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.orm import Session

from feedmill.ledger.models import Base, Build, Intent, Partition, Publish, Touch
from feedmill.ledger.store import next_number


@dataclass(frozen=True)
class Moved:
    """A partition that an Iceberg commit moved to ``main``."""

    partition: datetime
    rows: int
    digest: str
    touches: Mapping[datetime, int] | None


def current(session: Session, table_name: str, partitions: Iterable[datetime]) -> dict[datetime, Partition]:
    """The published state of these partitions; those that were never published are absent."""
    query = select(Partition).where(Partition.table_name == table_name, Partition.partition.in_(list(partitions)))
    return {row.partition: row for row in session.scalars(query)}


def write_intent(session: Session, build: Build, partitions: Iterable[datetime]) -> None:
    """Record which partitions the next Iceberg commit will move."""
    session.add(Intent(build_id=build.id, table_name=build.table_name, partitions=[p.isoformat() for p in partitions]))


def open_intents(session: Session, table_name: str) -> list[Intent]:
    """The intents of publishes that did not end: the process died before or after its commit."""
    query = select(Intent).where(Intent.table_name == table_name, Intent.finished_at.is_(None)).order_by(Intent.id)
    return list(session.scalars(query))


def close_intents(session: Session, build_id: str) -> None:
    """Mark the build's intents as finished."""
    session.execute(
        update(Intent).where(Intent.build_id == build_id, Intent.finished_at.is_(None)).values(finished_at=func.now())
    )


def is_recorded(session: Session, build_id: str, partition: datetime) -> bool:
    """Whether the history has this build's publish of the partition."""
    query = select(Publish.build_id).where(Publish.build_id == build_id, Publish.partition == partition)
    return session.execute(query).first() is not None


def record(
    session: Session,
    build: Build,
    moved: Iterable[Moved],
    snapshot_id: int,
    *,
    number: int | None = None,
    at: datetime | None = None,
) -> None:
    """Write the ledger rows of one Iceberg commit.

    All its partitions share one number. If a partition's rows equal the current ones, it keeps its old number, so
    that its readers stay fresh, but takes the newer begin, because it has read what that build read. If a partition's
    current build began later, it stays as it is: that build's commit came after this one and was recorded first.

    ``number`` and ``at`` are for past commits, whose numbers a rebuilt ledger has worked out (rule 10).
    """
    moved = list(moved)
    before = _before(session, build.table_name, [entry.partition for entry in moved])
    moved = [m for m in moved if m.partition not in before or before[m.partition].begin <= build.begin]
    changed = {m.partition for m in moved if m.partition not in before or before[m.partition].digest != m.digest}
    # As late as possible: the counter stays locked from here to the end of the transaction.
    if number is None:
        number = next_number(session) if changed else 0
    states, history = [], []
    for entry in moved:
        is_changed = entry.partition in changed
        both = {
            "table_name": build.table_name,
            "partition": entry.partition,
            "build_id": build.id,
            "number": number if is_changed else before[entry.partition].number,
            "rows": entry.rows,
            "at": at,
        }
        own = {"begin": build.begin, "identity": build.identity, "digest": entry.digest, "expired_at": None}
        states.append({**both, **own})
        history.append({**both, "changed": is_changed, "snapshot_id": snapshot_id})
    if moved:
        session.execute(_STATES, states)
        session.execute(_HISTORY, history)
    _touch(session, build.table_name, [m for m in moved if m.touches is not None and m.partition in changed], number)


@dataclass(frozen=True)
class _Before:
    """What a publish compares itself with."""

    begin: int
    number: int
    digest: str


def _before(session: Session, table_name: str, partitions: list[datetime]) -> dict[datetime, _Before]:
    query = select(Partition.partition, Partition.begin, Partition.number, Partition.digest)
    rows = session.execute(query.where(Partition.table_name == table_name, Partition.partition.in_(partitions)))
    return {partition: _Before(begin, number, digest) for partition, begin, number, digest in rows.tuples()}


def _touch(session: Session, table_name: str, moved: list[Moved], number: int) -> None:
    """Give the publish's number to old and new touches alike: a reader may have gained or lost rows."""
    if not moved:
        return
    session.execute(
        update(Touch)
        .where(Touch.table_name == table_name, Touch.partition.in_([m.partition for m in moved]))
        .values(rows=0, number=number)
    )
    touches = [
        {"table_name": table_name, "partition": m.partition, "touched": touched, "rows": rows, "number": number}
        for m in moved
        for touched, rows in (m.touches or {}).items()
    ]
    if touches:
        session.execute(_TOUCHES, touches)


def _replacing(new: Insert, key: tuple[str, ...], *others: str) -> Insert:
    """Of rows with the same key, the new one's other columns stay."""
    return new.on_conflict_do_update(index_elements=key, set_={name: new.excluded[name] for name in others})


# Made once, and of tables rather than classes: making them anew, and SQLAlchemy's way of bulk inserts of objects, took
# half of the time that a publish spends in the ledger.
_PARTITIONS, _PUBLISHES, _TOUCHED = (Base.metadata.tables[m.__tablename__] for m in (Partition, Publish, Touch))
_AT = func.coalesce(bindparam("at", type_=_PUBLISHES.c.published_at.type), func.now())
_STATES = _replacing(
    insert(_PARTITIONS).values(published_at=_AT),
    ("table_name", "partition"),
    *("build_id", "begin", "number", "identity", "rows", "digest", "published_at", "expired_at"),
)
_HISTORY = insert(_PUBLISHES).values(published_at=_AT).on_conflict_do_nothing()
_TOUCHES = _replacing(insert(_TOUCHED), ("table_name", "partition", "touched"), "rows", "number")
