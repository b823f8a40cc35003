"""The doctor's eyes: gathers the facts that the rules compare, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Literal, cast

from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Snapshot
from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from feedmill import connections
from feedmill.connections import ConnectionNotDefinedError
from feedmill.deployment import Deployment
from feedmill.doctor.facts import Facts, Reader, Recorded, TableFacts, Unread, Unrecorded, Waiting, Worker
from feedmill.flow import publish
from feedmill.freshness.identity import identity
from feedmill.freshness.load import Look
from feedmill.freshness.states import Picture
from feedmill.lake import ddl as ddl_module
from feedmill.lake import row_deletes
from feedmill.lake.commits import commits
from feedmill.lake.ddl import IncompatibleError
from feedmill.lake.schema import DdlError
from feedmill.landing import discover as landing
from feedmill.landing.discover import Landed
from feedmill.ledger import files, publishes
from feedmill.ledger.claims import alive
from feedmill.ledger.models import Build, BuiltPartition, Claim, Counter, File, Partition, Publish
from feedmill.spec import KINDS, FileKind, Files, Table
from feedmill.timeline import runs

_BRANCH = "build_"


def examine(deployment: Deployment, tables: Sequence[Table], now: datetime, *, rows: bool = False) -> Facts:
    """Look at these tables and at the landing zone. This is harmless at any time, also during builds and publishes.

    With ``rows``, Spark also reads all published rows again, and every registered file is read again, to compare
    digests.

    Raises:
        SparkUnavailableError: with ``rows``, if the Spark server does not answer.
    """
    look = Look(deployment.tables)
    identities = _identities(deployment, tables) if rows else {}
    looked = [table_facts(deployment, table, look, identities, now, rows) for table in tables]
    found = landing.landed(deployment.lake.landing, deployment.sources.values())
    odd = landing.odd(deployment.lake.landing, deployment.sources.values())
    waiting, altered, misplaced = _files(deployment, found, rows)
    with deployment.ledger.transaction() as session:
        readers_of = readers(look.again(session, identities, now))
        not_read = unread(session, deployment, found)
        counter = session.execute(select(Counter)).scalar_one()
        at_work = workers(session, tables)
    return Facts(
        now,
        counter.epoch,
        counter.value,
        looked,
        at_work,
        altered,
        waiting,
        misplaced,
        odd,
        not_read,
        readers_of,
        pages_go_to=_channels(tables),
        has_heartbeat=_type_of(connections.HEARTBEAT) is not None,
    )


def _channels(tables: Iterable[Table]) -> list[str]:
    """The channels of these tables' maintainers that reach people; a file on this machine does not."""
    named = {channel for table in tables for channel in table.maintainer.channels}
    return sorted(channel for channel in named if _type_of(channel) not in (None, "file"))


def _type_of(conn_id: str) -> str | None:
    """The type of a connection; None: it is not defined."""
    try:
        return connections.get(conn_id).conn_type
    except ConnectionNotDefinedError:
        return None


def table_facts(
    deployment: Deployment, table: Table, look: Look, identities: Mapping[str, str], now: datetime, rows: bool
) -> TableFacts:
    """Look at one table. Its lock is held, so that no publish is between its commit and its rows in the ledger.

    What is published, expired or made by other code is the answer of ``look``.
    """
    ledger, lake = deployment.ledger, deployment.lake
    with ledger.table_lock(table.name):
        iceberg = lake.load_if_exists(table)
        # Iceberg is read first: a build's row in the ledger is older than its branch.
        with ledger.transaction() as session:
            # First: a look takes the transaction's snapshot.
            status = look.again(session, identities, now).status(table)
            found = session.scalars(select(Partition).where(Partition.table_name == table.name))
            recorded = {
                row.partition: Recorded(row.rows, row.digest, status.is_by_today(row.partition))
                for row in found
                if status.is_published(row.partition)
            }
            intents = tuple(intent.build_id for intent in publishes.open_intents(session, table.name))
            if iceberg is None:
                return TableFacts(table, recorded, intents=intents)
            lacking = publish.unrecorded(session, table, iceberg)
            known = set(session.scalars(select(Build.id).where(Build.id.in_([c.build_id for c in lacking]))))
            branches, unknown = _branches(session, iceberg)
    head = iceberg.metadata.snapshot_by_name("main")
    on_main: dict[datetime, int] = {}
    deletes: list[datetime] = []
    if head is not None:
        tasks = list(iceberg.scan(snapshot_id=head.snapshot_id).plan_files())
        deletes = [p for p in row_deletes.partitions_of(table, tasks, lake) if not status.is_expired(p)]
        for task in tasks:
            partition = lake.partition_of(table, task.file)
            # Retention writes `expired` before it deletes, and may be between the two.
            if status.is_expired(partition):
                continue
            on_main[partition] = on_main.get(partition, 0) + task.file.record_count
    digests, no_digests = None, None
    if rows and head is not None and on_main:
        no_digests = _other_columns(deployment, table, iceberg, head)
        if no_digests is None:
            digests = _digests(deployment, table, head.snapshot_id, list(on_main))
    return TableFacts(
        table,
        recorded,
        on_main,
        deletes,
        digests,
        no_digests,
        [Unrecorded(c.build_id, frozenset(m.partition for m in c.moved), c.build_id in known) for c in lacking],
        max(((c.epoch, c.begin) for c in commits(iceberg)), default=(0, 0)),
        intents,
        branches,
        unknown,
        _ddl(deployment, table, iceberg),
    )


def left_branches(deployment: Deployment, table: Table) -> list[str]:
    """Builds whose branches nobody needs any more."""
    with deployment.ledger.table_lock(table.name):
        iceberg = deployment.lake.load_if_exists(table)
        if iceberg is None:
            return []
        with deployment.ledger.transaction() as session:
            return list(_branches(session, iceberg)[0])


def _branches(session: Session, iceberg: IcebergTable) -> tuple[dict[str, str], list[str]]:
    """Branches that nobody needs any more, with the states of their builds; and branches of unknown builds."""
    ids = [name.removeprefix(_BRANCH) for name in iceberg.metadata.refs if name.startswith(_BRANCH)]
    known = {build.id: build for build in session.scalars(select(Build).where(Build.id.in_(ids)))}
    epoch = session.execute(select(Counter.epoch)).scalar_one()
    left = {}
    for build_id, build in known.items():
        if build.state == "built" and build.epoch == epoch:
            if _settled(session, build):
                left[build_id] = "published or superseded"
        elif build.state != "running":
            left[build_id] = build.state if build.epoch == epoch else f"of epoch {build.epoch}"
    return left, sorted(set(ids) - known.keys())


def _settled(session: Session, build: Build) -> bool:
    """Whether each partition that the build wrote was published, by this build or by one that began later."""
    wrote = select(BuiltPartition.partition).where(BuiltPartition.build_id == build.id)
    moved = select(Publish.partition).where(Publish.build_id == build.id)
    superseded = select(Partition.partition).where(
        Partition.table_name == build.table_name, Partition.begin > build.begin
    )
    return not session.execute(wrote.except_(moved.union(superseded)).limit(1)).first()


def _identities(deployment: Deployment, tables: Iterable[Table]) -> dict[str, str]:
    """Today's code of these tables; without those whose DDL cannot be read."""
    found: dict[str, str] = {}
    for table in tables:
        with suppress(DdlError):
            found[table.name] = identity(table, deployment.project)
    return found


def _other_columns(deployment: Deployment, table: Table, iceberg: IcebergTable, head: Snapshot) -> str | None:
    """Why no digest can be computed for main's head: it has other columns than the DDL. None if it can.

    A build adds new columns to the table before it writes. Main's head has them once such a build is published.
    """
    schema = iceberg.schema() if head.schema_id is None else iceberg.schemas()[head.schema_id]
    spec = tuple(field.name for field in iceberg.spec().fields)
    try:
        change = ddl_module.evolution(deployment.lake.ddl(table), schema, spec, "")
    except (DdlError, IncompatibleError):
        return f"{table.ddl_path} has other columns than the table"
    if change.add:
        names = ", ".join(column.name for column in change.add)
        return f"{table.ddl_path} has new columns, and no build with them is published yet: {names}"
    return None


def _digests(deployment: Deployment, table: Table, snapshot_id: int, partitions: list[datetime]) -> dict[datetime, str]:
    """Digests of the rows on main, computed as a build computes them for its branch."""
    import uuid

    from feedmill.flow.build import written
    from feedmill.flow.job import Job
    from feedmill.spark.session import session_of

    with session_of(str(uuid.uuid4())) as spark:
        return {
            entry.partition: entry.digest
            for span in runs(partitions, table.every)
            for entry in written(Job(table, span, deployment, "doctor"), snapshot_id, spark)
            if entry.rows
        }


def _ddl(deployment: Deployment, table: Table, iceberg: IcebergTable) -> tuple[str, str] | None:
    try:
        ddl = deployment.lake.ddl(table)
        spec = tuple(field.name for field in iceberg.spec().fields)
        change = ddl_module.evolution(ddl, iceberg.schema(), spec, iceberg.properties.get("comment", ""))
    except (DdlError, IncompatibleError) as error:
        return str(error).rstrip("."), "The table's maintainer must decide. Until then its builds fail."
    if not change:
        return None
    what = [f"column {column.name} is new" for column in change.add]
    if change.comments or change.table_comment is not None:
        what.append("comments changed")
    return f"{table.ddl_path} is not applied yet: {', '.join(what)}", "The table's next build applies it."


def unread(session: Session, deployment: Deployment, landed: Iterable[Landed]) -> list[Unread]:
    """Registered files that no build has read.

    If nothing at all is found of a source, its disk may not be mounted: then none of its files counts as gone.
    """
    urls = {file.url for file in landed}
    folders = {_folder(url) for url in urls}
    return [
        Unread(
            file.path,
            cast(FileKind, file.kind),
            file.arrival_hour,
            file.received_at,
            file.path not in urls and _folder(file.path) in folders,
        )
        for file in files.unread(session, deployment.tables)
    ]


def _folder(url: str) -> str:
    """The folder of the file's source: two levels up, as the file lies in the folder of an hour."""
    return url.rsplit("/", 2)[0]


def _files(
    deployment: Deployment, landed: Iterable[Landed], contents: bool
) -> tuple[list[Waiting], dict[str, Literal["gone", "changed"]], dict[str, list[str]]]:
    """Landed files that are not registered, registered files that changed, and misplaced files by their folder.

    A defect or disowned file may change or go: no build reads it, and a misplaced one should be moved.
    A file with its registered size is read again only if its time is another, or with ``contents``.
    """
    found = {file.url: file for file in landed}
    misplaced: dict[str, list[str]] = {}
    for file in found.values():
        if file.folder_hour is None:
            misplaced.setdefault(file.url.rpartition("/")[0], []).append(file.url)
    with deployment.ledger.transaction() as session:
        registered = list(session.scalars(select(File)))
    altered: dict[str, Literal["gone", "changed"]] = {}
    for entry in registered:
        there = found.pop(entry.path, None)
        if entry.not_read is not None:
            continue
        if there is None:
            altered[entry.path] = "gone"
        elif there.size != entry.size or ((contents or there.modified != entry.received_at) and not _is_whole(entry)):
            altered[entry.path] = "changed"
    waiting = [
        Waiting(file.url, file.folder_hour, file.modified, landing.why_closed(file.url)) for file in found.values()
    ]
    return waiting, altered, misplaced


def readers(seen: Picture) -> dict[FileKind, list[Reader]]:
    """The tables that read each kind of file. All tables of the map count: they share the landing zone."""
    found: dict[FileKind, list[Reader]] = {kind: [] for kind in KINDS}
    for table in seen.tables.values():
        for entry in table.inputs:
            if isinstance(entry, Files):
                status = seen.status(table)
                found[entry.kind].append(Reader(table, entry.lookback, status.since, status.is_since_given))
    return found


def _is_whole(file: File) -> bool:
    try:
        landing.verify([file])
    except landing.LandingError:
        return False
    return True


def workers(session: Session, tables: Iterable[Table]) -> list[Worker]:
    """Builds that are recorded as running, but show no sign of life.

    This is one statement, so that no build ends in the middle.
    """
    silent = func.clock_timestamp() - Claim.heartbeat_at
    query = (
        select(Build, silent)
        .outerjoin(Claim, Claim.build_id == Build.id)
        .where(Build.state == "running", Build.table_name.in_([table.name for table in tables]))
        .where(or_(Claim.build_id.is_(None), ~alive()))
        .order_by(Build.begin)
    )
    return [Worker(build.id, build.table_name, build.owner, since) for build, since in session.execute(query).tuples()]
