"""Counting what an account needs: rows of files by our own reading, published rows by DuckDB, states by the ledger.

Nothing here uses Spark: an account that asked the reader of the files how many rows there are would explain nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import fsspec
from sqlalchemy import select

from feedmill.explore.account import Account, EventHourCount, FileCount
from feedmill.explore.lake_files import LakeFiles
from feedmill.explore.sql import data_files, open_duckdb, scan
from feedmill.flow.publish import unrecorded
from feedmill.freshness.load import picture
from feedmill.freshness.series import moment_of, place_of
from feedmill.freshness.staleness import frozen_because
from feedmill.freshness.states import Picture
from feedmill.landing.discover import verify
from feedmill.ledger.models import Counter, File
from feedmill.spec import Source, Table
from feedmill.timeline import HOUR

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from pyiceberg.schema import Schema

    from feedmill.deployment import Deployment

LANDED, REJECTED, CLEAN = "events.landed", "events.rejected", "events.clean"

_CHUNK = 1 << 20
_BLANK = b" \t\r"

_ATTEMPTS = 5
"""A publish may come between the looks at the ledger, at Iceberg and at the files; then we look again."""


def account(hour: datetime, deployment: Deployment, now: datetime, path: str | None = None) -> Account:
    """Where the rows are of the files that arrived in the hour; of one file if ``path`` is its URL.

    Raises:
        LandingError: a registered file is gone, or is not what it was.
        RowLevelDeletesError: another engine deleted rows of these partitions.
    """
    for _ in range(_ATTEMPTS):
        before = _moment(deployment)
        found = _account(hour, deployment, now, path)
        if not found.unexplained or _moment(deployment) == before:
            break
    return found


def rows_in(url: str, source: Source) -> int:
    """The rows of a file as the contract counts them: lines that are not blank, without the header; or Parquet's rows.

    In bounded memory: a line may be as long as the file.
    """
    fs, path = fsspec.core.url_to_fs(url)
    with fs.open(path, "rb") as stream:
        if source.layout == "parquet":
            import pyarrow.parquet as pq

            rows: int = pq.ParquetFile(stream).metadata.num_rows
            return rows
        return _lines(_unpacked(stream) if path.endswith(".gz") else _chunks(stream), source.header.encode())


def _lines(chunks: Iterable[bytes], header: bytes) -> int:
    count, is_blank, is_first, start = 0, True, True, b""
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            is_blank = is_blank and not part.strip(_BLANK)
            if is_first:
                is_header = bool(header) and (start + part).startswith(header)
                is_first = False
            else:
                is_header = False
            count += not is_blank and not is_header
            is_blank = True
        is_blank = is_blank and not rest.strip(_BLANK)
        if is_first:
            start = (start + rest)[: len(header)]
    return count + (not is_blank and not (is_first and bool(header) and start.startswith(header)))


def _chunks(stream: Any) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


def _unpacked(stream: Any) -> Iterator[bytes]:
    """The contents of a gzip, a megabyte at most at a time; it may be several in a row."""
    decoder = zlib.decompressobj(wbits=31)
    for packed in _chunks(stream):
        left, more = packed, True
        while more:
            unpacked = decoder.decompress(left, _CHUNK)
            yield unpacked
            if decoder.eof:
                left, decoder = decoder.unused_data, zlib.decompressobj(wbits=31)
                more = bool(left)
            else:
                # A full chunk may not be all that the decoder has.
                left = decoder.unconsumed_tail
                more = bool(left) or len(unpacked) == _CHUNK


@dataclass(frozen=True)
class _Tables:
    landed: Table
    rejected: Table
    clean: Table


def _moment(deployment: Deployment) -> int:
    """The last number that the ledger gave."""
    with deployment.ledger.transaction() as session:
        return session.scalars(select(Counter.value)).one()


def _account(hour: datetime, deployment: Deployment, now: datetime, path: str | None) -> Account:
    tables = _Tables(*(deployment.tables[name] for name in (LANDED, REJECTED, CLEAN)))
    with deployment.ledger.transaction() as session:
        known = picture(session, [tables.landed, tables.rejected, tables.clean], {}, now)
        query = select(File).where(File.arrival_hour == hour).order_by(File.kind, File.path)
        files = list(session.scalars(query if path is None else query.where(File.path == path)))
        is_recorded = not unrecorded(session, tables.landed, deployment.lake.load_if_exists(tables.landed))
    verify(files)
    numbers = _touches(known, tables, hour)
    views = [
        _View.of(deployment, tables.landed, [hour]),
        _View.of(deployment, tables.rejected, [hour]),
        _View.of(deployment, tables.clean, list(numbers)),
    ]
    lake_files = LakeFiles(path for view in views for path in view.paths)
    with open_duckdb(lake_files) as connection:
        for view in views:
            connection.execute(f"CREATE VIEW {view.name} AS {scan(lake_files, view.columns, view.paths)}")
        return Account(
            hour,
            _files(connection, files, tables, deployment, known, path),
            _events(connection, hour, numbers, is_recorded, tables, known, path),
        )


@dataclass(frozen=True)
class _View:
    """Some published partitions of a table."""

    name: str
    columns: Schema
    paths: list[str]

    @classmethod
    def of(cls, deployment: Deployment, table: Table, partitions: list[datetime]) -> _View:
        lake = deployment.lake
        iceberg = lake.load_if_exists(table)
        if iceberg is None:
            return cls(table.short_name, lake.ddl(table).schema, [])
        head = iceberg.metadata.snapshot_by_name("main")
        paths = [] if head is None else data_files(table, iceberg, head.snapshot_id, lake, partitions)
        return cls(table.short_name, iceberg.schema(), paths)


def _files(
    connection: DuckDBPyConnection,
    files: Iterable[File],
    tables: _Tables,
    deployment: Deployment,
    known: Picture,
    path: str | None,
) -> list[FileCount]:
    landed = _by_file(connection, "SELECT source_file, count(*) FROM landed GROUP BY 1")
    rejected = _by_file(connection, "SELECT source_file, count(*) FROM rejected GROUP BY 1")
    whole = _by_file(connection, "SELECT source_file, count(*) FROM rejected WHERE line IS NULL GROUP BY 1")
    counts, registered = [], set()
    for file in files:
        registered.add(file.path)
        readers = (tables.landed, tables.rejected) if file.kind == "events" else (tables.rejected,)
        reasons = [why for table in readers if (why := _standing(known, table, file.arrival_hour, file.number))]
        is_one = file.not_read is not None or file.path in whole
        rows = 1 if is_one else rows_in(file.path, deployment.sources[file.source])
        bad = rejected.get(file.path, 0)
        good = landed.get(file.path, 0) if file.kind == "events" else (0 if reasons else max(0, rows - bad))
        counts.append(FileCount(file.path, file.source, file.kind, rows, good, bad, "; ".join(reasons) or None))
    if path is None:
        strangers = sorted((landed.keys() | rejected.keys()) - registered)
        counts += [FileCount(one, "", "events", 0, landed.get(one, 0), rejected.get(one, 0), None) for one in strangers]
    return counts


def _by_file(connection: DuckDBPyConnection, query: str) -> dict[str, int]:
    return dict(connection.execute(query).fetchall())


_EVENTS = """
WITH mine AS (
    SELECT arrival_hour, event_hour, event_id, source_file,
        row_number() OVER (PARTITION BY event_hour, event_id ORDER BY received_at, source_file, line) = 1 AS is_first
    FROM landed
), kept AS (
    SELECT hour, event_id, min(arrival_hour) AS arrival_hour FROM clean GROUP BY ALL
), joined AS (
    SELECT mine.*, kept.event_id IS NOT NULL AS is_there,
        coalesce(kept.arrival_hour = mine.arrival_hour AND is_first, false) AS is_kept
    FROM mine LEFT JOIN kept ON kept.hour = mine.event_hour AND kept.event_id = mine.event_id
), counted AS (
    SELECT event_hour AS hour, count(*) AS landed, count(*) FILTER (is_kept) AS clean,
        count(*) FILTER (is_there AND NOT is_kept) AS duplicates
    FROM joined WHERE $path IS NULL OR source_file = $path GROUP BY 1
), strange AS (
    SELECT hour, count(*) AS surplus
    FROM kept ANTI JOIN mine ON kept.hour = mine.event_hour AND kept.event_id = mine.event_id
    WHERE arrival_hour = $arrival GROUP BY 1
)
SELECT hour, landed, clean, duplicates, coalesce(surplus, 0) FROM counted LEFT JOIN strange USING (hour) ORDER BY hour
"""


def _events(
    connection: DuckDBPyConnection,
    arrival: datetime,
    numbers: Mapping[datetime, int],
    is_recorded: bool,
    tables: _Tables,
    known: Picture,
    path: str | None,
) -> list[EventHourCount]:
    found = []
    rows = connection.execute(_EVENTS, {"path": path, "arrival": arrival}).fetchall()
    for moment, landed, clean, duplicates, surplus in rows:
        hour = moment.astimezone(UTC)
        if hour in numbers or is_recorded:
            because = _standing(known, tables.clean, hour, numbers.get(hour, 0))
        else:
            because = f"a publish of {LANDED} is not recorded yet; `feedmill doctor --mend` records it"
        found.append(EventHourCount(hour, landed, clean, duplicates, surplus if path is None else 0, because))
    return found


def _touches(known: Picture, tables: _Tables, arrival: datetime) -> dict[datetime, int]:
    """The event hours for which the arrival hour has rows, or had; and the number of the publish that said so."""
    touches = known.columns.touches.get(tables.landed.name)
    if touches is None:
        return {}
    mine = touches.arrival == place_of(arrival, HOUR)
    found = zip(touches.touched[mine].tolist(), touches.number[mine].tolist(), strict=True)
    return {moment_of(place, HOUR): number for place, number in found}


def _standing(known: Picture, table: Table, partition: datetime, number: int) -> str | None:
    """Why the table's published rows may lack what carries this number; None: a build has read it."""
    status, name = known.status(table), f"{table.name} {table.every.name_of(partition)}"
    series = known.columns.published.get(table.name)
    published = series.published_at(place_of(partition, table.every)) if series else None
    if published is not None and number <= published.begin:
        return None
    if status.is_expired(partition):
        return f"{name} has expired: it was kept for {table.keep.days} days"
    if status.states(partition):
        cell = status.cell(partition)
        return f"{name} is {cell.state.value}{f': {cell.why}' if cell.why else ''}"
    if partition + table.every.length > known.now:
        return f"{name} has not ended"
    gone = frozen_because(table, partition, known.facts_of(table, partition))
    if gone is not None:
        return f"{name} was never built, and needs {gone}, which has expired"
    if partition + table.every.length + table.keep <= known.now:
        return f"{name} was never built, and is older than the {table.keep.days} days that it would be kept"
    return f"{name} was never built"
