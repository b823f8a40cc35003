"""Building a range of a table: one entry for every table and range, on the branch ``build_<id>``, never on ``main``."""

from __future__ import annotations

import importlib
import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from feedmill.connections import CATALOG
from feedmill.deployment import Deployment
from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.flow import suspects
from feedmill.flow.job import Job
from feedmill.flow.rows import frames
from feedmill.flow.rows.digest import digest_of, row_hash, sums
from feedmill.flow.rows.fork import fork
from feedmill.flow.rows.passes import Pass, cut
from feedmill.flow.rows.readers import Read, Reader
from feedmill.flow.wait import refuse_frozen, refuse_future
from feedmill.freshness.identity import identity, reader
from feedmill.freshness.load import load
from feedmill.lake.attempts import drop_branch
from feedmill.lake.catalog import branch_name, moment_of
from feedmill.landing.discover import discover, look_again, verify
from feedmill.landing.shorten import Copies, shortened
from feedmill.ledger import builds, codes, files, quarantine
from feedmill.ledger.builds import ClaimedError, Written
from feedmill.ledger.claims import HEARTBEAT
from feedmill.ledger.pins import beside_snapshots
from feedmill.spark import session
from feedmill.spark.pools import pool_of
from feedmill.spec import FileKind, Files, Input
from feedmill.timeline import HOUR, Range, parse

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.connect.session import SparkSession

    from feedmill.ledger.models import Build, File

log = logging.getLogger(__name__)

OPEN_PARTITIONS = 72
"""Partitions of a pass that are written with a file open for each, Iceberg's default; more are sorted first.

Sorting costs what a short range need not pay. A table with a second partition column always pays it: a file takes some
megabytes while it is open, and one late file may hold a year of hours. Three days of events.landed, with the event
hours that each arrival hour touches, ended a Spark of 2 GB.
"""


TRIES = 10
"""Tries of one run that may each end by making defects of files; :data:`feedmill.flow.suspects.READS` bounds each."""


class QuarantineError(FeedmillError, code=Exit.PROBLEM, retry=True, turn=Turn.MAINTAINER):
    """There are more files that cannot be read than one run takes out; the next run goes on."""


class TransformError(FeedmillError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """A transform that does not give what its DDL says; the message names its file and the columns."""


@dataclass(frozen=True)
class Built:
    """A finished build: what its branch holds."""

    build_id: str
    snapshot_id: int
    rows: int
    partitions: int
    seconds: float


def build(
    job: Job, started: Callable[[str], None] = lambda _: None, stopped: Callable[[], bool] = lambda: False
) -> Built:
    """Build the job's range on a new branch and record it in the ledger; nothing of it is published.

    ``started`` is called with the Spark session's id, so that a caller who is killed politely can interrupt it;
    ``stopped`` says whether it was, in which case the cancelled query is no failure of the build.

    Raises:
        ClaimedError: another build is at work on these partitions.
        FrozenError: an input that the range needs has passed its retention.
        SparkUnavailableError: the Spark server does not answer.
        LandingError: a registered file changed or is missing.
        QuarantineError: there are more files that cannot be read than one run takes out.
        ReaderSuspectedError: all files of a source fail alike.
        LandingUnavailableError: a folder of the landing zone cannot be listed.
        TransformError: the transform's columns are not those of the DDL.
        ValueError: the range has not ended.
    """
    clock = time.monotonic()
    table, span, deployment = job.table, job.span, job.deployment
    ledger, lake = deployment.ledger, deployment.lake
    now = datetime.now(UTC)
    refuse_future(table, span, now)
    lake.ensure(table)
    for entry in table.inputs:
        if isinstance(entry, Input):
            lake.ensure(entry.table)
    kinds = frames.kinds_of(table)
    if kinds:
        new = discover(
            lake.landing, deployment.sources, kinds, ledger, now, Range(span.start, span.end, HOUR).partitions()
        )
        log.info("%d new files registered", len(new))
        _try_defects_of_other_code(job)
    _interrupt_earlier_tries(job)
    built = None
    for _ in range(TRIES):
        built = _try(job, started, stopped, clock)
        if built is not None:
            break
    if built is None:
        raise QuarantineError(
            f"{table.name} {span}: {TRIES} tries in a row met files that cannot be read; all of them are quarantined "
            "(`feedmill files list --quarantined`). Clear `build`: it goes on from here"
        )
    log.info(
        "build %s: %d rows in %d partitions on branch %s, %.1f s",
        built.build_id,
        built.rows,
        built.partitions,
        branch_name(built.build_id),
        built.seconds,
    )
    return built


@dataclass(frozen=True)
class _FilesRead:
    """The files that a try reads."""

    by_kind: Mapping[FileKind, list[File]]
    copies: Copies


def _try(job: Job, started: Callable[[str], None], stopped: Callable[[], bool], clock: float) -> Built | None:
    """One try, with a build id of its own. None: it has made defects of files, and the next try reads without them."""
    table, span, deployment = job.table, job.span, job.deployment
    ledger = deployment.ledger
    code = identity(table, deployment.project)
    with ledger.transaction() as transaction:
        codes.record(transaction, table.name, code, code.parts)
        begun = builds.begin(transaction, table, span, job.owner, code)
    started(begun.session_id)
    log.info("build %s of %s %s begins at number %d", begun.id, table.name, span, begun.begin)
    pool = pool_of(table, span, datetime.now(UTC))
    try:
        with ledger.transaction() as transaction:
            # Once, for all passes and for the pins: what is decided about a file meanwhile is the next build's.
            read = files.read_by(transaction, table, span, begun.begin)
        landed = [file for group in read.values() for file in group]
        with _heartbeat(deployment, begun), shortened(deployment.lake.landing, landed) as copies:
            try:
                with session.session_of(begun.session_id, pool) as spark:
                    head, partitions = _write(job, begun, _FilesRead(read, copies), spark)
            except Exception as error:
                if stopped() or not _quarantined(job, begun, suspects.Search(job, read, copies, started), error):
                    raise
                return None
    except BaseException as error:
        told = stopped() or isinstance(error, KeyboardInterrupt)
        with ledger.transaction() as transaction:
            if told:
                builds.interrupted(transaction, begun.id, "stopped at work: its task was ended, or Ctrl-C was pressed")
            ours = told or builds.failed(transaction, begun.id, f"{type(error).__name__}: {error}")
        if not ours and isinstance(error, Exception):
            raise ClaimedError(f"build {begun.id}: another try took over, so this one stopped") from error
        raise
    with ledger.transaction() as transaction:
        builds.finish(transaction, begun.id, head, partitions)
    return Built(begun.id, head, sum(p.rows for p in partitions), len(partitions), time.monotonic() - clock)


def _quarantined(job: Job, build: Build, search: suspects.Search, error: Exception) -> bool:
    """Make defects of the files that are to blame for the error, and end the try. False: no file is to blame."""
    defects = search.culprits(error)
    if not defects:
        return False
    with job.deployment.ledger.transaction() as transaction:
        # One transaction, so that a claim that was lost meanwhile declares nothing.
        if not builds.interrupted(transaction, build.id, suspects.said_of(defects)):
            raise ClaimedError(f"build {build.id}: another try took over, so this one stopped") from error
        # Fewer than were found, if a build of another table met them at the same time.
        declared = quarantine.declare(transaction, defects)
    for file in declared:
        log.warning("%s is quarantined, and the hour is built without it: %s", file.path, file.defect)
    drop_branch(job.table, build.id, job.deployment.lake)
    return True


def _try_defects_of_other_code(job: Job) -> None:
    """Readmit what other reader code than today's could not read, so that this build tries it again."""
    ledger, deployment = job.deployment.ledger, job.deployment
    for entry in job.table.inputs:
        if not isinstance(entry, Files):
            continue
        with ledger.transaction() as transaction:
            known = quarantine.declared(transaction, entry.kind, *entry.window(job.span))
        today = {name: reader(name, deployment.project) for name in {file.source for file in known}}
        old = [file for file in known if file.reader != today[file.source]]
        seen = [look_again(deployment.lake.landing, file, deployment.sources) for file in old]
        found = [one for one in seen if one is not None]
        if found:
            with ledger.transaction() as transaction:
                readmitted = quarantine.try_again(transaction, found)
            log.info("%d defects are tried again, because the reader code has changed", len(readmitted))


def _interrupt_earlier_tries(job: Job) -> None:
    """A try that was killed leaves its query running and its claim alive: end both before this one begins.

    The claim first. A try that lives would take its cancelled query for a failure of its own, and record that.
    """
    with job.deployment.ledger.transaction() as transaction:
        earlier = builds.unfinished(transaction, job.owner)
        for try_ in earlier:
            builds.interrupted(transaction, try_.id, "a later try took over")
    for try_ in earlier:
        log.info("interrupting the earlier try, build %s", try_.id)
        session.interrupt(try_.session_id)


def _write(job: Job, build: Build, read: _FilesRead, spark: SparkSession) -> tuple[int, list[Written]]:
    """Write every pass to the branch; return its head and what each partition holds."""
    table, span, deployment, lake = job.table, job.span, job.deployment, job.deployment.lake
    # Facts first: what the ledger says is published stands in the snapshots that are pinned afterwards. The other way
    # round, a dimension published in between would be chosen and then read as empty.
    with deployment.ledger.transaction() as transaction:
        known = load(transaction, [table])
    # After the claim, which retention looks at: from here on nothing that the range reads expires.
    refuse_frozen(table, span, known)
    pins = {e.table.name: lake.current_snapshot(e.table) for e in table.inputs if isinstance(e, Input)}
    with deployment.ledger.transaction() as transaction:
        builds.pin(transaction, build.id, {**pins, **beside_snapshots(transaction, table, read.by_kind, build.begin)})
    name = f"{CATALOG}.{table.name}"
    branch = fork(table, build.id, spark)
    passes = cut(table, span, known)
    for number, step in enumerate(passes, 1):
        if len(passes) > 1:
            log.info("pass %d of %d: %s", number, len(passes), step.span)
        condition = frames.condition(job.ddl, step.span)
        # Explicit filter, never dynamic overwrite: an empty hour must replace the rows of a fuller one. And the rows
        # are filtered to it: Iceberg accepts rows outside the condition and would append them.
        rows = _transformed(job, step, read, pins, spark).filter(condition)
        writer = rows.writeTo(f"{name}.branch_{branch}").option("snapshot-property.feedmill.wrote", build.id)
        at_once = len(step.span) <= OPEN_PARTITIONS and len(job.ddl.partitioned_by) == 1
        writer.option("fanout-enabled", str(at_once).lower()).overwrite(condition)
    head = lake.branch_head(table, build.id)
    if head is None:
        raise RuntimeError(f"{table.name}: branch {branch} has no snapshot after the write")
    return head, written(job, head, spark)


def _transformed(
    job: Job, step: Pass, read: _FilesRead, pins: Mapping[str, int | None], spark: SparkSession
) -> DataFrame:
    """The transform's rows of one pass, with the DDL's columns in its order."""
    table, deployment = job.table, job.deployment
    transform = importlib.import_module(table.transform_module).transform
    for_table = Reader(table, step.span, job.ddl.partition_column)
    arguments = {}
    for entry in table.inputs:
        if isinstance(entry, Files):
            start, end = entry.window(step.span)
            registered = [file for file in read.by_kind[entry.kind] if start <= file.arrival_hour < end]
            verify(registered)
            log.info("reading %d files of %s", len(registered), entry.kind)
            arguments[entry.parameter] = frames.records(
                spark, entry, for_table, registered, deployment.sources, read.copies
            )
        else:
            name = entry.table.name
            wanted = Read(job.partitioned_by[name], step.as_of.get(name, {}), pins[name])
            arguments[entry.parameter] = frames.rows_of(spark, entry, for_table, wanted)
    expected = set(inspect.signature(transform).parameters)
    if expected != arguments.keys():
        raise TransformError(
            f"{table.transform_path}: transform takes {', '.join(sorted(expected))}, "
            f"the map gives {', '.join(sorted(arguments))}"
        )
    frame: DataFrame = transform(**arguments)
    columns = [column.name for column in job.ddl.columns]
    missing, extra = set(columns) - set(frame.columns), set(frame.columns) - set(columns)
    if missing or extra:
        raise TransformError(
            f"{table.transform_path} does not give the columns of {table.ddl_path}: "
            f"missing {', '.join(sorted(missing)) or 'none'}, unknown {', '.join(sorted(extra)) or 'none'}"
        )
    return frame.select(*columns)


def written(job: Job, head: int, spark: SparkSession) -> list[Written]:
    """Rows and digest of each partition, read back from a snapshot; partitions without rows too."""
    from pyspark.sql import functions as F

    ddl, span = job.ddl, job.span
    rows = frames.at_snapshot(spark, job.table, head)
    counted = (
        rows.filter(frames.condition(ddl, span))
        .select(F.col(ddl.partition_column).alias("partition"), row_hash(ddl).alias("hash"))
        .groupBy("partition")
        .agg(F.count("*").alias("rows"), *sums(F.col("hash")))
        # As text: collect() gives local times, and where one is there twice in autumn, the first of the two hours.
        .withColumn("partition", F.col("partition").cast("string"))
        .collect()
    )
    found = {parse(row["partition"]): (row["rows"], digest_of(row.asDict())) for row in counted}
    touches = _touches(job, head) if len(ddl.partitioned_by) > 1 else None
    empty = (0, "0")
    return [
        Written(moment, *found.get(moment, empty), None if touches is None else touches.get(moment, {}))
        for moment in span.partitions()
    ]


def _touches(job: Job, head: int) -> dict[datetime, dict[datetime, int]]:
    """Rows by partition and touched hour, from the manifests alone: the second partition column is the touched hour."""
    lake, table = job.deployment.lake, job.table
    found: dict[datetime, dict[datetime, int]] = {}
    for file in lake.files(table, lake.load(table), head, list(job.span.partitions())).values():
        touched = found.setdefault(lake.partition_of(table, file), {})
        hour = moment_of(file.partition[1], HOUR)
        touched[hour] = touched.get(hour, 0) + file.record_count
    return found


@contextmanager
def _heartbeat(deployment: Deployment, build: Build) -> Iterator[None]:
    """Keep the claim alive; when it is lost to another try, interrupt this one's queries so that it ends."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(HEARTBEAT.total_seconds()):
            try:
                with deployment.ledger.transaction() as transaction:
                    alive = builds.heartbeat(transaction, build.id)
            except Exception as error:
                log.warning("the ledger did not take build %s's heartbeat: %s", build.id, error)
                continue
            if not alive:
                session.interrupt(build.session_id)
                return

    thread = threading.Thread(target=beat, name=f"heartbeat {build.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
