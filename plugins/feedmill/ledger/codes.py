"""What the code identities of builds were made of (rule 7): kept to say which part of a table's code has changed.

No state depends on it, so a rebuilt ledger does without: it names the two identities instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from feedmill.ledger.models import Code


def record(session: Session, table_name: str, identity: str, parts: Mapping[str, str]) -> None:
    """Keep the parts of a table's code: a digest of each, by name."""
    row = insert(Code).values(table_name=table_name, identity=identity, parts=dict(parts))
    session.execute(row.on_conflict_do_nothing())


def parts(session: Session, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Mapping[str, str]]:
    """The parts of these codes, by table name and identity; those that nobody recorded are absent."""
    query = select(Code).where(tuple_(Code.table_name, Code.identity).in_(list(wanted)))
    return {(row.table_name, row.identity): row.parts for row in session.scalars(query)}
