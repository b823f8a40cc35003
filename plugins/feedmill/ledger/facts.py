"""Reading from the ledger what staleness and the waiting tasks need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from feedmill.ledger.models import File, Partition, Touch
from feedmill.ledger.staleness import Facts, Published
from feedmill.spec import FileKind, Files, Input, Table


def load(session: Session, tables: Iterable[Table]) -> Facts:
    """Everything known about these tables and about what they read."""
    tables = list(tables)
    inputs = [entry for table in tables for entry in table.inputs]
    names = {table.name for table in tables} | {e.table.name for e in inputs if isinstance(e, Input)}
    kinds = {e.kind for e in inputs if isinstance(e, Files)}
    published: defaultdict[str, dict[datetime, Published]] = defaultdict(dict)
    expired: defaultdict[str, set[datetime]] = defaultdict(set)
    for row in session.scalars(select(Partition).where(Partition.table_name.in_(names))):
        if row.expired_at is None:
            published[row.table_name][row.partition] = Published(row.begin, row.number, row.identity, row.rows)
        else:
            expired[row.table_name].add(row.partition)
    files = {kind: _file_numbers(session, kind) for kind in kinds}
    return Facts(published, files, _touches(session, names), expired)


def _file_numbers(session: Session, kind: FileKind) -> dict[datetime, int]:
    query = select(File.arrival_hour, func.max(File.number)).where(File.kind == kind).group_by(File.arrival_hour)
    return dict(session.execute(query).tuples().all())


def _touches(session: Session, names: set[str]) -> dict[str, dict[datetime, dict[datetime, int]]]:
    found: defaultdict[str, defaultdict[datetime, dict[datetime, int]]] = defaultdict(lambda: defaultdict(dict))
    for row in session.scalars(select(Touch).where(Touch.table_name.in_(names))):
        found[row.table_name][row.touched][row.partition] = row.number
    return {name: dict(touched) for name, touched in found.items()}
