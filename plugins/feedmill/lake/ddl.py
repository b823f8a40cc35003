"""The DDL under ``include/sql``: read, turned into an Iceberg schema, and compared with what is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pyiceberg.schema import Schema
from pyiceberg.types import IcebergType, ListType, MapType, StructType

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.lake.schema import Column, Ddl, DdlError


class IncompatibleError(FeedmillError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """The DDL asks for a change that could lose rows, so a person must decide; the message has the statement."""


def read(path: Path) -> Ddl:
    """Read a DDL file; parsed again only when it has changed.

    Raises:
        DdlError: the file is missing, is not one ``CREATE TABLE``, or lacks a comment or a partition column.
    """
    # Imported here, because importing sqlglot takes a third of a second, and reading published tables does not need it.
    from feedmill.lake.create_table import parse

    try:
        return parse(path, path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DdlError(f"{path} is missing; every table needs a DDL file there") from None


@dataclass(frozen=True)
class Evolution:
    """The changes that bring a table to what its DDL says; only changes that are safe."""

    add: tuple[Column, ...]
    comments: tuple[tuple[str, str], ...]
    """Column name and new comment."""
    table_comment: str | None

    def __bool__(self) -> bool:
        return bool(self.add or self.comments or self.table_comment is not None)


def evolution(ddl: Ddl, schema: Schema, partitioned_by: tuple[str, ...], comment: str) -> Evolution:
    """Compare a DDL with the table as it is.

    Raises:
        IncompatibleError: a column was dropped, retyped or tightened, or the partitioning changed. The message
            has the statement that would do it, for a person to decide.
    """
    existing = {field.name: field for field in schema.fields}
    declared = {column.name: column for column in ddl.columns}
    for name in existing.keys() - declared.keys():
        _refuse(ddl, f"column {name} is gone from the DDL", f"ALTER TABLE {ddl.name} DROP COLUMN {name}")
    if partitioned_by != ddl.partitioned_by:
        _refuse(
            ddl,
            f"it is partitioned by {', '.join(partitioned_by)}, the DDL says {', '.join(ddl.partitioned_by)}",
            f"DROP TABLE {ddl.name}",
        )
    comments = []
    for name, column in declared.items():
        field = existing.get(name)
        if field is None:
            if column.required:
                _refuse(
                    ddl,
                    f"the new column {name} is NOT NULL, but existing rows have no value for it",
                    f"ALTER TABLE {ddl.name} ADD COLUMN {name} {column.sql_type}",
                )
            continue
        if str(_bare(field.field_type)) != str(_bare(column.type)):
            _refuse(
                ddl,
                f"column {name} is {field.field_type}, the DDL says {column.sql_type}",
                f"ALTER TABLE {ddl.name} ALTER COLUMN {name} TYPE {column.sql_type}",
            )
        if field.required != column.required:
            change = "SET" if column.required else "DROP"
            _refuse(
                ddl,
                f"column {name} changed NOT NULL",
                f"ALTER TABLE {ddl.name} ALTER COLUMN {name} {change} NOT NULL",
            )
        if (field.doc or "") != column.comment:
            comments.append((name, column.comment))
    added = tuple(column for name, column in declared.items() if name not in existing)
    return Evolution(added, tuple(comments), ddl.comment if ddl.comment != comment else None)


def _refuse(ddl: Ddl, what: str, statement: str) -> None:
    raise IncompatibleError(
        f"{ddl.name} cannot be changed automatically to match its DDL: {what}. The table's maintainer must "
        f"decide: change the DDL back, or change the table; the statement would be: {statement}"
    )


def _bare(kind: IcebergType) -> str:
    """The type without field ids, which differ between a DDL and a table."""
    match kind:
        case ListType():
            return f"list<{_bare(kind.element_type)}>"
        case MapType():
            return f"map<{_bare(kind.key_type)},{_bare(kind.value_type)}>"
        case StructType():
            return "struct<" + ",".join(f"{f.name}:{_bare(f.field_type)}" for f in kind.fields) + ">"
        case _:
            return str(kind)
