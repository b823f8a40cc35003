"""Events that land, and tables that are built from them, on real parts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from feedmill.deployment import Deployment
from feedmill.flow.build import build
from feedmill.flow.check import check
from feedmill.flow.job import Job
from feedmill.flow.publish import publish
from feedmill.timeline import HOUR


def event(number: int, at: datetime, **fields: object) -> dict[str, object]:
    """A record of the contract; its id says its number."""
    known = {"event_id": f"e{number}", "event_time": at.isoformat(), "event_type": "impression", "item_id": "i1"}
    return {**known, **fields}


def land(
    deployment: Deployment,
    hour: datetime,
    name: str,
    rows: Iterable[Mapping[str, object] | str],
    modified: datetime | None = None,
) -> Path:
    """A file of JSON lines in the folder of the hour; ``modified``: the time that it tells instead of today's."""
    folder = Path(deployment.lake.landing.removeprefix("file://")) / "events_jsonl" / HOUR.name_of(hour)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    if modified is not None:
        os.utime(path, (modified.timestamp(), modified.timestamp()))
    return path


def make(deployment: Deployment, name: str, start: datetime, end: datetime | None = None) -> str:
    """Build, check and publish a range of a table, without an end one partition; the build's id."""
    table = deployment.tables[name]
    span = table.range(start, end or start + table.every.length)
    built = build(Job(table, span, deployment, f"test/{name}"))
    check(table, built.build_id, deployment)
    publish(table, built.build_id, deployment.ledger, deployment.lake)
    return built.build_id
