"""Reading the facts: of a few tables as they are needed, or of the whole map, and then only what changed.

Every row that a state depends on carries a *change number*: the id of the transaction that wrote it last, set by a
trigger. Transactions end in another order than they begin, so a look does not ask for what is larger than the largest
it has seen. It asks for what is not smaller than the oldest transaction that was still at work at the last look.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from sqlalchemy import Select, func, select, text
from sqlalchemy.orm import Session, aliased

from feedmill.freshness.code import Identity
from feedmill.freshness.facts import AirflowFacts, Facts, Held, Published, Try
from feedmill.freshness.series import Columns, Ints, Numbers, Series, Touches
from feedmill.freshness.states import Picture, upstream
from feedmill.ledger import codes
from feedmill.ledger.claims import alive
from feedmill.ledger.models import Acceptance, Build, Claim, Counter, File, Partition, Touch, Verdict
from feedmill.project import default_since
from feedmill.spec import FileKind, Files, Input, Table
from feedmill.timeline import HOUR, Range

UNDONE = ("failed", "interrupted")
"""States of a build that has ended without a result."""


def load(session: Session, tables: Iterable[Table]) -> Facts:
    """What is known about these tables and about what they read: what a build, or who waits, asks."""
    tables = list(tables)
    inputs = [entry for table in tables for entry in table.inputs]
    names = {table.name for table in tables} | {e.table.name for e in inputs if isinstance(e, Input)}
    kinds = {e.kind for e in inputs if isinstance(e, Files)}
    published: defaultdict[str, dict[datetime, Published]] = defaultdict(dict)
    expired: defaultdict[str, set[datetime]] = defaultdict(set)
    # Columns, not objects: 90 days of hours are tens of thousands of rows, and the poller reads them in every round.
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
    files = {kind: dict(session.execute(_file_numbers(kind)).tuples().all()) for kind in kinds}
    return Facts(published, files, _touches(session, names), expired, default_since())


def picture(
    session: Session,
    tables: Iterable[Table],
    identities: Mapping[str, str],
    now: datetime,
    airflow: AirflowFacts | None = None,
    without: str | None = None,
) -> Picture:
    """The states of these tables and of everything that they read, from one look at the ledger.

    ``without`` names a build that has published nothing: the states are as if it had never begun.
    """
    return Look(tables, without).again(session, identities, now, airflow)


@dataclass
class Look:
    """The facts of a map, kept in memory: the first look reads everything, each later one what changed.

    Not for several threads at once.
    """

    tables: Iterable[Table]
    without: str | None = None
    """A build that is left out, as if it had never begun."""
    _columns: Columns = field(default_factory=Columns)
    _held: dict[str, dict[datetime, Held]] = field(default_factory=dict)
    _tries: dict[str, list[Try]] = field(default_factory=dict)
    _codes: dict[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    _last: Picture | None = None
    _ledger: tuple[Any, ...] = ()
    """Which ledger was looked at; another one is read anew."""
    _change: int = 0
    """The oldest transaction that was at work at the last look."""

    def __post_init__(self) -> None:
        self._by_name = {table.name: table for table in upstream(self.tables)}
        inputs = [entry for table in self._by_name.values() for entry in table.inputs]
        self._kinds = sorted({entry.kind for entry in inputs if isinstance(entry, Files)})
        self._arrivals = {entry.table.name for entry in inputs if isinstance(entry, Input) and entry.by == "touches"}

    def again(
        self, session: Session, identities: Mapping[str, str], now: datetime, airflow: AirflowFacts | None = None
    ) -> Picture:
        """The picture as the ledger is now. The transaction must be a new one: it is made one of a single snapshot."""
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        ledger, change = _moment(session)
        if ledger != self._ledger or change < self._change:
            self._columns = Columns(since=default_since())
            self._last, self._change = None, 0
        changed = self._read(session, self._change)
        self._read_codes(session, identities)
        building, dead = _claims(session, self._by_name, self.without)
        tries = {name: [*self._tries.get(name, ()), *dead.get(name, ())] for name in self._tries.keys() | dead.keys()}
        made = Picture(
            self._by_name,
            self._columns,
            dict(self._held),
            building,
            dict(identities),
            tries,
            airflow,
            now,
            dict(self._codes),
        )
        if self._last is not None:
            made.keep(self._last, changed | made.differing(self._last))
        self._last, self._ledger, self._change = made, ledger, change
        return made

    def _read(self, session: Session, change: int) -> set[str]:
        """Bring the facts up to date; the names of the tables and kinds that changed."""
        names = list(self._by_name)
        changed = self._partitions(session, names, change)
        changed |= self._files(session, change)
        stirred = changed & self._by_name.keys() | _stirred(session, names, change)
        first = change == 0
        for known in (self._held, self._tries):
            for name in names if first else stirred:
                known.pop(name, None)
        if first or stirred:
            wanted = names if first else sorted(stirred)
            self._held.update(held(session, wanted, self.without))
            self._tries.update(self._failures(session, wanted))
        return changed | stirred

    def _read_codes(self, session: Session, identities: Mapping[str, str]) -> None:
        """Learn what today's codes are made of, and the others that made published rows."""
        wanted = set()
        for name, today in identities.items():
            others = set(series.codes) - {today} if (series := self._columns.published.get(name)) else set()
            wanted |= {(name, code) for code in ({*others, today} if others else ())}
            if isinstance(today, Identity):
                self._codes[name, today] = today.parts
        if missing := wanted - self._codes.keys():
            self._codes.update(codes.parts(session, missing))

    def _partitions(self, session: Session, names: list[str], change: int) -> set[str]:
        rows = _copy(
            session,
            "SELECT table_name, extract(epoch FROM partition)::bigint, begin, number, rows, identity, "
            "(expired_at IS NOT NULL)::int FROM partitions WHERE table_name = ANY(%(names)s) AND change >= %(change)s",
            {"names": names, "change": change},
            {"name": _NAME, "at": pa.int64(), "begin": pa.int64(), "number": pa.int64(), "rows": pa.int64()}
            | {"identity": _NAME, "expired": pa.int64()},
        )
        changed = set()
        identities = [str(one) for one in rows["identity"].dictionary.to_pylist()]
        for name, mine in _by_table(rows):
            series = self._columns.published.setdefault(name, Series())
            used, mine_in_used = np.unique(rows["identity"].indices[mine], return_inverse=True)
            codes = np.array([series.code(identities[place]) for place in used], np.int64)
            places = rows["at"][mine] // _length(self._by_name[name])
            series.put(
                places,
                rows["begin"][mine],
                rows["number"][mine],
                rows["rows"][mine],
                codes[mine_in_used],
                rows["expired"][mine] == 1,
            )
            changed.add(name)
            if name in self._arrivals:
                # Touches change with the partition that says so, and only with it.
                self._touched(session, name, places if change else None)
        return changed

    def _touched(self, session: Session, name: str, places: Ints | None) -> None:
        length = _length(self._by_name[name])
        only = "" if places is None else " AND extract(epoch FROM partition)::bigint = ANY(%(at)s)"
        rows = _copy(
            session,
            "SELECT extract(epoch FROM touched)::bigint, extract(epoch FROM partition)::bigint, number "
            f"FROM touches WHERE table_name = %(name)s{only}",
            {"name": name, "at": [] if places is None else [int(place) * length for place in places]},
            {"touched": pa.int64(), "arrival": pa.int64(), "number": pa.int64()},
        )
        known = self._columns.touches.setdefault(name, Touches())
        gone = known.arrival if places is None else places
        known.replace(gone, rows["touched"] // length, rows["arrival"] // length, rows["number"])

    def _files(self, session: Session, change: int) -> set[str]:
        changed: set[str] = set()
        for kind in self._kinds:
            # Of an hour with a new file, all files: the largest number may have been one that is forgotten.
            hours = select(File.arrival_hour).where(File.kind == kind, File.change >= change)
            query = _file_numbers(kind).where(File.arrival_hour.in_(hours)) if change else _file_numbers(kind)
            found = session.execute(query).all()
            numbers = self._columns.files.setdefault(kind, Numbers())
            places = np.array([int(hour.timestamp()) // 3600 for hour, _ in found], np.int64)
            numbers.put(places, np.array([number for _, number in found], np.int64))
            changed |= {kind} if found else set()
        return changed

    def _failures(self, session: Session, names: list[str]) -> dict[str, list[Try]]:
        """Builds that ended without a result and are the newest of a partition, and what was built after them."""
        undone = select(Build).where(Build.table_name.in_(names), Build.state.in_(UNDONE))
        failing = session.scalars(undone.where(Build.id.is_distinct_from(self.without))).all()
        open_ = [build for build in failing if self._is_newest_somewhere(build)]
        if not open_:
            return {}
        older = aliased(Build)
        later = (
            select(Build)
            .join(older, older.table_name == Build.table_name)
            .where(
                older.id.in_([build.id for build in open_]),
                Build.range_start < older.range_end,
                Build.range_end > older.range_start,
                Build.begin > older.begin,
                Build.state == "built",
                Build.id.is_distinct_from(self.without),
            )
        )
        found: defaultdict[str, list[Try]] = defaultdict(list)
        for build in {build.id: build for build in [*open_, *session.scalars(later)]}.values():
            table = self._by_name[build.table_name]
            found[table.name].append(_try(build, table, _ended(build), build.finished_at))
        return dict(found)

    def _is_newest_somewhere(self, build: Build) -> bool:
        series, table = self._columns.published.get(build.table_name), self._by_name[build.table_name]
        length = _length(table)
        low, high = int(build.range_start.timestamp()) // length, int(build.range_end.timestamp()) // length
        return series is None or bool((series.begin.within(low, high) < build.begin).any())


def held(session: Session, names: Iterable[str], without: str | None = None) -> dict[str, dict[datetime, Held]]:
    """By table and partition: its last checked build failed, and neither it, accepted, nor a later one is published.

    The build ``without`` is left out.
    """
    published, newer, newer_verdict = aliased(Partition), aliased(Build), aliased(Verdict)
    later = select(published.build_id).where(
        published.table_name == Build.table_name,
        published.partition == Verdict.partition,
        published.begin > Build.begin,
    )
    checked_later = (
        select(newer.id)
        .join(newer_verdict, newer_verdict.build_id == newer.id)
        .where(
            newer.table_name == Build.table_name,
            newer.range_start <= Verdict.partition,
            newer.range_end > Verdict.partition,
            newer.begin > Build.begin,
            newer.state == "built",
            newer.id.is_distinct_from(without),
            newer_verdict.partition == Verdict.partition,
        )
    )
    # An accept publishes at once; killed in between, it has helped no reader.
    accepted = (
        select(Acceptance.build_id)
        .join(
            Partition,
            (Partition.build_id == Acceptance.build_id) & (Partition.partition == Acceptance.partition),
        )
        .where(
            Acceptance.build_id == Build.id,
            Acceptance.partition == Verdict.partition,
            Acceptance.snapshot_id == Build.snapshot_id,
        )
    )
    query = (
        select(
            Build.id,
            Build.table_name,
            Build.begin,
            Build.owner,
            Verdict.partition,
            Verdict.findings,
            Verdict.judged_at,
        )
        .join(Verdict, Verdict.build_id == Build.id)
        .where(
            Build.table_name.in_(list(names)),
            Build.state == "built",
            Build.id.is_distinct_from(without),
            ~Verdict.passed,
            ~later.exists(),
            ~checked_later.exists(),
            ~accepted.exists(),
        )
    )
    found: defaultdict[str, dict[datetime, Held]] = defaultdict(dict)
    for build_id, name, begin, owner, partition, findings, judged_at in session.execute(query).tuples():
        critical: dict[str, Any] = next((one for one in findings if one.get("severity") == "critical"), {})
        message, expectation = critical.get("message", "its page says why"), critical.get("expectation", "")
        found[name][partition] = Held(build_id, message, begin, expectation, judged_at, owner)
    return dict(found)


def _claims(
    session: Session, tables: Mapping[str, Table], without: str | None
) -> tuple[dict[str, list[tuple[Range, str]]], dict[str, list[Try]]]:
    """The ranges that living builds have claimed, and the builds that say that they run and do not."""
    query = (
        select(Build, alive(), Claim.heartbeat_at)
        .outerjoin(Claim, Claim.build_id == Build.id)
        .where(Build.state == "running", Build.table_name.in_(list(tables)), Build.id.is_distinct_from(without))
        .order_by(Build.begin)
    )
    building: defaultdict[str, list[tuple[Range, str]]] = defaultdict(list)
    dead: defaultdict[str, list[Try]] = defaultdict(list)
    for build, lives, beat in session.execute(query).tuples():
        table = tables[build.table_name]
        if lives:
            building[table.name].append((Range(build.range_start, build.range_end, table.every), build.id))
        else:
            when = f"gave no sign of life since {beat:%H:%M}" if beat else "lost its claim"
            dead[table.name].append(_try(build, table, when, beat or build.started_at))
    return dict(building), dict(dead)


def _try(build: Build, table: Table, ended: str | None, at: datetime | None) -> Try:
    span = Range(build.range_start, build.range_end, table.every)
    return Try(span, build.begin, build.id, build.owner, ended, at)


def _ended(build: Build) -> str | None:
    if build.state not in UNDONE:
        return None
    reason = (build.error or "no reason was recorded").splitlines()[0]
    return f"failed: {reason}" if build.state == "failed" else f"was stopped: {reason}"


def _stirred(session: Session, names: list[str], change: int) -> set[str]:
    """Tables of which a build, a verdict or an accept has changed."""
    if change == 0:
        return set()
    found: set[str] = set(session.scalars(select(Build.table_name).where(Build.change >= change).distinct()))
    for model in (Verdict, Acceptance):
        query = select(Build.table_name).join(model, model.build_id == Build.id).where(model.change >= change)
        found |= set(session.scalars(query.distinct()))
    return found & set(names)


def _moment(session: Session) -> tuple[tuple[Any, ...], int]:
    """Which ledger this is, and the oldest transaction that is at work."""
    epoch, forgotten = session.execute(select(Counter.epoch, Counter.forgotten)).one()
    started, database, change = session.execute(
        text(
            "SELECT pg_postmaster_start_time(), (SELECT oid FROM pg_database WHERE datname = current_database()), "
            "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
        )
    ).one()
    return (started, database, epoch, forgotten), change


def _file_numbers(kind: FileKind) -> Select[datetime, int]:
    return select(File.arrival_hour, func.max(File.number)).where(File.kind == kind).group_by(File.arrival_hour)


def _touches(session: Session, names: set[str]) -> dict[str, dict[datetime, dict[datetime, int]]]:
    found: defaultdict[str, defaultdict[datetime, dict[datetime, int]]] = defaultdict(lambda: defaultdict(dict))
    known = select(Touch.table_name, Touch.touched, Touch.partition, Touch.number)
    for name, touched, partition, number in session.execute(known.where(Touch.table_name.in_(names))).tuples():
        found[name][touched][partition] = number
    return {name: dict(touched) for name, touched in found.items()}


_NAME = pa.dictionary(pa.int32(), pa.string())


def _copy(session: Session, query: str, values: dict[str, Any], columns: dict[str, pa.DataType]) -> dict[str, Any]:
    """The rows of a query as NumPy columns (names as Arrow dictionaries); by COPY, ten times as fast as row by row."""
    found = io.BytesIO()
    cursor: Any = session.connection().connection.cursor()
    with cursor:
        statement = cursor.mogrify(query, values).decode()
        cursor.copy_expert(f"COPY ({statement}) TO STDOUT (FORMAT csv)", found)
    found.seek(0)
    if not found.getbuffer().nbytes:
        table = pa.schema(list(columns.items())).empty_table()
    else:
        table = pyarrow.csv.read_csv(
            found,
            read_options=pyarrow.csv.ReadOptions(column_names=list(columns), use_threads=False),
            convert_options=pyarrow.csv.ConvertOptions(column_types=columns),
        )
    return {name: _column(table[name]) for name in columns}


@dataclass(frozen=True)
class _Named:
    """A column of names: each row's place in the dictionary."""

    dictionary: pa.Array
    indices: Ints


def _column(column: pa.ChunkedArray) -> Any:
    if not pa.types.is_dictionary(column.type):
        return column.to_numpy()
    whole = column.unify_dictionaries().combine_chunks()
    whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) and whole.num_chunks else whole
    if isinstance(whole, pa.ChunkedArray):
        return _Named(pa.array([], pa.string()), np.empty(0, np.int64))
    return _Named(whole.dictionary, whole.indices.to_numpy().astype(np.int64))


def _by_table(rows: dict[str, Any]) -> Iterable[tuple[str, Ints]]:
    """The rows of each table: its name, and their places."""
    names = rows["name"].dictionary.to_pylist()
    order = np.argsort(rows["name"].indices, kind="stable")
    edges = np.searchsorted(rows["name"].indices[order], np.arange(len(names) + 1))
    for place, name in enumerate(names):
        yield name, order[edges[place] : edges[place + 1]]


def _length(table: Table) -> int:
    """Seconds of one of its partitions."""
    return 3600 if table.every is HOUR else 86400
