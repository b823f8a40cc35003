"""A table's DAG as Airflow runs it: the four operators, their states, and what a marked task cannot do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException

from feedmill.airflow.operators import range_of
from feedmill.deployment import Deployment
from feedmill.freshness.load import load
from feedmill.timeline import HOUR
from include.tables import landed

START = datetime(2026, 5, 1, 10, tzinfo=UTC)
END = START + timedelta(hours=3)
RunDag = Callable[..., dict[str, str]]


@pytest.fixture
def landed_files(deployment: Deployment) -> None:
    """An event in each of three hours; the one of the middle hour is a click."""
    for offset in range(3):
        hour = START + timedelta(hours=offset)
        folder = Path(deployment.lake.landing.removeprefix("file://")) / "events_jsonl" / HOUR.name_of(hour)
        folder.mkdir(parents=True)
        row = {
            "event_id": f"e{offset}",
            "event_time": hour.isoformat(),
            "event_type": "click" if offset == 1 else "impression",
            "item_id": "i1",
        }
        (folder / "a.jsonl").write_text(json.dumps(row) + "\n")


def published(deployment: Deployment, name: str) -> list[datetime]:
    with deployment.ledger.transaction() as session:
        return sorted(load(session, [deployment.tables[name]]).published.get(name, {}))


def test_a_range_is_built_checked_and_published(run_dag: RunDag, landed_files: None, deployment: Deployment) -> None:
    states = run_dag("events.landed", START, END)
    assert states == dict.fromkeys(["wait_for_inputs", "build", "check", "publish", "dag"], "success")
    assert published(deployment, "events.landed") == [START + timedelta(hours=h) for h in range(3)]


def test_a_run_with_a_date_before_the_history_began_builds_its_hour(
    run_dag: RunDag, landed_files: None, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow makes no task for a run before the start of a DAG, and calls the run a success."""
    monkeypatch.setenv("FEEDMILL_SINCE", "2026-06-01T00:00:00Z")
    states = run_dag("events.landed", None, None, logical_date=START + timedelta(hours=1))
    assert states == dict.fromkeys(["wait_for_inputs", "build", "check", "publish", "dag"], "success")
    assert published(deployment, "events.landed") == [START]


def test_the_schedule_begins_with_the_history_and_a_backfill_where_it_likes(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    from feedmill.airflow.dag import table_dag

    monkeypatch.setenv("FEEDMILL_SINCE", "2026-05-01T10:20:00Z")
    stored = DagSerialization.to_dict(table_dag(landed))
    dag = DagSerialization.from_dict(json.loads(json.dumps(stored)))
    first = dag.next_dagrun_info(last_automated_run_info=None)
    assert first is not None
    assert first.data_interval is not None
    assert (first.data_interval.start, first.data_interval.end) == (START, START + timedelta(hours=1))
    second = dag.next_dagrun_info(last_automated_run_info=first)
    assert second is not None
    assert second.logical_date == START + timedelta(hours=1)
    early = START - timedelta(hours=5)
    earlier = dag.iter_dagrun_infos_between(early, START - timedelta(hours=3))
    assert [info.logical_date for info in earlier] == [early + timedelta(hours=h) for h in range(3)]


def test_marking_the_check_as_success_publishes_nothing(
    run_dag: RunDag, landed_files: None, deployment: Deployment
) -> None:
    states = run_dag("events.landed", START, END, marked="check")
    assert (states["check"], states["publish"], states["dag"]) == ("success", "failed", "failed")
    assert published(deployment, "events.landed") == []


def test_marking_the_build_as_success_publishes_nothing(
    run_dag: RunDag, landed_files: None, deployment: Deployment
) -> None:
    states = run_dag("events.landed", START, END, marked="build")
    assert (states["build"], states["dag"]) == ("success", "failed")
    assert published(deployment, "events.landed") == []


def test_one_held_hour_neither_hides_nor_blocks_the_others(
    run_dag: RunDag, landed_files: None, deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dag("events.landed", START, END)
    # A project whose suite of events.clean does not allow what the middle hour has.
    project = tmp_path / "project"
    for folder in ("include", "expectations"):
        shutil.copytree(deployment.project / folder, project / folder)
    strict = replace(deployment, project=project)
    monkeypatch.setattr("feedmill.deployment.open_deployment", lambda: strict)
    suite = project / "expectations" / "events" / "clean.json"
    good = suite.read_text()
    parsed = json.loads(good)
    rule = {"column": "hour", "value_set": [(START + timedelta(hours=1)).isoformat()]}
    parsed["expectations"].append(
        {
            "type": "expect_column_values_to_not_be_in_set",
            "kwargs": rule,
            "severity": "critical",
            "meta": {"notes": "Look at the clicks."},
        }
    )
    suite.write_text(json.dumps(parsed))
    states = run_dag("events.clean", START, END)
    assert (states["build"], states["check"], states["publish"], states["dag"]) == ("success", *["failed"] * 3)
    assert published(deployment, "events.clean") == [START, START + timedelta(hours=2)]
    page = next(Path(deployment.lake.pages.removeprefix("file://")).glob("events.clean/*.html")).read_text()
    for evidence in (
        "2026-05-01T11",
        "Look at the clicks.",
        "e1",
        "FOR VERSION AS OF",
        deployment.tables["events.clean"].maintainer.name,
    ):
        assert evidence in page
    # The suite is mended; the next run publishes the hour that was held.
    suite.write_text(good)
    assert run_dag("events.clean", START, END)["dag"] == "success"
    assert published(deployment, "events.clean") == [START + timedelta(hours=h) for h in range(3)]


def test_a_range_that_is_not_made_of_whole_partitions_is_refused_in_one_sentence(
    run_dag: RunDag, deployment: Deployment
) -> None:
    states = run_dag("events.landed", START + timedelta(minutes=5), END)
    assert states["wait_for_inputs"] == "failed"
    assert states["dag"] == "failed"
    assert published(deployment, "events.landed") == []


@pytest.mark.parametrize("interval", [{}, {"data_interval_start": None, "data_interval_end": None}])
def test_a_run_that_has_neither_an_interval_nor_a_range_is_refused_in_one_sentence(interval: dict[str, None]) -> None:
    said = r"^events\.landed: the run has no data interval; give start and end$"
    with pytest.raises(AirflowFailException, match=said):
        range_of(landed, {"params": {"start": None, "end": None}, **interval})
