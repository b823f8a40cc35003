"""DuckDB over the lake. Each table of the map is a view of one of its snapshots, and its files are read in place.

Columns are matched by Iceberg's field ids, so that files that are older than a column still fit today's table. A query
reads these files and nothing else, and writes nothing.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import duckdb
from pyiceberg.expressions import AlwaysFalse
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
from feedmill.explore.lake_files import SCHEME, LakeFiles
from feedmill.lake import row_deletes
from feedmill.lake.catalog import Lake
from feedmill.spec import Map, Table
from feedmill.timeline import runs

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


class RowLevelDeletesError(FeedmillError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """Another engine deleted rows of a published partition. The message names the partitions and the restatement."""


@contextmanager
def open_duckdb(files: LakeFiles) -> Iterator[DuckDBPyConnection]:
    """A DuckDB in memory that reads these files and nothing else on this machine or elsewhere; times are UTC."""
    # Large queries spill: to a folder that only we can read, and that is gone afterwards.
    with (
        tempfile.TemporaryDirectory(prefix="feedmill-sql-") as scratch,
        duckdb.connect(":memory:") as connection,
    ):
        connection.register_filesystem(files)
        for setting in (
            "TimeZone='UTC'",
            f"temp_directory={_literal(scratch)}",
            "allow_persistent_secrets=false",
            # Otherwise a name that is no table may be a variable of this program.
            "python_enable_replacements=false",
            f"allowed_directories=['{SCHEME}://']",
            "enable_external_access=false",
            "lock_configuration=true",
        ):
            connection.execute(f"SET {setting}")
        yield connection


def ask(sql: str, tables: Map, lake: Lake, snapshots: Mapping[str, int | None] | None = None) -> Answer:
    """The answer to one SELECT over the published tables.

    Args:
        sql: the query, in DuckDB's dialect. Tables are named ``<schema>.<table>``.
        tables: the map.
        lake: where the tables are.
        snapshots: by table name, the snapshot to read instead of the published one (None: no rows).

    Raises:
        QueryError: the query is not one SELECT, it names an unknown table or a file, or DuckDB cannot run it.
        RowLevelDeletesError: another engine deleted rows of a table that it names.
    """
    _require_select(sql)
    views = [_view(table, lake, snapshots) for table in mentioned(sql, tables)]
    files = LakeFiles(path for view in views for path in view.paths)
    with open_duckdb(files) as connection:
        for schema in sorted({view.table.schema for view in views}):
            connection.execute(f"CREATE SCHEMA {_quoted(schema)}")
        for view in views:
            name = f"{_quoted(view.table.schema)}.{_quoted(view.table.short_name)}"
            connection.execute(f"CREATE VIEW {name} AS {scan(files, view.columns, view.paths)}")
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


def scan(files: LakeFiles, schema: Schema, paths: Sequence[str]) -> str:
    """The SELECT that reads these Parquet files with today's schema. Without files it gives no rows."""
    if not paths:
        columns = ", ".join(f"NULL::{duck_type(f.field_type)} AS {_quoted(f.name)}" for f in schema.fields)
        return f"SELECT {columns} WHERE false"
    fields = ", ".join(
        f"{field.field_id}: {{name: {_literal(field.name)}, type: {_literal(duck_type(field.field_type))}, "
        "default_value: NULL}"
        for field in schema.fields
    )
    names = ", ".join(_literal(files.url(path)) for path in paths)
    return f"SELECT * FROM read_parquet([{names}], schema=MAP {{{fields}}}, hive_partitioning=false)"


def data_files(
    table: Table, iceberg: IcebergTable, snapshot_id: int, lake: Lake, partitions: Iterable[datetime] | None = None
) -> list[str]:
    """The data files of a snapshot, of some partitions or of all.

    Raises:
        RowLevelDeletesError: the table has row-level deletes. Feedmill never writes them, and DuckDB would ignore them.
    """
    wanted = None if partitions is None else set(partitions)
    if wanted is None:
        tasks = list(iceberg.scan(snapshot_id=snapshot_id).plan_files())
    else:
        near = lake.within(table, runs(sorted(wanted), table.every)) if wanted else AlwaysFalse()
        planned = iceberg.scan(row_filter=near, snapshot_id=snapshot_id).plan_files()
        tasks = [task for task in planned if lake.partition_of(table, task.file) in wanted]
    if changed := row_deletes.partitions_of(table, tasks, lake):
        spans = ", ".join(str(span) for span in runs(changed, table.every))
        raise RowLevelDeletesError(
            f"another engine deleted rows of {table.name} in {spans}, and this query would still show them; "
            f"restate what it changed: {row_deletes.restatement(table, changed)}"
        )
    return sorted(task.file.file_path for task in tasks)


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


@dataclass(frozen=True)
class _View:
    """What a table's view shows: the rows of these files, with these columns."""

    table: Table
    columns: Schema
    paths: list[str]


def _view(table: Table, lake: Lake, snapshots: Mapping[str, int | None] | None) -> _View:
    iceberg = lake.load_if_exists(table)
    if iceberg is None:
        return _View(table, lake.ddl(table).schema, [])
    main = iceberg.metadata.snapshot_by_name("main")
    snapshot = main.snapshot_id if main else None
    if snapshots is not None and table.name in snapshots:
        snapshot = snapshots[table.name]
    if snapshot is not None and iceberg.metadata.snapshot_by_id(snapshot) is None:
        raise QueryError(f"snapshot {snapshot} of {table.name} has expired; only the published rows can be read")
    return _View(table, iceberg.schema(), [] if snapshot is None else data_files(table, iceberg, snapshot, lake))


_EXPLAIN = re.compile(r"\s*explain\b\s*(analyze\b|\(\s*(?:analyze|format)\b[^)]*\))?", re.IGNORECASE)


def _require_select(sql: str) -> None:
    try:
        with duckdb.connect(":memory:") as connection:
            statements = connection.extract_statements(sql)
            if len(statements) == 1 and statements[0].type == duckdb.StatementType.EXPLAIN:
                # EXPLAIN ANALYZE runs what it explains.
                statements = connection.extract_statements(_EXPLAIN.sub("", sql, count=1))
    except duckdb.Error as error:
        raise QueryError(_first_lines(error)) from error
    if len(statements) != 1:
        raise QueryError(f"give one statement, not {len(statements)}")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
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


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
