"""DuckDB over the lake. Each table of the map is a view of one of its snapshots, and its files are read in place.

Columns are matched by Iceberg's field ids, so that files that are older than a column still fit today's table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import fsspec
from pyiceberg.schema import Schema
from pyiceberg.table import Table as IcebergTable
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
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
)

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.lake.catalog import Lake
from feedmill.spec import Map, Table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_TYPES: dict[type[IcebergType], str] = {
    StringType: "VARCHAR",
    LongType: "BIGINT",
    IntegerType: "INTEGER",
    DoubleType: "DOUBLE",
    FloatType: "FLOAT",
    BooleanType: "BOOLEAN",
    DateType: "DATE",
    TimestampType: "TIMESTAMP",
    TimestamptzType: "TIMESTAMP WITH TIME ZONE",
    BinaryType: "BLOB",
}


class QueryError(FeedmillError, code=Exit.USAGE, retry=False, turn=Turn.CALLER):
    """The query cannot be answered. The message says why and, if a table is unknown, which tables exist."""


@dataclass(frozen=True)
class Answer:
    """The rows of a query."""

    columns: list[str]
    types: list[str]
    rows: list[tuple[Any, ...]]


def open_duckdb() -> DuckDBPyConnection:
    """An empty DuckDB in memory that shows times in UTC."""
    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone='UTC'")
    connection.execute("SET autoinstall_known_extensions=false")
    return connection


def ask(sql: str, tables: Map, lake: Lake, snapshots: Mapping[str, int | None] | None = None) -> Answer:
    """The answer to one SELECT over the published tables.

    Args:
        sql: the query, in DuckDB's dialect. Tables are named ``<schema>.<table>``.
        tables: the map.
        lake: where the tables are.
        snapshots: by table name, the snapshot to read instead of the published one (None: no rows).

    Raises:
        QueryError: the query is not one SELECT, it names an unknown table, or DuckDB cannot run it.
    """
    connection = open_duckdb()
    _require_select(connection, sql)
    named = mentioned(sql, tables)
    for schema in sorted({table.schema for table in named}):
        connection.execute(f'CREATE SCHEMA "{schema}"')
    for table in named:
        _view(connection, table, lake, snapshots)
    try:
        cursor = connection.execute(sql)
        description = cursor.description or []
        return Answer([c[0] for c in description], [str(c[1]) for c in description], cursor.fetchall())
    except duckdb.Error as error:
        raise QueryError(_sentence(error, tables)) from error


def mentioned(sql: str, tables: Map) -> list[Table]:
    """The tables whose names are in the query's text. All tables if the query lists tables, such as SHOW TABLES.

    We search the text because it is simple: a view too many costs only milliseconds, and we need no second SQL parser.
    """
    if re.search(r"\b(show|information_schema|duckdb_\w+)\b", sql, re.IGNORECASE):
        return list(tables)
    return [table for table in tables if re.search(_pattern(table), sql, re.IGNORECASE)]


def scan(connection: DuckDBPyConnection, schema: Schema, paths: Sequence[str]) -> str:
    """The SELECT that reads these Parquet files with today's schema. Without files it gives no rows."""
    if not paths:
        columns = ", ".join(f"NULL::{duck_type(f.field_type)} AS {_quoted(f.name)}" for f in schema.fields)
        return f"SELECT {columns} WHERE false"
    fields = ", ".join(
        f"{field.field_id}: {{name: {_literal(field.name)}, type: {_literal(duck_type(field.field_type))}, "
        "default_value: NULL}"
        for field in schema.fields
    )
    files = ", ".join(_literal(_readable(connection, path)) for path in paths)
    return f"SELECT * FROM read_parquet([{files}], schema=MAP {{{fields}}})"


def data_files(iceberg: IcebergTable, snapshot_id: int) -> list[str]:
    """The data files of a snapshot.

    Raises:
        QueryError: the table has row-level deletes. Feedmill never writes them, and DuckDB would ignore them.
    """
    paths = []
    for task in iceberg.scan(snapshot_id=snapshot_id).plan_files():
        if task.delete_files:
            name = ".".join(iceberg.name())
            raise QueryError(f"{name} has row-level deletes: Feedmill does not write them, and this cannot read them")
        paths.append(task.file.file_path)
    return sorted(paths)


def duck_type(kind: IcebergType) -> str:
    """DuckDB's name for an Iceberg type."""
    match kind:
        case ListType():
            return f"{duck_type(kind.element_type)}[]"
        case MapType():
            return f"MAP({duck_type(kind.key_type)}, {duck_type(kind.value_type)})"
        case StructType():
            return f"STRUCT({', '.join(f'{_quoted(f.name)} {duck_type(f.field_type)}' for f in kind.fields)})"
        case DecimalType():
            return f"DECIMAL({kind.precision}, {kind.scale})"
        case other:
            return _TYPES[type(other)]


def _view(connection: DuckDBPyConnection, table: Table, lake: Lake, snapshots: Mapping[str, int | None] | None) -> None:
    iceberg = lake.load_if_exists(table)
    if iceberg is None:
        body = scan(connection, lake.ddl(table).schema, [])
    else:
        main = iceberg.metadata.snapshot_by_name("main")
        snapshot = main.snapshot_id if main else None
        if snapshots is not None and table.name in snapshots:
            snapshot = snapshots[table.name]
        if snapshot is not None and iceberg.metadata.snapshot_by_id(snapshot) is None:
            raise QueryError(f"snapshot {snapshot} of {table.name} has expired; only the published rows can be read")
        body = scan(connection, iceberg.schema(), data_files(iceberg, snapshot) if snapshot is not None else [])
    connection.execute(f"CREATE VIEW {_quoted(table.schema)}.{_quoted(table.short_name)} AS {body}")


def _require_select(connection: DuckDBPyConnection, sql: str) -> None:
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryError(_first_lines(error)) from error
    if len(statements) != 1:
        raise QueryError(f"give one statement, not {len(statements)}")
    kind = statements[0].type
    if kind not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
        raise QueryError(f"only SELECT is possible, not {kind.name}: published tables are changed only by builds")


def _sentence(error: duckdb.Error, tables: Map) -> str:
    text = _first_lines(error)
    if isinstance(error, duckdb.CatalogException) and "able with name" in text:
        wanted = re.search(r"Table with name (\S+)", text)
        short = wanted[1].rpartition(".")[2] if wanted else ""
        meant = [table.name for table in tables if table.short_name == short]
        start = f"there is no table {wanted[1]}" if wanted else text
        hint = f" (did you mean {meant[0]}?)" if meant else ""
        return f"{start}{hint}; the tables are {', '.join(sorted(table.name for table in tables))}"
    return text


def _first_lines(error: duckdb.Error) -> str:
    """DuckDB's message without its excerpt of the query."""
    return " ".join(str(error).split("\n\n")[0].split())


def _pattern(table: Table) -> str:
    return rf'(?<![\w."])"?{re.escape(table.schema)}"?\s*\.\s*"?{re.escape(table.short_name)}\b'


def _readable(connection: DuckDBPyConnection, path: str) -> str:
    """The path as DuckDB opens it. Local paths are plain. Others go through fsspec, which has the credentials."""
    scheme, mark, _ = path.partition(":")
    if not mark or scheme == "file":
        # Spark writes file:/, PyIceberg file:///, and neither escapes what it wrote.
        return "/" + path.removeprefix("file:").lstrip("/") if mark else path
    if scheme not in connection.list_filesystems():
        connection.register_filesystem(fsspec.filesystem(scheme))
    return path


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
