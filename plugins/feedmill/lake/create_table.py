"""Reading one ``CREATE TABLE`` statement of Spark SQL with sqlglot."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import sqlglot
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestamptzType,
)
from sqlglot import exp

from feedmill.lake.schema import Column, Ddl, DdlError

_PRIMITIVES: dict[exp.DType, IcebergType] = {
    exp.DType.TEXT: StringType(),
    exp.DType.VARCHAR: StringType(),
    exp.DType.BIGINT: LongType(),
    exp.DType.INT: IntegerType(),
    exp.DType.DOUBLE: DoubleType(),
    exp.DType.FLOAT: FloatType(),
    exp.DType.BOOLEAN: BooleanType(),
    exp.DType.DATE: DateType(),
    # Spark's TIMESTAMP is an instant; sqlglot's Spark dialect names it so.
    exp.DType.TIMESTAMPTZ: TimestamptzType(),
    exp.DType.BINARY: BinaryType(),
    exp.DType.VARBINARY: BinaryType(),
}


@cache
def parse(path: Path, text: str) -> Ddl:
    """The table that ``text`` creates; ``path`` is for the errors.

    Raises:
        DdlError: it is not one ``CREATE TABLE``, or lacks a comment or a partition column.
    """
    try:
        statements = [s for s in sqlglot.parse(text, read="spark") if s is not None]
    except sqlglot.errors.ParseError as error:
        raise DdlError(f"{path} is not Spark SQL: {str(error).splitlines()[0]}") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Create) or statements[0].kind != "TABLE":
        raise DdlError(f"{path} must contain exactly one CREATE TABLE statement")
    return _ddl(path, statements[0])


def _ddl(path: Path, create: exp.Create) -> Ddl:
    schema = create.this
    if not isinstance(schema, exp.Schema):
        raise DdlError(f"{path} declares no columns")
    columns = tuple(_column(path, node) for node in schema.expressions if isinstance(node, exp.ColumnDef))
    by = create.find(exp.PartitionedByProperty)
    partitioned_by = tuple(node.name for node in by.this.expressions) if by else ()
    comment = create.find(exp.SchemaCommentProperty)
    names = {column.name for column in columns}
    if not partitioned_by or not set(partitioned_by) <= names:
        raise DdlError(f"{path} needs PARTITIONED BY with columns of the table; the first one must be the hour or day")
    if comment is None or not comment.name.strip():
        raise DdlError(f"{path} has no COMMENT on the table; add one that says what one row is")
    return Ddl(schema.this.sql(dialect="spark").replace("`", ""), columns, partitioned_by, comment.name)


def _column(path: Path, node: exp.ColumnDef) -> Column:
    comment = ""
    required = False
    for constraint in node.constraints:
        if isinstance(constraint.kind, exp.CommentColumnConstraint):
            comment = constraint.kind.name
        if isinstance(constraint.kind, exp.NotNullColumnConstraint):
            required = True
    if not comment.strip():
        raise DdlError(f"{path}: column {node.name} has no COMMENT; add one")
    kind = node.kind
    if not isinstance(kind, exp.DataType):
        raise DdlError(f"{path}: column {node.name} has no type")
    try:
        return Column(node.name, _type(kind), kind.sql(dialect="spark"), required, comment)
    except (KeyError, IndexError, ValueError):  # not in the list, or without its element type or precision
        raise DdlError(
            f"{path}: column {node.name} has the type {kind.sql(dialect='spark')}, which is not supported"
        ) from None


def _type(kind: exp.DataType) -> IcebergType:
    """The Iceberg type; nested ids are placeholders, :func:`_numbered` gives real ones."""
    match kind.this:
        case exp.DType.DECIMAL:
            precision, scale = (int(node.name) for node in kind.expressions)
            return DecimalType(precision, scale)
        case exp.DType.ARRAY:
            return ListType(-1, _type(kind.expressions[0]), element_required=False)
        case exp.DType.MAP:
            return MapType(-1, _type(kind.expressions[0]), -1, _type(kind.expressions[1]), value_required=False)
        case exp.DType.STRUCT:
            return StructType(*(NestedField(-1, f.name, _type(f.kind), required=False) for f in kind.expressions))
        case other:
            return _PRIMITIVES[other]
