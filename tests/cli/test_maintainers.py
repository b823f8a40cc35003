"""``feedmill maintainers``: who owns what, and what nobody owns."""

import json
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from feedmill.cli.app import app
from feedmill.spec import Maintainer, Maintainers, Map
from include.landing import LANDING
from include.maintainers import MAINTAINERS, feed_data
from include.services import SERVICES
from include.tables import TABLES, clean

ALERTS, PROMETHEUS = "AIRFLOW_CONN_FEEDMILL_ALERTS", "AIRFLOW_CONN_PROMETHEUS_DEFAULT"


@pytest.fixture(autouse=True)
def channel(monkeypatch):
    """The command as a shell calls it, with the channel defined and Prometheus not."""
    monkeypatch.setattr(sys, "argv", ["feedmill"])
    monkeypatch.setenv(ALERTS, json.dumps({"conn_type": "file", "host": "alerts.md"}))
    monkeypatch.delenv(PROMETHEUS, raising=False)


def run(code=0):
    """The command's JSON, and its text; and its exit code must be this."""
    results = [CliRunner().invoke(app, ["maintainers", *form]) for form in (["--json"], [])]
    assert [result.exit_code for result in results] == [code, code], results[0].stderr
    return json.loads(results[0].stdout), results[1].stdout


def test_everything_of_the_project_has_an_owner_who_can_be_reached():
    found, text = run()
    assert [one["maintainer"] for one in found["maintainers"]] == [one.name for one in MAINTAINERS]
    tables = [table["name"] for one in found["maintainers"] for table in one["owns"]["tables"]]
    assert sorted(tables) == sorted(table.name for table in TABLES)
    feed = next(one for one in found["maintainers"] if one["maintainer"] == "feed-data")
    assert {"name": "events.clean", "tier": 1} in feed["owns"]["tables"]
    assert {"name": "events_jsonl", "tier": 1} in feed["owns"]["sources"]
    assert (feed["channels"], feed["backup"]) == (
        [{"connection": "feedmill_alerts", "type": "file"}],
        "personalization",
    )
    assert "tier 1 tables: events.landed, events.clean" in text
    assert "told by feedmill_alerts (file); after that personalization" in text
    assert "works Monday to Friday, 09:00 to 17:00, Europe/Berlin, not on the public holidays of DE-BE" in text
    assert "Everything has an owner who can be reached." in text


def test_a_source_that_is_not_listed_is_owned_by_nobody(monkeypatch):
    monkeypatch.setattr("include.landing.LANDING", [one for one in LANDING if one.source != "items_jsonl"])
    found, text = run(code=1)
    (nobody,) = found["owned_by_nobody"]
    assert (nobody["kind"], nobody["name"]) == ("source", "items_jsonl")
    assert "source items_jsonl: it is not in include/landing.py, so feed-data is told of it" in text
    assert "Everything has an owner" not in text


def test_what_belongs_to_a_team_that_is_not_in_the_file_is_owned_by_nobody(monkeypatch):
    stranger = Maintainer("stranger", description="tests", link="mailto:stranger@example.com")
    monkeypatch.setattr(
        "include.tables.TABLES", Map([replace(clean, inputs=TABLES["events.landed"].inputs, maintainer=stranger)])
    )
    monkeypatch.setattr("include.services.SERVICES", [replace(SERVICES[0], maintainer=stranger)])
    found, text = run(code=1)
    assert [(one["kind"], one["name"]) for one in found["owned_by_nobody"]] == [
        ("table", "events.clean"),
        ("service", "ranker"),
    ]
    assert "table events.clean: stranger, its maintainer in include/tables.py, is not in include/maintainers.py" in text


def test_a_maintainer_whose_channel_is_not_defined_or_who_has_none_cannot_be_reached(monkeypatch):
    monkeypatch.delenv(ALERTS)
    mute = Maintainer("mute", description="tests", link="mailto:mute@example.com")
    monkeypatch.setattr("include.maintainers.MAINTAINERS", Maintainers([*MAINTAINERS, mute]))
    found, text = run(code=1)
    assert {one["maintainer"] for one in found["unreachable"]} == {one.name for one in MAINTAINERS} | {"mute"}
    assert "feed-data: Connection feedmill_alerts is not defined. Add it in Airflow" in text
    assert "mute: It has no channels in include/maintainers.py." in text
    assert found["owns_nothing"] == ["mute"]


def test_a_service_is_watched_once_its_connection_is_defined(monkeypatch):
    found, text = run()
    assert [one["service"] for one in found["not_watched"]] == ["ranker"]
    assert "service ranker: Connection prometheus_default is not defined" in text
    monkeypatch.setenv(PROMETHEUS, json.dumps({"conn_type": "http", "host": "prometheus"}))
    found, text = run()
    assert found["not_watched"] == []
    assert "Not watched" not in text


def test_holidays_that_do_not_exist_are_named(monkeypatch):
    wrong = replace(feed_data, holidays="DE-XX", backup=None)
    monkeypatch.setattr("include.maintainers.MAINTAINERS", Maintainers([wrong]))
    result = CliRunner().invoke(app, ["maintainers"])
    assert result.exit_code == 2
    assert "maintainer feed-data has the holidays 'DE-XX'" in result.stderr
