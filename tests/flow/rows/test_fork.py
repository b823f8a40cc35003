"""A build's branch, when others commit to its table at the same moment."""

from __future__ import annotations

import logging
import shutil
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from builds import Workshop
from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy import text

from feedmill.flow.rows.fork import fork
from feedmill.lake.catalog import Lake, branch_name
from feedmill.ledger.store import Ledger
from feedmill.timeline import HOUR, Range

START = datetime(2026, 5, 1, tzinfo=UTC)
WAITING = text(
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ILIKE '%iceberg_tables%'"
)
MOVE = text("UPDATE iceberg_tables SET metadata_location = :new WHERE metadata_location = :old")


def test_a_commit_that_comes_between_costs_an_attempt_and_not_the_build(
    lake: Lake, ledger: Ledger, tmp_path: Path, spark: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The catalog's row is locked until Spark waits to swap it; then it names other metadata."""
    shop = Workshop(lake, ledger, tmp_path, f"demo.hourly_{uuid.uuid4().hex[:8]}")
    shop.publish(shop.build(Range.one(START, HOUR), {START: 1}, 1))
    assert isinstance(lake.catalog, SqlCatalog)
    caplog.set_level(logging.INFO, "feedmill.lake.attempts")
    old = shop.lake.load(shop.table).metadata_location
    new = old.replace("metadata/", "metadata/99999-")
    shutil.copy(old.removeprefix("file://"), new.removeprefix("file://"))
    with ThreadPoolExecutor(1) as pool, lake.catalog.engine.connect() as other, lake.catalog.engine.connect() as watch:
        assert other.execute(MOVE, {"old": old, "new": new}).rowcount == 1
        forked = pool.submit(fork, shop.table, "b1", spark)
        deadline = time.monotonic() + 60
        while not watch.execute(WAITING).scalar_one():
            assert time.monotonic() < deadline, "Spark never came to its commit"
            watch.rollback()
            time.sleep(0.02)
        other.commit()
        assert forked.result(60) == branch_name("b1")
    assert "another commit came before making branch build_b1, attempt 1" in caplog.text
    assert branch_name("b1") in shop.lake.load(shop.table).metadata.refs
    assert fork(shop.table, "b1", spark) == branch_name("b1"), "what is there stays"
