"""Rule 6: a file that Spark cannot read becomes one rejected row, and the rest of its hour is published."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import landed
import pytest
from pyspark.sql import functions as F

from feedmill.deployment import Deployment
from feedmill.doctor.rebuild import rebuild
from feedmill.flow.build import build
from feedmill.flow.check import Checked, check
from feedmill.flow.job import Job
from feedmill.flow.publish import publish
from feedmill.flow.suspects import ReaderSuspectedError, Search
from feedmill.freshness.load import load
from feedmill.freshness.staleness import stale_because
from feedmill.landing import footer
from feedmill.landing.discover import LandingError, look_again
from feedmill.ledger import quarantine
from feedmill.ledger.models import Build, File, Partition
from feedmill.ledger.quarantine import DecisionError, Defect, Quarantined
from feedmill.ledger.store import Ledger
from feedmill.timeline import HOUR, Range
from include.bounds import MIB, RAW_LENGTH
from include.spark.sources import events_jsonl

pytestmark = pytest.mark.rule(6)

START = datetime(2026, 5, 1, 10, tzinfo=UTC)
LANDED, REJECTED = "events.landed", "events.rejected"


def parquet(deployment: Deployment, name: str, first: int, **form: Any) -> Path:
    return landed.parquet(deployment.lake.landing, START, name, first, **form)


def make(deployment: Deployment, name: str, owner: str = "test/run") -> tuple[str, Checked]:
    table = deployment.tables[name]
    built = build(Job(table, Range.one(START, HOUR), deployment, owner))
    checked = check(table, built.build_id, deployment)
    publish(table, built.build_id, deployment.ledger, deployment.lake)
    return built.build_id, checked


def event(number: int, item: str) -> str:
    """A line of events_jsonl."""
    at = START.isoformat()
    return json.dumps({"event_id": f"e{number}", "event_time": at, "event_type": "click", "item_id": item})


def rows_of(deployment: Deployment, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = deployment.lake.load(deployment.tables[name]).scan().to_arrow().to_pylist()
    return found


def file_of(deployment: Deployment, path: Path) -> File:
    with deployment.ledger.transaction() as session:
        return session.get_one(File, path.as_uri())


def stale(deployment: Deployment, name: str) -> bool:
    with deployment.ledger.transaction() as session:
        return bool(stale_because(deployment.tables[name], START, load(session, deployment.tables)))


def builds_of(deployment: Deployment, name: str) -> list[Build]:
    with deployment.ledger.transaction() as session:
        return session.query(Build).filter_by(table_name=name).order_by(Build.begin).all()


def test_a_file_with_a_corrupt_page_is_one_rejected_row_and_the_rest_of_its_hour_is_published_in_the_same_run(
    deployment: Deployment,
) -> None:
    good = [parquet(deployment, f"good-{n}.parquet", 1000 * n) for n in range(2)]
    bad = parquet(deployment, "bad.parquet", 9000, damaged=True)
    built, checked = make(deployment, LANDED)
    assert len(rows_of(deployment, LANDED)) == 1000
    assert {row["source_file"] for row in rows_of(deployment, LANDED)} == {path.as_uri() for path in good}
    file = file_of(deployment, bad)
    assert file.arrival_hour == START
    assert file.defect is not None
    assert file.defect.startswith("cannot be read by Spark: its bytes are damaged (")
    assert str(bad.parent) not in file.defect
    assert "Exception" not in file.defect.partition(": ")[0]
    first, second = builds_of(deployment, LANDED)
    assert (first.state, second.state, second.id) == ("interrupted", "built", built)
    assert first.error == f"the run began anew without {bad.as_uri()}: {file.defect}"
    assert first.begin < file.number < second.begin
    assert not stale(deployment, LANDED)
    # The check says how much is not there, and holds nothing.
    lost, all_bytes = bad.stat().st_size, sum(path.stat().st_size for path in [*good, bad])
    message = f"1 of 3 files was not read: {lost:,} of {all_bytes:,} bytes ({100 * lost / all_bytes:.2g} %)"
    (verdict,) = checked.report.verdicts
    (finding,) = verdict.findings
    assert (verdict.passed, finding.severity, finding.message) == (True, "warning", message)
    assert message in checked.sentence
    assert message in checked.evidence()
    assert message in Path(checked.page.removeprefix("file://")).read_text()
    make(deployment, REJECTED)
    (row,) = rows_of(deployment, REJECTED)
    assert (row["source_file"], row["line"], row["reason"], row["raw"]) == (bad.as_uri(), None, file.defect, None)
    assert len(builds_of(deployment, REJECTED)) == 1, "nobody looks for it again"
    with deployment.ledger.transaction() as session:
        assert quarantine.quarantined(session) == [Quarantined("events_parquet", START, 1, bad.stat().st_size, 0)]
        (decision,) = quarantine.decisions(session, bad.as_uri())
    assert (decision.what, decision.name, decision.reason) == ("defect", "Feedmill", file.defect)
    refs = deployment.lake.load(deployment.tables[LANDED]).metadata.refs
    assert f"build_{first.id}" not in refs, "the doctor has nothing to mend"
    assert not (good[0].parents[2] / "_feedmill").exists() or not list((good[0].parents[2] / "_feedmill").iterdir())


def test_a_codec_that_spark_lacks_is_named(deployment: Deployment) -> None:
    parquet(deployment, "good.parquet", 0)
    bad = parquet(deployment, "bad.parquet", 9000, codec="brotli")
    make(deployment, LANDED)
    assert len(rows_of(deployment, LANDED)) == 500
    assert "brotli" in str(file_of(deployment, bad).defect).lower()


def test_a_file_alone_in_its_hour_is_measured_against_a_good_one_that_feedmill_writes(deployment: Deployment) -> None:
    bad = parquet(deployment, "bad.parquet", 0, damaged=True)
    make(deployment, LANDED)
    assert rows_of(deployment, LANDED) == []
    assert file_of(deployment, bad).defect is not None


@pytest.fixture
def codec_that_discovery_lets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Discovery believes that Spark unpacks brotli, as it may of a codec that is new."""
    monkeypatch.setattr(footer, "_CODECS", {3: "LZO"})


@pytest.mark.usefixtures("codec_that_discovery_lets_through")
def test_where_all_files_fail_alike_the_reader_is_suspected_and_no_file(deployment: Deployment) -> None:
    paths = [parquet(deployment, f"{n}.parquet", 1000 * n, codec="brotli") for n in range(3)]
    with pytest.raises(ReaderSuspectedError, match=r"the reader is suspected, not the files: all 3 files of events_pa"):
        make(deployment, LANDED)
    assert [file_of(deployment, path).defect for path in paths] == [None, None, None]
    (failed,) = builds_of(deployment, LANDED)
    assert failed.state == "failed"


@pytest.mark.usefixtures("codec_that_discovery_lets_through")
def test_one_file_that_reads_well_clears_the_reader(deployment: Deployment) -> None:
    bad = [parquet(deployment, f"{n}.parquet", 1000 * n, codec="brotli") for n in range(3)]
    parquet(deployment, "good.parquet", 9000)
    make(deployment, LANDED)
    assert len(rows_of(deployment, LANDED)) == 500
    assert all(file_of(deployment, path).defect for path in bad)
    assert len(builds_of(deployment, LANDED)) == 2, "all are found in one try"


@pytest.mark.parametrize("cause", ["java.lang.OutOfMemoryError: Java heap space", "AmazonS3Exception: SlowDown"])
def test_an_error_of_what_surrounds_the_read_blames_no_file(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    bad = parquet(deployment, "bad.parquet", 0, damaged=True)
    monkeypatch.setattr("feedmill.spark.failures._whole", lambda error: f"{error}\nCaused by: {cause}")
    with pytest.raises(Exception, match=r"bad\.parquet"):
        make(deployment, LANDED)
    assert file_of(deployment, bad).defect is None
    assert builds_of(deployment, LANDED)[0].state == "failed"


def test_where_a_good_file_cannot_be_read_either_no_file_is_blamed(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = parquet(deployment, "bad.parquet", 0, damaged=True)
    content = bad.read_bytes()
    monkeypatch.setattr("feedmill.flow.suspects._good_bytes", lambda _: content)
    with pytest.raises(Exception, match=r"bad\.parquet"):
        make(deployment, LANDED)
    assert file_of(deployment, bad).defect is None


def test_two_builds_that_meet_the_same_file_at_once_both_go_on_without_it(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet(deployment, "good.parquet", 0)
    bad = parquet(deployment, "bad.parquet", 9000, damaged=True)
    look = Search.culprits

    def after_the_other(search: Search, error: Exception) -> dict[str, Defect]:
        monkeypatch.setattr(Search, "culprits", look)
        make(deployment, REJECTED, "test/other")
        return look(search, error)

    monkeypatch.setattr(Search, "culprits", after_the_other)
    make(deployment, LANDED)
    assert len(rows_of(deployment, LANDED)) == 500
    assert len(rows_of(deployment, REJECTED)) == 1
    with deployment.ledger.transaction() as session:
        assert len(quarantine.decisions(session, bad.as_uri())) == 1
    assert (stale(deployment, LANDED), stale(deployment, REJECTED)) == (False, False)


def test_a_source_that_fails_on_a_row_costs_the_file_of_that_row(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spark's message names the value and not the file: it is found by halves."""
    folder = Path(deployment.lake.landing.removeprefix("file://")) / "events_jsonl" / HOUR.name_of(START)
    folder.mkdir(parents=True)
    for n in range(9):
        (folder / f"{n}.jsonl").write_text(event(n, "7" if n != 5 else "x") + "\n")
    right = events_jsonl.read

    def careless(rows: Any) -> Any:
        return right(rows).withColumn("item_id", F.col("item_id").cast("int").cast("string"))

    monkeypatch.setattr(events_jsonl, "read", careless)
    make(deployment, LANDED)
    assert len(rows_of(deployment, LANDED)) == 8
    defect = file_of(deployment, folder / "5.jsonl").defect
    assert defect is not None
    assert "'x'" in defect
    assert len(builds_of(deployment, LANDED)) == 2


def test_a_landing_zone_that_feedmill_may_not_write_to_needs_no_good_file(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = parquet(deployment, "bad.parquet", 0, damaged=True)
    # The tests run as root, whom no mode keeps out; a file in the folder's place does.
    (bad.parents[2] / "_feedmill").write_text("")
    make(deployment, LANDED)
    assert file_of(deployment, bad).defect is not None


def test_a_line_that_spark_must_not_see_costs_only_itself(
    deployment: Deployment, new_ledger: Callable[[], AbstractContextManager[Ledger]]
) -> None:
    folder = Path(deployment.lake.landing.removeprefix("file://")) / "events_jsonl" / HOUR.name_of(START)
    folder.mkdir(parents=True)
    path, events = folder / "a.jsonl", [event(n, "7") + "\n" for n in range(4)]
    long = f'{{"event_id": "{"x" * 6 * MIB}"}}\n'
    path.write_text("".join([events[0], events[1], long, events[2], "\n", events[3], long.strip()]))
    make(deployment, LANDED)
    make(deployment, REJECTED)
    assert {row["line"] for row in rows_of(deployment, LANDED)} == {1, 2, 4, 6}
    rejected = rows_of(deployment, REJECTED)
    assert {(row["line"], row["reason"]) for row in rejected} == {
        (line, "raw: the line is longer than 1 MiB") for line in (3, 7)
    }
    assert {row["source_file"] for row in rejected} == {path.as_uri()}
    assert {row["raw"] for row in rejected} == {f"{long[:RAW_LENGTH]}…"}
    before = file_of(deployment, path)
    assert (before.not_read, before.long_lines) == (None, 2)
    # Whoever forgot how many there are would show them to Spark.
    with new_ledger() as other:
        rebuilt = replace(deployment, ledger=other)
        rebuild(rebuilt, datetime.now(UTC))
        assert file_of(rebuilt, path).long_lines == 2
    with deployment.ledger.transaction() as session:
        quarantine.disown(session, path.as_uri(), "Ada", "why not", deployment.tables)
        seen = look_again(deployment.lake.landing, session.get_one(File, path.as_uri()), deployment.sources)
        assert seen is not None
        assert quarantine.readmit(session, seen, "Ada", "well", deployment.tables).long_lines == 2


def test_a_defect_of_older_reader_code_is_tried_again(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet(deployment, "a.parquet", 0)
    make(deployment, LANDED)
    with deployment.ledger.transaction() as session:
        quarantine.declare(session, {path.as_uri(): Defect("cannot be read by Spark: so far", "older")})
    assert stale(deployment, LANDED)
    make(deployment, LANDED, "test/again")
    assert len(rows_of(deployment, LANDED)) == 500
    assert file_of(deployment, path).not_read is None
    with deployment.ledger.transaction() as session:
        last = quarantine.decisions(session, path.as_uri())[-1]
    assert (last.what, last.name, last.reason) == ("readmitted", "Feedmill", "the reader code has changed since")
    assert not stale(deployment, LANDED)


def test_a_missing_file_is_disowned_and_its_hour_built_without_it_and_readmitted_it_is_read_again(
    deployment: Deployment,
) -> None:
    kept, lost = parquet(deployment, "kept.parquet", 0), parquet(deployment, "lost.parquet", 1000)
    make(deployment, LANDED)
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(LandingError, match=r"lost\.parquet .* is gone; put it back.*`feedmill files disown`"):
        make(deployment, LANDED, "test/gone")
    with deployment.ledger.transaction() as session:
        quarantine.disown(session, lost.as_uri(), "Ada", "deleted by INC-7", deployment.tables)
    assert stale(deployment, LANDED)
    make(deployment, LANDED, "test/without")
    make(deployment, REJECTED)
    assert {row["source_file"] for row in rows_of(deployment, LANDED)} == {kept.as_uri()}
    assert [row["reason"] for row in rows_of(deployment, REJECTED)] == ["disowned: deleted by INC-7"]
    assert not stale(deployment, LANDED)
    lost.write_bytes(content)
    readmit(deployment, lost)
    assert stale(deployment, LANDED)
    assert stale(deployment, REJECTED)
    make(deployment, LANDED, "test/with")
    assert len(rows_of(deployment, LANDED)) == 1000


def test_a_mended_file_is_read_with_its_new_bytes_once_it_is_readmitted(deployment: Deployment) -> None:
    bad = parquet(deployment, "bad.parquet", 0, damaged=True)
    parquet(deployment, "good.parquet", 1000)
    make(deployment, LANDED)
    parquet(deployment, "bad.parquet", 0, rows=200)
    make(deployment, LANDED, "test/again")
    assert len(rows_of(deployment, LANDED)) == 500, "nobody but a person readmits"
    readmit(deployment, bad)
    assert stale(deployment, LANDED)
    make(deployment, LANDED, "test/mended")
    assert len(rows_of(deployment, LANDED)) == 700
    with pytest.raises(DecisionError, match="builds read it already"):
        readmit(deployment, bad)


def readmit(deployment: Deployment, path: Path) -> None:
    seen = look_again(deployment.lake.landing, file_of(deployment, path), deployment.sources)
    assert seen is not None
    with deployment.ledger.transaction() as session:
        quarantine.readmit(session, seen, "Ada", "it is back", deployment.tables)


def test_where_the_hour_has_expired_nothing_is_disowned_or_readmitted(deployment: Deployment) -> None:
    path = parquet(deployment, "a.parquet", 0)
    make(deployment, LANDED)
    with deployment.ledger.transaction() as session:
        session.get_one(Partition, (LANDED, START)).expired_at = datetime.now(UTC)
    refused = pytest.raises(DecisionError, match=r"events\.landed 2026-05-01T10 has passed its retention of 90 days")
    with refused, deployment.ledger.transaction() as session:
        quarantine.disown(session, path.as_uri(), "Ada", "too late", deployment.tables)
    assert file_of(deployment, path).not_read is None
