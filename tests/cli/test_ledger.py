"""``feedmill ledger``: an empty database becomes a ledger, and a ledger stays one."""

import json

import pytest
from sqlalchemy import make_url, text
from typer.testing import CliRunner

from feedmill.cli.app import app
from feedmill.ledger.store import Ledger, next_number


def test_an_empty_database_gets_its_tables_and_a_second_time_changes_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_url(ledger.url)
    fields = {"conn_type": "postgres", "host": url.host, "port": url.port, "login": url.username}
    fields |= {"password": url.password, "schema": url.database}
    monkeypatch.setenv("AIRFLOW_CONN_FEEDMILL_LEDGER", json.dumps(fields))
    with ledger.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    for number in (1, 2):
        result = CliRunner().invoke(app, ["ledger", "migrate"])
        assert result.exit_code == 0, result.output
        with ledger.transaction() as session:
            assert next_number(session) == number
