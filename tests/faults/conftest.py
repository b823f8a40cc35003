"""A ground on which processes are killed: four hours of landed events, and what a clean build makes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from ground import HOURLY, HOURS, START, Ground, Rows, hour

from feedmill.deployment import Deployment
from feedmill.timeline import HOUR, Range

PER_HOUR = 24


@pytest.fixture(scope="session")
def landing(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four hours with duplicates, broken rows, and events that come an hour late; read by every test."""
    root = tmp_path_factory.mktemp("landing")
    for number in range(HOURS):
        at = START + timedelta(hours=number)
        folder = root / "events_jsonl" / HOUR.name_of(at)
        folder.mkdir(parents=True)
        events = [_event(f"e{number}-{n}", at + timedelta(minutes=n)) for n in range(PER_HOUR)]
        late = [_event(f"late{number}", at - timedelta(minutes=5))] if number else []
        for name, part in (("a", events[::2]), ("b", [*events[1::2], *late, events[0]])):
            lines = [json.dumps(event) for event in part]
            (folder / f"{name}.jsonl").write_text("\n".join([*lines, "{broken"]) + "\n")
    return root.as_uri()


def _event(event_id: str, at: datetime) -> dict[str, str]:
    kind = "click" if event_id.endswith("3") else "impression"
    user = f"u{event_id[-1]}"
    return {
        "event_id": event_id,
        "event_time": at.isoformat(),
        "event_type": kind,
        "item_id": f"i{event_id[-1]}",
        "user_id": user,
    }


@pytest.fixture
def ground(deployment: Deployment, landing: str) -> Ground:
    """An empty ledger and lake before the landed hours."""
    lake = replace(deployment.lake, landing=landing)
    lake.__dict__["catalog"] = deployment.lake.catalog
    return Ground(replace(deployment, lake=lake))


_CLEAN_ROWS: Rows = {}


@pytest.fixture
def clean_rows(ground: Ground) -> Callable[..., Rows]:
    """The rows of a build that nobody disturbed, of all hours in one range; made once, in the first test's own lake."""
    if not _CLEAN_ROWS:
        for name in HOURLY:
            ground.make(name, hour(0, HOURS), "test/clean")
        _CLEAN_ROWS.update(ground.rows(*HOURLY))
        for name in HOURLY:
            ground.deployment.lake.catalog.drop_table(name)
        with ground.deployment.ledger.engine.begin() as connection:
            names = "files, folders, sealed_hours, builds, claims, publishes, partitions, touches, intents, verdicts"
            connection.exec_driver_sql(f"TRUNCATE {names} CASCADE")

    def of(*names: str, span: Range | None = None) -> Rows:
        kept = {name: _CLEAN_ROWS[name] for name in names}
        if span is None:
            return kept
        hours = {str(moment) for moment in span.partitions()}
        return {name: [row for row in rows if row[0] in hours] for name, rows in kept.items()}

    return of
