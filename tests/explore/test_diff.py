"""A diff says how each partition was before the build, and why; and whether a transform gives the same rows twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from builds import Workshop
from rich.console import Console

from feedmill.cli.build import _diff_text
from feedmill.explore.diff import Diff, PartitionDiff, compare
from feedmill.freshness.states import State
from feedmill.lake.catalog import Lake
from feedmill.ledger import builds, codes, files
from feedmill.ledger.files import FoundFile
from feedmill.ledger.store import Ledger
from feedmill.spec import Files
from feedmill.timeline import HOUR, Range, hours

START = datetime(2026, 5, 1, tzinfo=UTC)
ONE = Range.one(START, HOUR)
NOW = START + hours(2)


@pytest.fixture
def shop(lake: Lake, ledger: Ledger, tmp_path: Path) -> Workshop:
    """A table whose history begins at START."""
    shop = Workshop(lake, ledger, tmp_path)
    shop.table = replace(shop.table, since=START)
    return shop


def diff(shop: Workshop, build_id: str, span: Range = ONE) -> list[PartitionDiff]:
    return compare(shop.table, span, build_id, ["item"], shop.ledger, shop.lake, NOW).partitions


def land(shop: Workshop, hour: datetime) -> None:
    """A file that is registered for the hour."""
    found = FoundFile(f"file:///{hour.isoformat()}", "s", "events", hour, 1, "e", hour, None)
    with shop.ledger.transaction() as session:
        files.register(session, [found], NOW)


def build_by(shop: Workshop, identity: str, parts: Mapping[str, str], version: int) -> str:
    """A build by that code."""
    with shop.ledger.transaction() as session:
        codes.record(session, shop.table.name, identity, parts)
        build = builds.begin(session, shop.table, ONE, "test/run", identity)
    shop.finish(build, ONE, shop.write(build.id, ONE, {START: 2}, version), {START: 2}, version)
    shop.judge(build.id, True)
    return build.id


def test_other_rows_of_a_fresh_partition_mean_that_the_transform_is_not_deterministic(shop: Workshop) -> None:
    shop.publish(shop.build(ONE, {START: 2}, 1))
    (same,) = diff(shop, shop.build(ONE, {START: 2}, 1))
    assert (bool(same), same.was, same.is_not_deterministic) == (False, "fresh", False)
    (other,) = diff(shop, shop.build(ONE, {START: 2}, 9))
    assert (other.changed, other.was, other.causes) == (2, "fresh", {State.PUBLISHED: ""})
    assert other.is_not_deterministic


def test_a_file_that_came_since_is_the_cause_and_accuses_nobody(shop: Workshop) -> None:
    shop.table = replace(shop.table, inputs=[Files("events", lookback=hours(1))])
    shop.publish(shop.build(ONE, {START: 2}, 1))
    land(shop, START - hours(1))
    (one,) = diff(shop, shop.build(ONE, {START: 2}, 9))
    why = "files of events of 2026-04-30T23 were registered, ruled out or readmitted after it was built"
    assert one.causes == {State.STALE: why}
    assert (one.was, one.is_not_deterministic) == ("stale", False)


def test_other_code_is_the_cause_and_its_changed_parts_are_named(shop: Workshop) -> None:
    then = {"include/spark/demo/hourly.py": "1", "include/rates.py": "1", "its columns": "1", "its inputs": "1"}
    shop.publish(build_by(shop, "old", then, 1))
    now = {**then, "its columns": "2", "include/spark/demo/hourly.py": "2"}
    (one,) = diff(shop, build_by(shop, "new", now, 9))
    changed = "changed since its rows were made: include/spark/demo/hourly.py, its columns"
    assert (one.causes, one.is_not_deterministic) == ({State.OUTDATED: changed}, False)


def test_code_of_which_nobody_knows_the_parts_is_named_by_its_identity(shop: Workshop) -> None:
    shop.publish(shop.build(ONE, {START: 2}, 1))
    (one,) = diff(shop, build_by(shop, "new", {"its columns": "2"}, 9))
    assert one.causes == {State.OUTDATED: "its rows were made by code code, today's is new"}


def test_what_was_never_published_says_so(shop: Workshop) -> None:
    before = Range(START - hours(2), START, HOUR)
    land(shop, START - hours(2))
    span = Range(before.start, ONE.end, HOUR)
    build = shop.build(span, dict.fromkeys(span.partitions(), 1), 1)
    assert [(p.was, p.added, p.is_not_deterministic) for p in diff(shop, build, span)] == [
        ("never built", 1, False),
        ("not published", 1, False),
        ("missing", 1, False),
    ]


@pytest.mark.parametrize("passed", [True, False], ids=["passed", "failed"])
def test_its_own_check_is_not_how_the_partition_was(shop: Workshop, passed: bool) -> None:
    shop.publish(shop.build(ONE, {START: 2}, 1))
    (one,) = diff(shop, shop.build(ONE, {START: 2}, 1, passed=passed))
    assert one.was == "fresh"
    held = shop.build(ONE, {START: 3}, 2, passed=False)
    (one,) = diff(shop, shop.build(ONE, {START: 2}, 1, passed=passed))
    assert (one.was, held in one.causes[State.HELD]) == ("held", True)


def test_a_failed_build_before_it_stays_its_cause(shop: Workshop) -> None:
    failing = shop.begin(ONE)
    with shop.ledger.transaction() as session:
        builds.failed(session, failing.id, "ValueError: a reason")
    (one,) = diff(shop, shop.build(ONE, {START: 2}, 1))
    assert one.was == "failed"
    assert failing.id in one.causes[State.FAILED]


def test_the_text_names_each_cause_once_and_says_plainly_what_is_not_deterministic(shop: Workshop) -> None:
    def partition(n: int, state: State, why: str, suspect: bool) -> PartitionDiff:
        return PartitionDiff(START + timedelta(hours=n), {state: why}, 5, 5, 0, 0, 1, False, suspect)

    found = [partition(n, State.OUTDATED, "changed since: x.py", False) for n in range(3)]
    found.append(partition(3, State.PUBLISHED, "", True))
    console = Console(width=300)
    with console.capture() as capture:
        run = SimpleNamespace(table=shop.table)
        console.print(*_diff_text(run, Diff(("hour", "item"), found, [])), sep="\n")  # type: ignore[arg-type]
    text = capture.get()
    assert text.count("changed since: x.py") == 1
    assert "2026-05-01T00 to 2026-05-01T03 was outdated: changed since: x.py" in text
    assert "2026-05-01T03: the inputs and the code are the same as before, and the rows are not." in text
    assert "include/spark/demo/hourly.py does not give the same rows twice (it is not deterministic)." in text
