"""``feedmill files``: what is not read is listed with its reason, and a person's word about it is kept."""

import json
from datetime import UTC, datetime

import landed
import pytest
from typer.testing import CliRunner

from feedmill.cli.app import app
from feedmill.landing.discover import discover
from feedmill.ledger import quarantine
from feedmill.ledger.models import Partition
from feedmill.ledger.quarantine import Defect

HOUR = datetime(2026, 5, 1, 13, tzinfo=UTC)
SIGNED = ("--name", "Ada", "--reason", "INC-7")


@pytest.fixture
def zone(deployment, monkeypatch):
    """Two registered files, of which no build can read one; the command works on them."""
    monkeypatch.setattr("feedmill.deployment.open_deployment", lambda: deployment)
    paths = [landed.parquet(deployment.lake.landing, HOUR, name, 0) for name in ("good.parquet", "bad.parquet")]
    discover(deployment.lake.landing, deployment.sources, ["events"], deployment.ledger, datetime.now(UTC))
    with deployment.ledger.transaction() as session:
        quarantine.declare(session, {paths[1].as_uri(): Defect("cannot be read by Spark: \x1b[31mred", "code")})
    return paths


def run(*command, code=0):
    """The command's JSON; and its exit code must be this."""
    result = CliRunner().invoke(app, ["files", *command, "--json"])
    assert result.exit_code == code, result.stderr
    return json.loads(result.stdout) if result.stdout else result.stderr


def test_what_is_not_read_is_listed_by_source_and_hour_and_by_file(zone):
    found = run("list", "--quarantined")
    size = zone[1].stat().st_size
    where = {"source": "events_parquet", "arrival_hour": "2026-05-01T13"}
    assert found["by_source_and_hour"] == [{**where, "files": 1, "bytes": size, "disowned": 0}]
    assert [(one["file"], one["state"]) for one in found["files"]] == [(zone[1].as_uri(), "defect")]
    assert {one["state"] for one in run("list", "--hour", "2026-05-01T13")} == {"defect", "read"}
    assert run("list", "--hour", "2026-05-02") == run("list", "--source", "items_jsonl") == []
    text = CliRunner().invoke(app, ["files", "list", "--quarantined"]).stdout
    assert "cannot be read by Spark" in text
    assert "\x1b[31m" not in text, "a file's own words are no command to the terminal"


def test_a_file_is_found_by_its_url_its_path_or_the_end_of_it(zone):
    for name in (zone[0].as_uri(), str(zone[0]), "2026-05-01T13/good.parquet", "good.parquet"):
        assert run("show", name)["file"] == zone[0].as_uri()
    assert "no registered file is called d.parquet" in run("show", "d.parquet", code=2)


def test_disowned_and_readmitted_with_a_name_and_a_reason(zone, deployment):
    good = str(zone[0])
    assert run("disown", good, *SIGNED)["state"] == "disowned"
    assert "was disowned by Ada already: INC-7" in run("disown", good, *SIGNED, code=2)
    assert run("list", "--quarantined")["by_source_and_hour"][0]["disowned"] == 1
    assert run("readmit", good, "--name", "Bo", "--reason", "it is right")["state"] == "read"
    assert "builds read it already" in run("readmit", good, code=2)
    shown = run("show", good)
    assert [(one["what"], one["name"], one["reason"]) for one in shown["decisions"]] == [
        ("disowned", "Ada", "INC-7"),
        ("readmitted", "Bo", "it is right"),
    ]
    assert [(one["table"], one["partitions"]) for one in shown["read_by"]] == [
        ("events.landed", "2026-05-01T13"),
        ("events.rejected", "2026-05-01T13"),
    ]
    assert run("readmit", str(zone[1]))["state"] == "read", "a defect too, without another word"
    assert "needs a name and a reason" in run("disown", good, "--name", "Ada", "--reason", " ", code=2)


def test_a_file_that_is_gone_can_be_disowned_and_not_readmitted(zone):
    zone[0].unlink()
    assert run("disown", "good.parquet", *SIGNED)["state"] == "disowned"
    assert "is not there" in run("readmit", "good.parquet", code=1)


def test_where_the_rows_of_its_hour_have_expired_a_file_is_left_as_it_is(zone, deployment):
    with deployment.ledger.transaction() as session:
        build = quarantine_build(session)
        facts = {"begin": 1, "number": 1, "identity": "", "rows": 0, "digest": ""}
        row = Partition(table_name="events.landed", partition=HOUR, build_id=build, **facts)
        row.expired_at = datetime.now(UTC)
        session.add(row)
    assert "events.landed 2026-05-01T13 has passed its retention" in run("disown", "good.parquet", *SIGNED, code=2)
    assert "events.landed 2026-05-01T13 has passed its retention" in run("readmit", "bad.parquet", code=2)
    assert {one["state"] for one in run("list")} == {"read", "defect"}


def quarantine_build(session):
    """A build for the expired partition."""
    from feedmill.ledger import builds
    from feedmill.timeline import HOUR as HOURLY
    from feedmill.timeline import Range
    from include.tables import TABLES

    return builds.begin(session, TABLES["events.landed"], Range.one(HOUR, HOURLY), "test/run", "code").id
