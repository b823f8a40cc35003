"""The whole map on a simulated feed: every table is built, checked and published, and rebuilt in other ranges."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from feedmill.deployment import Deployment
from feedmill.explore.count import account
from feedmill.flow.build import build
from feedmill.flow.check import check
from feedmill.flow.job import Job
from feedmill.flow.publish import publish
from feedmill.ledger import builds
from feedmill.simulate.feed import EVENTS, ITEMS, simulate
from feedmill.simulate.settings import Settings
from feedmill.spec import Table
from feedmill.timeline import HOUR, Range, days, hours

START = datetime(2026, 1, 5, tzinfo=UTC)
FEED = Settings(START, days=3, users=300, events_per_day=3_000, items=300)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_table_of_a_simulated_feed_passes_its_check_and_is_the_same_from_other_ranges(
    deployment: Deployment, tmp_path: Path
) -> None:
    made = simulate(FEED, tmp_path / "feed")
    land(tmp_path / "feed", Path(deployment.lake.landing.removeprefix("file://")))
    clean = {table.name: built(table, spans(table)[0], deployment) for table in deployment.tables}
    empty = [name for name, partitions in clean.items() if not any(rows for rows, _ in partitions.values())]
    assert empty == ["events.rejected"]
    assert sum(rows for rows, _ in clean["events.clean"].values()) == made["rows"]["events"]
    now = datetime.now(UTC)
    arrival = list(spans(deployment.tables["events.landed"])[0].partitions())
    # Every seventh hour: on each day other hours. An account reads all that the hour has, which takes seconds.
    for hour in arrival[::7]:
        found = account(hour, deployment, now)
        assert (found.unexplained, sum(one.outstanding for one in [*found.files, *found.events])) == (0, 0), hour
        assert found.rows, hour
    for table in deployment.tables:
        _, earlier, later = spans(table)
        again = built(table, later, deployment) | built(table, earlier, deployment)
        assert again == clean[table.name], table.name


def land(feed: Path, landing: Path) -> None:
    """The feed as it would have arrived: a file's time is when its rows were received."""
    for source in (EVENTS, ITEMS):
        shutil.copytree(feed / source, landing / source, copy_function=shutil.copy2)
    assert any(os.scandir(landing / EVENTS))


def spans(table: Table) -> tuple[Range, Range, Range]:
    """What is built, and two parts of it; of hourly features and rankings the last hours, which test as much."""
    end = START + days(FEED.days)
    start, middle = START, START + days(1)
    if table.every is HOUR and table.schema in ("features", "serving"):
        start, middle = end - hours(6), end - hours(2)
    return table.range(start, end), table.range(start, middle), table.range(middle, end)


def built(table: Table, span: Range, deployment: Deployment) -> dict[datetime, tuple[int, str]]:
    """Rows and digest of each partition; nothing was held."""
    made = build(Job(table, span, deployment, f"test/{table.name}/{span.start}"))
    assert check(table, made.build_id, deployment).held == [], table.name
    assert publish(table, made.build_id, deployment.ledger, deployment.lake).held == []
    with deployment.ledger.transaction() as session:
        return {at: (part.rows, part.digest) for at, part in builds.written(session, made.build_id).items()}
