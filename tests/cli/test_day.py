"""A day at the command line, on real PostgreSQL, Spark and Iceberg: land, build, ask, look, hold, accept, try out."""

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import functions as F
from typer.testing import CliRunner

from feedmill import deployment as deployments
from feedmill.cli.app import app
from feedmill.ledger import store
from feedmill.timeline import HOUR

PROJECT = Path(__file__).resolve().parents[2]
HOURLY = "rollups.item_engagement_hourly"


@pytest.fixture
def project(deployment, tmp_path, monkeypatch):
    """A copy of the project's facts, with the test's own ledger and lake behind the connections."""
    copy = tmp_path / "project"
    for part in ("include", "expectations"):
        shutil.copytree(PROJECT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("FEEDMILL_PROJECT", str(copy))
    _replace(monkeypatch, "AIRFLOW_CONN_FEEDMILL_LEDGER", schema=deployment.ledger.url.rpartition("/")[2])
    extra = json.loads(os.environ["AIRFLOW_CONN_ICEBERG_DEFAULT"])["extra"]
    own = {"landing": deployment.lake.landing, "pages": deployment.lake.pages}
    _replace(monkeypatch, "AIRFLOW_CONN_ICEBERG_DEFAULT", extra={**extra, **own})
    _forget()
    yield copy
    store.open_ledger().engine.dispose()
    _forget()


def _replace(monkeypatch, variable, **fields):
    monkeypatch.setenv(variable, json.dumps({**json.loads(os.environ[variable]), **fields}))


def _forget():
    store.open_ledger.cache_clear()
    deployments.open_deployment.cache_clear()


def run(*command, code=0):
    """The command's JSON; and its exit code must be this."""
    result = CliRunner().invoke(app, [*command, "--json"])
    assert result.exit_code == code, result.stderr
    return json.loads(result.stdout) if result.stdout else result.stderr


def test_a_day_at_the_command_line(project, tmp_path, monkeypatch):
    now = datetime.now(UTC)
    for command in ("account", "build", "land", "status"):
        # The hour may end while the day goes on.
        monkeypatch.setattr(f"feedmill.cli.{command}.utc_now", lambda: now)
    hour = HOUR.floor(now) - timedelta(hours=1)
    name = HOUR.name_of(hour)
    log = tmp_path / "log.jsonl"
    log.write_text(
        "".join(
            json.dumps(
                {
                    "event_id": f"e{n}",
                    "event_time": f"2020-01-01T07:0{n}:00Z",
                    "event_types": ["impression", "click"] if n == 0 else ["impression"],
                    "item_id": f"i{n % 2}",
                }
            )
            + "\n"
            for n in range(5)
        )
    )
    # Nothing is there yet: no table, no rows, no partitions.
    assert run("sql", f"select count(*) as n from {HOURLY}") == [{"n": 0}]
    assert {str(table["partitions"]) for table in run("status")} == {"[]"}

    end = (hour + timedelta(hours=1)).isoformat()
    (arrival,) = run("land", "--source", "events_jsonl", str(log), "--shift-to", end)
    assert (arrival["state"], arrival["hour"]) == ("landed", name)

    # Without what it reads it would be published as an hour without events.
    assert f"{HOURLY} {name} lacks events.clean {name}." in run("build", HOURLY, code=2)
    for table in ("events.landed", "events.clean"):
        assert run("build", table, "--start", name)["publish"]["published"] == [name]
    # A first try that is not published leaves no table, so that its DDL may change; nor does one that fails.
    import include.spark.rollups.item_engagement_hourly as module

    right = module.transform
    assert run("build", HOURLY, "--no-publish", "--diff")["publish"] is None
    monkeypatch.setattr(module, "transform", lambda clean: right(clean.select("nope")))
    assert "`nope` cannot be resolved" in run("build", HOURLY, "--no-publish", code=1)
    # An error in SQL has no line, and is one sentence all the same: PySpark has no call to show for it.
    too_large = "impressions * 9223372036854775807"
    monkeypatch.setattr(module, "transform", lambda clean: right(clean).withColumn("impressions", F.expr(too_large)))
    said = run("build", HOURLY, "--no-publish", code=1).strip().splitlines()[-1]
    assert said.startswith("[ARITHMETIC_OVERFLOW] ")
    assert "Error" not in said
    monkeypatch.setattr(module, "transform", right)
    deployment = deployments.open_deployment()
    assert deployment.lake.load_if_exists(deployment.tables[HOURLY]) is None
    # Without --start: the newest partition that has ended, which is this one.
    assert run("build", HOURLY)["publish"]["published"] == [name]
    ask = f"select item_id, impressions, clicks from {HOURLY} order by item_id"
    published = [
        {"item_id": "i0", "impressions": 3, "clicks": 1},
        {"item_id": "i1", "impressions": 2, "clicks": 0},
    ]
    assert run("sql", ask) == published
    assert run("status", HOURLY)[0]["counts"] == {"published": 1}
    assert run("status", HOURLY, "--stale-only") == []

    # Every row of the file is somewhere, and what events.rejected has not read yet would be none.
    for what in (name, "log.jsonl"):
        found = run("account", what)
        assert (found["rows"], found["unexplained"]) == (5, 0)
        assert sum(one["clean"] for one in found["event_hours"]) == 5
    assert "no registered file is called elsewhere.jsonl" in run("account", "elsewhere.jsonl", code=2)
    said = CliRunner().invoke(app, ["account", name])
    assert said.exit_code == 0
    assert "Every row is accounted for." in said.stdout

    # Trying a transform out: what would change, and nothing does.
    monkeypatch.setattr(
        module, "transform", lambda clean: right(clean.where("event_id != 'e1' and event_id != 'e3'")).replace(3, 4)
    )
    tried = run("build", HOURLY, "--no-publish", "--diff")
    (partition,) = tried["diff"]["partitions"]
    assert (partition["added"], partition["removed"], partition["changed"]) == (0, 1, 1)
    # The transform was changed in memory only: for the files on disk, the same code gave other rows.
    assert (partition["was"], partition["causes"], partition["is_not_deterministic"]) == (
        "fresh",
        {"published": ""},
        True,
    )
    (column,) = tried["diff"]["columns"]
    assert (column["column"], column["before"], column["after"]) == ("impressions", 3, 4)
    assert (tried["publish"], tried["check"]) == (None, None)
    assert run("sql", ask) == published
    assert run("status", "--builds", "--limit", "1")[0]["state"] == "discarded"
    assert run("status", HOURLY)[0]["counts"] == {"published": 1}

    monkeypatch.setattr(module, "transform", right)

    # A failed check holds the partition; what is published stays; a person may accept it.
    path = project / "expectations/rollups/item_engagement_hourly.json"
    suite = json.loads(path.read_text())
    suite["expectations"].append(
        {
            "type": "expect_column_max_to_be_between",
            "kwargs": {"column": "clicks", "max_value": 0},
            "severity": "critical",
        }
    )
    path.write_text(json.dumps(suite))
    held = run("build", HOURLY, code=1)
    assert held["check"]["held"] == held["publish"]["held"] == [name]
    (shown,) = run("status", HOURLY, code=1)[0]["partitions"]
    assert shown["state"] == "held"
    assert held["build"] in shown["why"]
    as_built = run("sql", "--as-of-build", held["build"], ask)
    assert as_built == published
    assert "needs a name and a reason" in run("accept", held["build"], name, "--name", "Ada", "--reason", " ", code=2)
    assert run("accept", held["build"], name, "--name", "Ada", "--reason", "A test")["published"] == [name]
    assert run("status", HOURLY)[0]["counts"] == {"published": 1}
    assert "there is nothing to accept" in run(
        "accept", run("status", "--builds", "--limit", "20")[-1]["build"], name, "--name", "A", "--reason", "b", code=2
    )


def test_the_calendar_has_a_cell_for_each_hour_and_a_legend(project):
    result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 0
    assert "nothing was ever published" in result.stdout


def test_a_spark_that_does_not_answer_is_unreachable(project, monkeypatch):
    _replace(monkeypatch, "AIRFLOW_CONN_SPARK_DEFAULT", port=1)
    yesterday = HOUR.name_of(HOUR.floor(datetime.now(UTC)) - timedelta(days=1))
    assert "feedmill s" in run("build", HOURLY, "--start", yesterday, "--no-publish", code=3)


def test_what_lacks_an_input_is_published_only_where_that_is_asked_for(project, monkeypatch):
    _replace(monkeypatch, "AIRFLOW_CONN_SPARK_DEFAULT", port=1)
    yesterday = HOUR.name_of(HOUR.floor(datetime.now(UTC)) - timedelta(days=1))
    lacks = f"{HOURLY} {yesterday} lacks events.clean {yesterday}. It belongs to feed-data; it was never built"
    refused = run("build", HOURLY, "--start", yesterday, code=2)
    assert lacks in refused
    assert "--partial" in refused
    assert run("status", "--builds") == []
    for option in ("--partial", "--no-publish"):
        # It says so, and gets as far as Spark.
        said = run("build", HOURLY, "--start", yesterday, option, code=3)
        assert lacks in said
        assert "feedmill s" in said


def test_the_future_is_not_built_by_any_option(project):
    tomorrow = HOUR.name_of(HOUR.floor(datetime.now(UTC)) + timedelta(days=1))
    assert "has not ended" in run("build", HOURLY, "--start", tomorrow, "--partial", "--no-publish", code=2)
