"""Which of several records of an event is kept: the first by arrival hour, whatever times the files tell."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from feed import event, land, make
from sqlalchemy import select

from feedmill.deployment import Deployment
from feedmill.doctor.rebuild import rebuild
from feedmill.ledger.models import Partition
from feedmill.ledger.store import Ledger
from feedmill.timeline import hours

START = datetime(2026, 5, 1, 10, tzinfo=UTC)
LATER = START + hours(3)


def kept(deployment: Deployment) -> list[dict[str, Any]]:
    """What a reader sees of each event."""
    rows = deployment.lake.load(deployment.tables["events.clean"]).scan().to_arrow().to_pylist()
    return sorted(
        ({name: row[name] for name in ("event_id", "item_id", "arrival_hour")} for row in rows),
        key=lambda row: row["event_id"],
    )


def number(deployment: Deployment) -> int:
    """The number that readers of the hour compare with their begins."""
    with deployment.ledger.transaction() as session:
        query = select(Partition.number).where(Partition.table_name == "events.clean", Partition.partition == START)
        return session.scalars(query).one()


@pytest.mark.rule(6)
def test_a_copy_that_keeps_an_old_files_times_displaces_nothing_that_was_published(
    deployment: Deployment, new_ledger: Callable[[], AbstractContextManager[Ledger]]
) -> None:
    land(deployment, START, "a.jsonl", [event(1, START, item_id="first"), event(2, START)], START + timedelta(hours=1))
    make(deployment, "events.landed", START)
    make(deployment, "events.clean", START)
    before, published = number(deployment), kept(deployment)
    assert [row["item_id"] for row in published] == ["first", "i1"]
    copy = [event(1, START, item_id="second"), event(2, START)]
    land(deployment, LATER, "copy.jsonl", copy, modified=START - timedelta(days=1))
    make(deployment, "events.landed", LATER)
    make(deployment, "events.clean", START)
    assert (kept(deployment), number(deployment)) == (published, before), "no reader is stale"

    with new_ledger() as other:
        rebuilt = replace(deployment, ledger=other)
        rebuild(rebuilt, datetime.now(UTC))
        make(rebuilt, "events.landed", START, LATER + hours(1))
        make(rebuilt, "events.clean", START)
        assert kept(rebuilt) == published, "numbers of files are new, their arrival hours are not"
