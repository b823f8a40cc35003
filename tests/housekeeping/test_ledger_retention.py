"""The ledger does not grow without an end, and what it forgets changes no state."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from builds import Workshop, each
from sqlalchemy import func, select, update

from feedmill.deployment import Deployment
from feedmill.flow.publish import reconcile
from feedmill.freshness.load import load
from feedmill.freshness.staleness import frozen_because
from feedmill.housekeeping.ledger import AGED, BOUNDED, KEEP, SEALED_AFTER, tidy
from feedmill.lake.catalog import Lake
from feedmill.landing.discover import discover
from feedmill.ledger import builds, codes, files, forget
from feedmill.ledger.models import (
    Base,
    Build,
    Code,
    Counter,
    File,
    Folder,
    Partition,
    Publish,
    SealedHour,
    Touch,
    Verdict,
)
from feedmill.ledger.store import Ledger
from feedmill.spec import Input, Map, Source, Table
from feedmill.timeline import HOUR, Range, days, hours

START = datetime(2026, 5, 1, tzinfo=UTC)
ONE = Range(START, START + hours(1), HOUR)
TWO = Range(START, START + hours(2), HOUR)
LINES = Source("lines", kind="events", suffixes=(".jsonl",), layout="lines")


@pytest.fixture
def shop(lake: Lake, ledger: Ledger, tmp_path: Path) -> Workshop:
    """An hourly table that keeps 90 days of what was landed."""
    return Workshop(lake, ledger, tmp_path, f"demo.hourly_{uuid.uuid4().hex[:8]}")


@pytest.fixture
def here(shop: Workshop) -> Deployment:
    """The table, and one that reads it by touches and keeps 400 days."""
    reader = Table("demo.reader", HOUR, [Input(shop.table, by="touches")], shop.table.maintainer, 2, days(400))
    return Deployment(shop.lake.project, Map([shop.table, reader]), {"lines": LINES}, shop.ledger, shop.lake)


def age(ledger: Ledger, by: int) -> None:
    """All builds and publishes were so many days earlier."""
    with ledger.transaction() as session:
        earlier = func.now() - days(by)
        session.execute(update(Build).values(started_at=earlier, finished_at=earlier))
        session.execute(update(Publish).values(published_at=earlier))


def count(ledger: Ledger, model: type[Base]) -> int:
    with ledger.transaction() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def forgotten(ledger: Ledger) -> int:
    with ledger.transaction() as session:
        return session.execute(select(Counter.forgotten)).scalar_one()


def test_every_table_of_the_ledger_has_an_age_or_a_reason_why_it_needs_none() -> None:
    assert AGED.keys() | BOUNDED.keys() == set(Base.metadata.tables)
    assert not AGED.keys() & BOUNDED.keys()


def test_an_hour_that_was_built_ten_times_keeps_its_current_build_and_those_that_iceberg_names(
    shop: Workshop, here: Deployment
) -> None:
    ids = [shop.build(ONE, each(ONE, 2), version) for version in range(10)]
    for build_id in ids[::3]:
        shop.publish(build_id)
    age(shop.ledger, KEEP.days + 1)
    before = forgotten(shop.ledger)
    said = tidy(shop.table, here, datetime.now(UTC))
    assert said.startswith("the ledger forgot 6 replaced builds, ")
    with shop.ledger.transaction() as session:
        assert set(session.scalars(select(Build.id))) == set(ids[::3])
    assert (count(shop.ledger, Verdict), forgotten(shop.ledger)) == (4, before + 1)
    assert tidy(shop.table, here, datetime.now(UTC)) == "the ledger has nothing of it that is too old"
    assert forgotten(shop.ledger) == before + 1, "nothing was deleted, and nobody need read everything anew"
    reconcile(shop.table, shop.ledger, shop.lake)
    assert {p: build for p, (build, _) in shop.recorded().items()} == {START: ids[-1]}


def test_builds_that_iceberg_has_forgotten_go_too_but_not_the_last_that_changed_something(
    shop: Workshop, here: Deployment
) -> None:
    # The third has the rows of the second, so that the hour keeps the second's number.
    first, second, third = (shop.build(ONE, each(ONE, 2), version) for version in (1, 2, 2))
    for build_id in (first, second, third):
        shop.publish(build_id)
    age(shop.ledger, KEEP.days + 1)
    with shop.ledger.transaction() as session:
        assert forget.builds(session, shop.table, datetime.now(UTC), START, []) == 1
    with shop.ledger.transaction() as session:
        assert set(session.scalars(select(Build.id))) == {second, third}


@pytest.mark.parametrize("how", ["young", "running", "held", "failed"])
def test_a_build_that_still_says_something_stays(shop: Workshop, here: Deployment, how: str) -> None:
    if how == "running":
        shop.begin(ONE)
    elif how == "failed":
        build = shop.begin(ONE)
        with shop.ledger.transaction() as session:
            builds.failed(session, build.id, "ValueError: no")
    else:
        shop.build(ONE, each(ONE, 2), 1, passed=how == "young")
    age(shop.ledger, 1 if how == "young" else KEEP.days + 1)
    now = START + days(50) if how != "young" else datetime.now(UTC)
    with shop.ledger.transaction() as session:
        ended_before = datetime.now(UTC) - KEEP
        assert forget.builds(session, shop.table, ended_before, now - shop.table.keep, []) == 0
    if how in ("held", "failed"):
        with shop.ledger.transaction() as session:
            past = START + hours(1)
            assert forget.builds(session, shop.table, ended_before, past, []) == 1, "its hour is past its retention"


def test_an_expired_partition_is_known_until_the_last_of_its_readers_has_expired(
    shop: Workshop, here: Deployment
) -> None:
    reader = here.tables["demo.reader"]
    shop.publish(shop.build(TWO, each(TWO, 2), 1))
    with shop.ledger.transaction() as session:
        for moment in TWO.partitions():
            session.add(Touch(table_name=shop.table.name, partition=moment, touched=moment, rows=2, number=1))
        session.execute(update(Partition).values(expired_at=func.now()))

    def frozen(moment: datetime) -> bool:
        with shop.ledger.transaction() as session:
            return frozen_because(reader, moment, load(session, [reader])) is not None

    tidy(shop.table, here, START + reader.keep + KEEP)
    assert (count(shop.ledger, Partition), frozen(START), frozen(START + hours(1))) == (2, True, True)
    tidy(shop.table, here, START + reader.keep + KEEP + days(1))
    assert (count(shop.ledger, Partition), count(shop.ledger, Touch)) == (1, 1), "the newest stays"
    assert not frozen(START)


@pytest.mark.rule(6)
def test_sealed_hours_are_merged_and_stay_sealed(shop: Workshop, here: Deployment, tmp_path: Path) -> None:
    many = Range(START, START + days(30), HOUR)
    with shop.ledger.transaction() as session:
        files.seal(session, "events", Range(START, START + days(10), HOUR))
        files.seal(session, "events", Range(START + days(11), many.end, HOUR))
    tidy(shop.table, here, many.end + SEALED_AFTER + hours(1))
    assert count(shop.ledger, SealedHour) == 2
    with shop.ledger.transaction() as session:  # a build of an hour in the middle begins once more
        files.seal(session, "events", ONE)
        files.seal(session, "events", Range(START + days(5), START + days(5) + hours(1), HOUR))
    tidy(shop.table, here, many.end + SEALED_AFTER + hours(1))
    assert count(shop.ledger, SealedHour) == 2
    now, arrived = many.end + hours(3), {}
    for at in (START, START + days(5), START + days(10), many.end - hours(1), many.end):
        path = Path(here.lake.landing.removeprefix("file://")) / "lines" / HOUR.name_of(at) / "late.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("{}\n")
    for file in discover(here.lake.landing, here.sources, ["events"], shop.ledger, now):
        arrived[Path(file.path).parent.name] = file.arrival_hour
    sealed, open_ = {START, START + days(5), many.end - hours(1)}, {START + days(10), many.end}
    assert arrived == {HOUR.name_of(at): now for at in sealed} | {HOUR.name_of(at): at for at in open_}


@pytest.mark.rule(6)
def test_a_registered_file_is_forgotten_once_it_is_gone_and_its_rows_have_expired(
    shop: Workshop, here: Deployment
) -> None:
    zone = Path(here.lake.landing.removeprefix("file://")) / "lines"
    paths = [zone / HOUR.name_of(START + n * hours(1)) / "a.jsonl" for n in range(3)]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.write_text("{}\n")

    def look() -> int:
        return len(discover(here.lake.landing, here.sources, ["events"], shop.ledger, START + hours(9)))

    assert look() == 3
    paths[0].unlink()
    paths[0].parent.rmdir()
    past = START + hours(3) + shop.table.keep + KEEP
    tidy(shop.table, here, past - days(1))
    assert count(shop.ledger, File) == 3, "what was built from it may be rebuilt"
    zone.rename(zone.with_name("away"))
    tidy(shop.table, here, past + hours(1))
    zone.mkdir()
    tidy(shop.table, here, past + hours(1))
    assert count(shop.ledger, File) == 3, "a disk that is away tells nothing"
    zone.rmdir()
    zone.with_name("away").rename(zone)
    tidy(shop.table, here, past + hours(1))
    assert count(shop.ledger, File) == 2
    assert look() == 0


def test_what_a_code_was_made_of_is_known_as_long_as_a_build_has_it(shop: Workshop, here: Deployment) -> None:
    shop.publish(shop.build(ONE, each(ONE, 2), 1))
    with shop.ledger.transaction() as session:
        for identity in ("code", "older"):
            codes.record(session, shop.table.name, identity, {"transform": "digest"})
    tidy(shop.table, here, datetime.now(UTC))
    with shop.ledger.transaction() as session:
        assert set(session.scalars(select(Code.identity))) == {"code"}


@pytest.mark.rule(6)
def test_a_folder_that_was_removed_is_forgotten_when_everything_is_listed(shop: Workshop, here: Deployment) -> None:
    zone = Path(here.lake.landing.removeprefix("file://")) / "lines"
    for n in range(2):
        (zone / HOUR.name_of(START + n * hours(1))).mkdir(parents=True)

    def look() -> int:
        discover(here.lake.landing, here.sources, ["events"], shop.ledger, START + days(9))
        return count(shop.ledger, Folder)

    assert look() == 3
    (zone / HOUR.name_of(START)).rmdir()
    assert look() == 3
    with shop.ledger.transaction() as session:
        session.execute(update(Folder).values(seen_at=Folder.seen_at - days(2)))
    assert look() == 2
