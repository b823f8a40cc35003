"""Recording publishes: the number, the early cut-off, the touches (rules 1, 3 and 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
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
    """Say what the next Iceberg commit is about to move."""
    session.add(Intent(build_id=build.id, table_name=build.table_name, partitions=[p.isoformat() for p in partitions]))


def open_intents(session: Session, table_name: str) -> list[Intent]:
    """Intents whose publish did not end: the process died, before or after its commit."""
    query = select(Intent).where(Intent.table_name == table_name, Intent.finished_at.is_(None)).order_by(Intent.id)
    return list(session.scalars(query))


def close_intents(session: Session, build_id: str) -> None:
    """The build's intents are settled."""
    session.execute(
        update(Intent).where(Intent.build_id == build_id, Intent.finished_at.is_(None)).values(finished_at=func.now())
    )


def is_recorded(session: Session, build_id: str, partition: datetime) -> bool:
    """Whether this build's publish of the partition stands in the history."""
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

    All its partitions share one number. A partition whose rows equal the current ones keeps its old number, so
    that its readers stay fresh, but takes the newer begin: it has read what that build read. A partition whose
    current build began later is left as it is: that build's commit came after this one, and was recorded before it.

    ``number`` and ``at`` are for a commit of the past, whose number a rebuilt ledger has worked out (rule 10).
    """
    moved = list(moved)
    before = current(session, build.table_name, [entry.partition for entry in moved])
    moved = [m for m in moved if m.partition not in before or before[m.partition].begin <= build.begin]
    changed = {m.partition for m in moved if m.partition not in before or before[m.partition].digest != m.digest}
    at = at or session.execute(select(func.now())).scalar_one()
    # Last of all that waits: the counter stays locked from here to the commit, for a few statements in all.
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
            "published_at": at,
        }
        own = {"begin": build.begin, "identity": build.identity, "digest": entry.digest, "expired_at": None}
        states.append({**both, **own})
        history.append({**both, "changed": is_changed, "snapshot_id": snapshot_id})
    _upsert(session, Partition, ("table_name", "partition"), states)
    if history:
        session.execute(insert(Publish).on_conflict_do_nothing(), history)
    _touch(session, build.table_name, [m for m in moved if m.touches is not None and m.partition in changed], number)


def _touch(session: Session, table_name: str, moved: list[Moved], number: int) -> None:
    """Old touches and new ones together carry the publish's number: a reader may have gained or lost rows."""
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
    _upsert(session, Touch, ("table_name", "partition", "touched"), touches)


def _upsert(session: Session, model: type[Base], key: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """Write rows that have the same columns, in place of those that have their key."""
    if not rows:
        return
    new = insert(model)
    others = {name: new.excluded[name] for name in rows[0] if name not in key}
    session.execute(new.on_conflict_do_update(index_elements=key, set_=others), rows)
