"""A table as its DDL declares it: columns, partitioning, and what one row is."""

from __future__ import annotations

from dataclasses import dataclass

from pyiceberg.schema import Schema
from pyiceberg.types import IcebergType, ListType, MapType, NestedField, StructType

from feedmill.errors import Exit, FeedmillError, Turn


class DdlError(FeedmillError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """A DDL file cannot be used; the message names the file and the column."""


@dataclass(frozen=True)
class Column:
    """A column as the DDL declares it."""

    name: str
    type: IcebergType
    sql_type: str
    """As written in the DDL, for messages."""
    required: bool
    comment: str


@dataclass(frozen=True)
class Ddl:
    """One ``CREATE TABLE``: columns in order, partition columns, and the table's comment (its grain)."""

    name: str
    columns: tuple[Column, ...]
    partitioned_by: tuple[str, ...]
    comment: str

    @property
    def partition_column(self) -> str:
        """The column that says which partition a row belongs to."""
        return self.partitioned_by[0]

    @property
    def schema(self) -> Schema:
        """The Iceberg schema. Its field ids are only valid inside it; a catalog assigns its own."""
        numbers = iter(range(1, 100_000))
        fields = [
            NestedField(next(numbers), c.name, _numbered(c.type, numbers), required=c.required, doc=c.comment)
            for c in self.columns
        ]
        return Schema(*fields)


def _numbered(kind: IcebergType, numbers: object) -> IcebergType:
    number = numbers.__next__  # type: ignore[attr-defined]
    match kind:
        case ListType():
            return ListType(number(), _numbered(kind.element_type, numbers), element_required=kind.element_required)
        case MapType():
            return MapType(
                number(),
                _numbered(kind.key_type, numbers),
                number(),
                _numbered(kind.value_type, numbers),
                value_required=False,
            )
        case StructType():
            return StructType(
                *(NestedField(number(), f.name, _numbered(f.field_type, numbers), required=False) for f in kind.fields)
            )
        case _:
            return kind
