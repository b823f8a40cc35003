"""Checking a build: its branch's rows judged by the table's suite, the verdicts recorded, the page written."""

from __future__ import annotations

import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import fsspec

from feedmill.checks import pages
from feedmill.checks import suite as suites
from feedmill.checks.blocks import blocks
from feedmill.checks.engine import PANDAS_ROWS
from feedmill.checks.engine_pandas import frame_from_arrow
from feedmill.checks.findings import Verdict
from feedmill.checks.judge import judge
from feedmill.checks.not_read import Arrived, about_files, with_files
from feedmill.checks.page import Report, render, sentence
from feedmill.checks.suite import Suite
from feedmill.connections import CATALOG
from feedmill.deployment import Deployment
from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.flow.rows import frames
from feedmill.ledger import builds, quarantine, verdicts
from feedmill.ledger.models import Build
from feedmill.spark import session
from feedmill.spark.pools import pool_of
from feedmill.spec import Files, Table
from feedmill.timeline import Range, runs

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

log = logging.getLogger(__name__)

_LOGGED = 5
"""At most this many findings, rows of a finding and ranges of partitions stand in the log; the page has more."""


class NothingToCheckError(FeedmillError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """The build has no branch to judge: it has not written one, or the branch was dropped."""


@dataclass(frozen=True)
class Checked:
    """A check that was made: its report, and the URL of its page in the storage."""

    report: Report
    page: str

    @property
    def sentence(self) -> str:
        """All verdicts in one sentence, with the table's name."""
        return f"{self.report.table}: {sentence(self.report.verdicts, self.report.range.period)}."

    @property
    def held(self) -> list[Verdict]:
        """The partitions that did not pass."""
        return [verdict for verdict in self.report.verdicts if not verdict.passed]

    def evidence(self) -> str:
        """For the task's log: each finding with some failing rows, and the query that shows them all."""
        report = self.report
        lines = []
        for block in blocks(report.suite, report.verdicts)[:_LOGGED]:
            partitions = [verdict.partition for verdict in block.verdicts]
            ranges = [str(span) for span in runs(partitions, report.range.period)]
            more = f" and {len(ranges) - _LOGGED} more ranges" if len(ranges) > _LOGGED else ""
            where = ", ".join(ranges[:_LOGGED]) + more
            lines.append(f"{where}: {block.severity}: {block.message} ({block.expectation.id})")
            lines += [f"  {line}" for line in [block.notes] if line]
            lines += [f"  {sample}" for sample in block.samples[:_LOGGED]]
            lines.append(f"  {block.expectation.kind.query(report.branch.rows(partitions))}")
        return "\n".join(lines)


def check(
    table: Table, build_id: str, deployment: Deployment, started: Callable[[str], None] = lambda _: None
) -> Checked:
    """Judge every partition of the build's snapshot, record the verdicts, and write the page.

    ``started`` is called with the Spark session's id, if there is one, so that a caller that is asked to stop can
    interrupt it.

    Raises:
        NothingToCheckError: the build is not done, or belongs to another table; or its branch was dropped.
        SuiteError: the suite is missing, empty or wrong.
    """
    clock = time.monotonic()
    suite = suites.load(deployment.project / table.suite_path)
    with deployment.ledger.transaction() as transaction:
        build = builds.get(transaction, build_id)
        rows = sum(partition.rows for partition in builds.written(transaction, build_id).values())
    if build.table_name != table.name or build.state != "built" or build.snapshot_id is None:
        raise NothingToCheckError(
            f"build {build_id} of {build.table_name} is {build.state}; clear `build` to run it again"
        )
    if deployment.lake.load(table).metadata.snapshot_by_id(build.snapshot_id) is None:
        raise NothingToCheckError(
            f"{table.name}: the branch of build {build_id} was dropped, because the build was published or ended more "
            "than a week ago; clear `build` to build again"
        )
    span = Range(build.range_start, build.range_end, table.every)
    engine = "pandas" if rows <= PANDAS_ROWS else "Spark"
    log.info("judging %d rows of build %s in %s", rows, build_id, engine)
    judged = _judge(table, build, span, suite, engine, deployment, started)
    if _holds_files(table, deployment):
        suite, judged = with_files(suite), _with_files(table, build, judged, deployment)
    with deployment.ledger.transaction() as transaction:
        found = [(v.partition, v.passed, [asdict(finding) for finding in v.findings]) for v in judged]
        verdicts.record(transaction, build, found, suite.digest)
    report = Report(
        table=table.name,
        build=build_id,
        range=span,
        partition_column=deployment.lake.ddl(table).partition_column,
        maintainer=table.maintainer,
        suite=suite,
        verdicts=judged,
        engine=engine,
        seconds=time.monotonic() - clock,
        checked_at=datetime.now(UTC),
        catalog=CATALOG,
    )
    page = pages.file(deployment.lake.pages, table.name, build_id)
    with fsspec.open(page, "w", encoding="utf-8", auto_mkdir=True) as stream:
        stream.write(render(report))
    return Checked(report, page)


def _holds_files(table: Table, deployment: Deployment) -> bool:
    """Whether the table holds the rows of files for others, so that a file that is not read is missed there."""
    return bool(deployment.tables.readers(table)) and any(isinstance(entry, Files) for entry in table.inputs)


def _with_files(table: Table, build: Build, judged: list[Verdict], deployment: Deployment) -> list[Verdict]:
    """The verdicts, with a warning for each partition in whose own hours files arrived that are not read."""
    kinds = [entry.kind for entry in table.inputs if isinstance(entry, Files)]
    with deployment.ledger.transaction() as transaction:
        hours = quarantine.arrived(transaction, kinds, build.range_start, build.range_end, build.begin)
    by_partition: defaultdict[datetime, Arrived] = defaultdict(Arrived)
    for hour, counts in hours.items():
        by_partition[table.every.floor(hour)] += Arrived(*counts)
    return [about_files(verdict, by_partition[verdict.partition]) for verdict in judged]


def _judge(
    table: Table,
    build: Build,
    span: Range,
    suite: Suite,
    engine: str,
    deployment: Deployment,
    started: Callable[[str], None],
) -> list[Verdict]:
    column = deployment.lake.ddl(table).partition_column
    partitions = list(span.partitions())
    assert build.snapshot_id is not None
    if engine == "pandas":
        rows = frame_from_arrow(deployment.lake.read(table, build.snapshot_id, span))
        return judge(suite, rows, partitions, column)
    session_id = str(uuid.uuid4())
    started(session_id)
    with session.session_of(session_id, pool_of(table, span, datetime.now(UTC))) as spark:
        frame: DataFrame = spark.read.option("versionAsOf", str(build.snapshot_id)).table(f"{CATALOG}.{table.name}")
        return judge(suite, frame.filter(frames.condition(deployment.lake.ddl(table), span)), partitions, column)
