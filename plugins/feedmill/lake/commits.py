"""Feedmill's commits on ``main``, and what each records about its build (rule 10)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.snapshots import Snapshot

from feedmill.ledger.models import Build
from feedmill.ledger.publishes import Moved

_BUILD_ID = "feedmill.build-id"


@dataclass(frozen=True)
class Commit:
    """One publish, as the summary of its snapshot records it."""

    snapshot_id: int
    at: datetime
    build_id: str
    start: datetime
    """The start of the build's range; ``end`` is its end."""
    end: datetime
    begin: int
    epoch: int
    identity: str
    owner: str
    pins: Mapping[str, Any]
    """The build's pins: see :class:`feedmill.ledger.models.Build`."""
    moved: tuple[Moved, ...]

    def build(self, table_name: str) -> Build:
        """The build's row, for a ledger that has lost it."""
        return Build(
            id=self.build_id,
            table_name=table_name,
            range_start=self.start,
            range_end=self.end,
            begin=self.begin,
            epoch=self.epoch,
            identity=self.identity,
            owner=self.owner,
            state="built",
            session_id="",
            pins=dict(self.pins),
            snapshot_id=self.snapshot_id,
            started_at=self.at,
            finished_at=self.at,
        )


def commits(iceberg: IcebergTable | None) -> Iterator[Commit]:
    """Feedmill's commits on ``main``, newest first; none if the table does not exist."""
    if iceberg is None:
        return
    by_id = {s.snapshot_id: s for s in iceberg.metadata.snapshots}
    snapshot = iceberg.metadata.snapshot_by_name("main")
    while snapshot is not None:
        summary = dict(snapshot.summary.additional_properties) if snapshot.summary else {}
        if _BUILD_ID in summary:
            yield _read(snapshot, summary)
        snapshot = by_id.get(snapshot.parent_snapshot_id) if snapshot.parent_snapshot_id else None


def summary(build: Build, moved: Iterable[Moved]) -> dict[str, str]:
    """The properties of a commit that moves these partitions of the build; :class:`Commit` reads them back."""
    partitions = {
        m.partition.isoformat(): {
            "rows": m.rows,
            "digest": m.digest,
            "touches": None if m.touches is None else {hour.isoformat(): rows for hour, rows in m.touches.items()},
        }
        for m in moved
    }
    return {
        _BUILD_ID: build.id,
        "feedmill.range": f"{build.range_start.isoformat()}/{build.range_end.isoformat()}",
        "feedmill.begin": str(build.begin),
        "feedmill.epoch": str(build.epoch),
        "feedmill.identity": build.identity,
        "feedmill.owner": build.owner,
        "feedmill.inputs": json.dumps(build.pins),
        "feedmill.partitions": json.dumps(partitions),
    }


def touched_hours(touches: Mapping[str, int] | None) -> dict[datetime, int] | None:
    """Rows by touched hour, from the JSON form."""
    return None if touches is None else {datetime.fromisoformat(hour): rows for hour, rows in touches.items()}


def _read(snapshot: Snapshot, properties: Mapping[str, str]) -> Commit:
    start, _, end = properties["feedmill.range"].partition("/")
    return Commit(
        snapshot.snapshot_id,
        datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC),
        properties[_BUILD_ID],
        datetime.fromisoformat(start),
        datetime.fromisoformat(end),
        int(properties["feedmill.begin"]),
        int(properties["feedmill.epoch"]),
        properties["feedmill.identity"],
        properties["feedmill.owner"],
        json.loads(properties["feedmill.inputs"]),
        tuple(
            Moved(datetime.fromisoformat(p), entry["rows"], entry["digest"], touched_hours(entry["touches"]))
            for p, entry in json.loads(properties["feedmill.partitions"]).items()
        ),
    )
