"""SIGKILL to a task and to Spark while a file that cannot be read is looked for; then the retry."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import landed
import pytest
from ground import LANDED, START, Ground, Rows, hour, until
from moments import DECLARED, QUARANTINE

from feedmill.ledger import quarantine
from feedmill.ledger.models import File, FileDecision
from feedmill.local.spark import SparkServer

pytestmark = [pytest.mark.faults, pytest.mark.rule(6)]


@pytest.fixture
def bad(ground: Ground, clean_rows: Callable[..., Rows], tmp_path: Path) -> Path:
    """The landed hours, and beside them a file that Spark cannot read; ``ground`` works on them from here on."""
    clean_rows(LANDED)
    zone = tmp_path / "zone"
    shutil.copytree(ground.deployment.lake.landing.removeprefix("file://"), zone)
    lake = replace(ground.deployment.lake, landing=zone.as_uri())
    lake.__dict__["catalog"] = ground.deployment.lake.catalog
    ground.deployment = replace(ground.deployment, lake=lake)
    landed.parquet(zone.as_uri(), START, "good.parquet", 0, rows=0)
    return landed.parquet(zone.as_uri(), START, "bad.parquet", 9000, damaged=True)


def defects(ground: Ground) -> list[str]:
    with ground.deployment.ledger.transaction() as session:
        return [file.path for file in quarantine.newest(session, 100)]


def rows(ground: Ground) -> Rows:
    """Without the paths of their files: this ground has copies of them."""
    return {name: [(*row[:-3], *row[-2:]) for row in found] for name, found in ground.rows(LANDED).items()}


def expected(clean: Rows) -> Rows:
    return {name: [(*row[:-3], *row[-2:]) for row in found] for name, found in clean.items()}


@pytest.mark.parametrize("moment", QUARANTINE)
def test_a_task_is_killed_while_a_file_is_quarantined(
    ground: Ground, clean_rows: Callable[..., Rows], bad: Path, moment: str
) -> None:
    ground.killed("build", LANDED, hour(0), QUARANTINE[moment])
    assert defects(ground) == ([bad.as_uri()] if moment in DECLARED else []), "all or nothing"
    ground.make(LANDED, hour(0))
    assert rows(ground) == expected(clean_rows(LANDED, span=hour(0)))
    assert defects(ground) == [bad.as_uri()]
    with ground.deployment.ledger.transaction() as session:
        assert session.query(FileDecision).count() == 1, "declared once"
        assert session.get_one(File, bad.as_uri()).arrival_hour == START
    assert ground.stale(LANDED) == []
    assert ground.ills(mend=True) == []


def test_the_spark_server_is_killed_while_a_file_is_looked_for_and_no_file_is_blamed(
    ground: Ground, clean_rows: Callable[..., Rows], bad: Path, spark_server: SparkServer
) -> None:
    code, said = ground.robbed("build", LANDED, hour(0), QUARANTINE["the good file is written"], spark_server.component)
    until(spark_server.ready, 90, "the supervisor's new server")
    assert code == 1, said
    assert defects(ground) == []
    assert [build.state for build in ground.builds()] == ["failed"]
    ground.make(LANDED, hour(0))
    assert defects(ground) == [bad.as_uri()]
    assert rows(ground) == expected(clean_rows(LANDED, span=hour(0)))
    assert len(ground.builds()) == 3
