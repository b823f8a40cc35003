"""Compaction and expiry beside a publish that stands still in its middle, and beside a long pinned read."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime

import psutil
import pytest
from ground import CLEAN, LANDED, Ground, Rows, at_once, hour, until
from moments import AFTER_THE_COMMIT, PUBLISH
from pyspark.sql.connect.session import SparkSession

from feedmill.housekeeping import upkeep
from feedmill.timeline import days

pytestmark = pytest.mark.faults

DURING = ("before the commit", "in the commit, metadata written", "after the commit")


def keep_house(ground: Ground, spark: SparkSession) -> str:
    """All that works on ``main`` beside publishes, in housekeeping's order, as if four days had passed; what was done.

    Orphans by today's clock: no publish takes the three days that an orphan must be old.
    """
    table, lake, ledger = ground.table(LANDED), ground.deployment.lake, ground.deployment.ledger
    now = datetime.now(UTC)
    told = [
        upkeep.expire_snapshots(table, ledger, lake, spark, now + days(4)),
        upkeep.compact(table, lake, spark),
        upkeep.rewrite_manifests(table, lake, spark),
        upkeep.remove_orphans(table, ledger, spark, now),
    ]
    return "; ".join(told)


@pytest.fixture
def crowded(ground: Ground, clean_rows: Callable[..., Rows], monkeypatch: pytest.MonkeyPatch) -> Ground:
    """Two hours, published, whose partitions have several small files: what compaction looks for."""
    clean_rows()
    monkeypatch.setattr(upkeep, "SMALL_FILES", 2)
    iceberg = ground.deployment.lake.ensure(ground.table(LANDED))
    with iceberg.transaction() as transaction:
        transaction.set_properties({"write.distribution-mode": "none"})
    ground.make(LANDED, hour(0, 2))
    return ground


@pytest.mark.rule(3)
@pytest.mark.parametrize("moment", DURING)
def test_upkeep_in_the_middle_of_a_publish(
    clean_rows: Callable[..., Rows], crowded: Ground, spark: SparkSession, moment: str
) -> None:
    expected = clean_rows(LANDED, span=hour(0, 3))
    build_id = crowded.build(LANDED, hour(1, 3))
    publish = crowded.start("publish", LANDED, build_id, "--at", PUBLISH[moment], "--do", "stop")
    with at_once([publish]):
        until(lambda: psutil.Process(publish.pid).status() == psutil.STATUS_STOPPED, 60, moment)
        assert crowded.open_intents() == [build_id]
        done = keep_house(crowded, spark)
        assert "small files of" in done, done
        assert "snapshots expired" in done, done
        publish.send_signal(signal.SIGCONT)
        _, said = publish.communicate(timeout=600)
    assert publish.returncode == 0, said
    assert crowded.rows(LANDED) == expected
    assert crowded.ills() == []
    assert moment in AFTER_THE_COMMIT or len(crowded.builds()) == 2


def test_upkeep_during_a_long_pinned_read(
    clean_rows: Callable[..., Rows], crowded: Ground, spark: SparkSession
) -> None:
    expected = clean_rows(LANDED, span=hour(0, 2)) | clean_rows(CLEAN, span=hour(0))
    lake = crowded.deployment.lake
    read = crowded.start("make", CLEAN, hour(0), "--crawl", "1500")
    with at_once([read]):
        until(lambda: any(b.pins for b in crowded.builds(table_name=CLEAN)), 60, "the read")
        pinned = crowded.builds(table_name=CLEAN)[0].pins[LANDED]
        crowded.make(LANDED, hour(0, 2), "test/again")
        done = keep_house(crowded, spark)
        assert "small files of" in done, done
        assert read.poll() is None, "it still reads"
        snapshots = {s.snapshot_id for s in lake.load(crowded.table(LANDED)).metadata.snapshots}
        assert pinned in snapshots, "what a living build reads does not expire"
        _, said = read.communicate(timeout=600)
    assert read.returncode == 0, said
    assert crowded.rows(LANDED, CLEAN) == expected
    assert "snapshots expired" in keep_house(crowded, spark)
    snapshots = {s.snapshot_id for s in lake.load(crowded.table(LANDED)).metadata.snapshots}
    assert pinned not in snapshots, "nobody reads it any more"
    assert crowded.rows(LANDED, CLEAN) == expected
    assert crowded.ills() == []
