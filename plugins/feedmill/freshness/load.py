"""Reading from the ledger what staleness and the waiting tasks need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from feedmill.freshness.staleness import Facts, Published
from feedmill.ledger.models import File, Partition, Touch
from feedmill.spec import FileKind, Files, Input, Table


def load(session: Session, tables: Iterable[Table]) -> Facts:
    """Everything known about these tables and about what they read."""
    tables = list(tables)
    inputs = [entry for table in tables for entry in table.inputs]
    names = {table.name for table in tables} | {e.table.name for e in inputs if isinstance(e, Input)}
    kinds = {e.kind for e in inputs if isinstance(e, Files)}
    published: defaultdict[str, dict[datetime, Published]] = defaultdict(dict)
    expired: defaultdict[str, set[datetime]] = defaultdict(set)
    # Columns, not objects: of 90 days of hours there are tens of thousands, and the poller reads them in every round.
    known = select(
        Partition.table_name,
        Partition.partition,
        Partition.expired_at,
        Partition.begin,
        Partition.number,
        Partition.identity,
        Partition.rows,
    )
    for row in session.execute(known.where(Partition.table_name.in_(names))).tuples():
        name, partition, expired_at, begin, number, identity, rows = row
        if expired_at is None:
            published[name][partition] = Published(begin, number, identity, rows)
        else:
            expired[name].add(partition)
    files = {kind: _file_numbers(session, kind) for kind in kinds}
    return Facts(published, files, _touches(session, names), expired)


def _file_numbers(session: Session, kind: FileKind) -> dict[datetime, int]:
    query = select(File.arrival_hour, func.max(File.number)).where(File.kind == kind).group_by(File.arrival_hour)
    return dict(session.execute(query).tuples().all())


def _touches(session: Session, names: set[str]) -> dict[str, dict[datetime, dict[datetime, int]]]:
    found: defaultdict[str, defaultdict[datetime, dict[datetime, int]]] = defaultdict(lambda: defaultdict(dict))
    known = select(Touch.table_name, Touch.touched, Touch.partition, Touch.number)
    for name, touched, partition, number in session.execute(known.where(Touch.table_name.in_(names))).tuples():
        found[name][touched][partition] = number
    return {name: dict(touched) for name, touched in found.items()}
