"""Any bytes in the landing zone cost at most their own rows: landed + rejected = the file's rows, or one for all of it.

``make test`` lands the corpus, and some dozen files that hypothesis makes. ``make fuzz`` goes on for an hour, or for
``MINUTES``, with every table of the map. The seed of each round is logged, and ``FUZZ_SEED`` repeats one.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st
from sqlalchemy import select

from feedmill.deployment import Deployment
from feedmill.flow.build import build
from feedmill.flow.check import check
from feedmill.flow.job import Job
from feedmill.flow.publish import publish
from feedmill.flow.rows import frames
from feedmill.flow.rows.readers import Reader
from feedmill.lake.catalog import Lake
from feedmill.landing.discover import discover
from feedmill.landing.names import recorded
from feedmill.landing.shorten import shortened
from feedmill.ledger.models import File, Partition
from feedmill.ledger.store import Ledger
from feedmill.local.spark import SparkServer
from feedmill.spec import KINDS, FileKind, Files, Table
from feedmill.timeline import HOUR as HOURS
from tests.fuzz.files import HOUR as START
from tests.fuzz.files import Given, any_file, beside, corpus

log = logging.getLogger(__name__)

SOME = ("events.landed", "events.rejected", "events.clean", "catalog.items", "rollups.item_engagement_hourly")
PATIENCE = 1800
"""Seconds for a round, which takes two minutes on two idle cores. Without bounds, one number took Spark that long, and
one list of categories days."""

Counts = dict[str, Counter[tuple[bool, bool]]]
"""By file, how many of its rows have no line, and how many have no reason."""


def made(number: int, examples: int, flips: bool = False) -> list[Given]:
    """Files that hypothesis makes of a seed: up to eight for each example."""
    found: list[Given] = []

    @seed(number)
    @settings(max_examples=examples, phases=[Phase.generate], database=None)
    @given(st.lists(any_file(flips), min_size=1, max_size=8))
    def collect(files: list[Given]) -> None:
        found.extend(files)

    collect()
    return list({(file.source, file.name): file for file in found}.values())


def land(deployment: Deployment, files: Iterable[Given]) -> dict[str, Given]:
    """Write the files into the landing zone; each by the URL under which it is recorded."""
    root = deployment.lake.landing.removeprefix("file://")
    landed = {}
    for file in files:
        folder = Path(root) / file.source / HOURS.name_of(START)
        folder.mkdir(parents=True, exist_ok=True)
        path = f"{folder}/{os.fsdecode(file.name)}"
        Path(path).write_bytes(file.content)
        landed[recorded(f"file://{path}")] = file
    return landed


def unaccounted(landed: dict[str, Given], counts: Counts) -> dict[str, str]:
    """What is wrong with the count of each file, by its URL."""
    wrong = dict.fromkeys(counts.keys() - landed.keys(), "unknown")
    for url, file in landed.items():
        found, rows = counts.get(url, Counter()), file.rows()
        whole = {kind: number for kind, number in found.items() if kind[0]}
        if whole and file.must_be_read():
            wrong[url] = f"rejected as a whole, with its {rows} rows"
        elif whole and (whole != {(True, False): 1} or len(found) > 1):
            wrong[url] = f"rejected as a whole, and more: {dict(found)}"
        elif not whole and found.total() != rows:
            wrong[url] = f"{found.total()} of its {rows} rows"
    return wrong


def read(deployment: Deployment, spark: Any, files: Iterable[File], kinds: Iterable[FileKind] = KINDS) -> Counts:
    """The rows of registered files as Spark reads them."""
    from pyspark.sql import functions as F

    counts: Counts = {}
    table = deployment.tables["events.rejected"]
    reader = Reader(table, table.one(START), "arrival_hour")
    listed = list(files)
    whole, good = F.col("line").isNull().alias("whole"), F.col("reason").isNull().alias("good")
    with shortened(deployment.lake.landing, listed) as copies:
        for kind in kinds:
            of_kind = [file for file in listed if file.kind == kind]
            records = frames.records(spark, Files(kind), reader, of_kind, deployment.sources, copies)
            for row in records.groupBy("source_file", whole, good).count().collect():
                counts.setdefault(row["source_file"], Counter())[row["whole"], row["good"]] = row["count"]
    return counts


def make(deployment: Deployment, table: Table) -> None:
    """Build, check and publish the hour, or its day; it must pass."""
    start = table.every.floor(START)
    span = table.range(start, start + table.every.length)
    built = build(Job(table, span, deployment, "test/fuzz"))
    checked = check(table, built.build_id, deployment)
    assert not checked.held, checked.evidence()
    publish(table, built.build_id, deployment.ledger, deployment.lake)
    with deployment.ledger.transaction() as session:
        published = session.scalars(select(Partition.table_name).where(Partition.table_name == table.name)).all()
    assert published, f"{table.name} was not published"


def in_tables(deployment: Deployment) -> Counts:
    """The rows of the two event tables by file."""
    counts: Counts = {}
    for name, good in (("events.landed", True), ("events.rejected", False)):
        columns = ("source_file", "line")
        for row in deployment.lake.load(deployment.tables[name]).scan(selected_fields=columns).to_arrow().to_pylist():
            counts.setdefault(row["source_file"], Counter())[row["line"] is None, good] += 1
    return counts


def culprits(deployment: Deployment, spark: Any, files: list[File]) -> list[str]:
    """The files that cannot be read: halves of those that cannot be read together, down to single ones."""
    try:
        read(deployment, spark, files)
    except Exception as error:
        if len(files) == 1:
            return [f"{files[0].path}: {str(error).splitlines()[0]}"]
        middle = len(files) // 2
        return [*culprits(deployment, spark, files[:middle]), *culprits(deployment, spark, files[middle:])]
    return []


def register(deployment: Deployment, files: list[Given]) -> tuple[dict[str, Given], list[File]]:
    """Land the files, each by its URL, and register them."""
    landed = land(deployment, files)
    registered = discover(deployment.lake.landing, deployment.sources, KINDS, deployment.ledger, datetime.now(UTC))
    assert {file.path for file in registered} == landed.keys()
    return landed, registered


def hold(deployment: Deployment, spark: Any, files: list[Given], tables: Iterable[str]) -> None:
    """Land the files, build the tables, and account for every row."""
    landed, registered = register(deployment, files)
    for name in tables:
        make(deployment, deployment.tables[name])
    counts = in_tables(deployment)
    # No table counts the good records of items: an item's newest is kept.
    for url, found in read(deployment, spark, registered, ["items"]).items():
        if found[False, True]:
            counts.setdefault(url, Counter())[False, True] += found[False, True]
    assert unaccounted(landed, counts) == {}


def test_the_corpus_is_accounted_for_row_by_row_and_every_build_ends_well(
    deployment: Deployment, spark: Any, spark_server: SparkServer
) -> None:
    before = spark_server.component.pid()
    hold(deployment, spark, list(corpus()), SOME)
    assert spark_server.component.pid() == before, "Spark has not been restarted"


def test_whatever_hypothesis_makes_is_accounted_for_row_by_row(
    deployment: Deployment, spark: Any, spark_server: SparkServer
) -> None:
    before, number = spark_server.component.pid(), random.randrange(2**32)
    log.info("FUZZ_SEED=%d", number)
    landed, registered = register(deployment, made(number, examples=12))
    try:
        counts = read(deployment, spark, registered)
    except Exception as error:
        raise AssertionError(culprits(deployment, spark, registered)) from error
    assert unaccounted(landed, counts) == {}
    assert spark_server.component.pid() == before, "Spark has not been restarted"


@pytest.mark.fuzz
@pytest.mark.timeout(0)
def test_for_as_long_as_is_wanted(
    new_ledger: Callable[[], AbstractContextManager[Ledger]],
    new_lake: Callable[[Path], AbstractContextManager[Lake]],
    spark: Any,
    spark_server: SparkServer,
    tmp_path: Path,
) -> None:
    from include.spark.sources import SOURCES
    from include.tables import TABLES

    project = Path(__file__).resolve().parents[2]
    end = time.monotonic() + 60 * float(os.environ.get("MINUTES", "60"))
    before = spark_server.component.pid()
    wanted = os.environ.get("FUZZ_SEED")
    rounds = files = 0
    while rounds == 0 or (wanted is None and time.monotonic() < end):
        number = int(wanted) if wanted else random.randrange(2**32)
        chosen = [*made(number, examples=40, flips=True), *beside()]
        given_files = list({(file.source, file.name): file for file in chosen}.values())
        size = sum(len(file.content) for file in given_files)
        start = time.monotonic()
        log.info("FUZZ_SEED=%d: %d files, %d bytes", number, len(given_files), size)
        with new_ledger() as ledger, new_lake(tmp_path / str(number)) as lake:
            deployment = Deployment(project, TABLES, SOURCES, ledger, lake)
            hold(deployment, spark, given_files, [table.name for table in TABLES])
        assert spark_server.component.pid() == before, "Spark has not been restarted"
        rounds, files, seconds = rounds + 1, files + len(given_files), time.monotonic() - start
        log.info("accounted for in %.0f s", seconds)
        assert seconds < PATIENCE, "some value takes time out of proportion to its bytes"
    log.info("%d rounds, %d files", rounds, files)
