"""What all commands share: help, exit codes, sentences."""

import codecs
import importlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from pyiceberg.exceptions import CommitFailedException
from pyspark.errors import PySparkException
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from feedmill.cli.app import app
from feedmill.cli.exits import FOREIGN, CommandError, code_of, sentence_of
from feedmill.cli.options import range_of
from feedmill.errors import Exit
from feedmill.ledger import builds
from feedmill.timeline import parse
from include.tables import TABLES

COMMANDS = [
    ["land"],
    ["build"],
    ["status"],
    ["sql"],
    ["accept"],
    ["account"],
    ["new-table"],
    ["simulate"],
    ["docs"],
    ["maintainers"],
    ["doctor"],
    ["files", "list"],
    ["files", "show"],
    ["files", "disown"],
    ["files", "readmit"],
    ["ledger", "migrate"],
    ["ledger", "rebuild"],
    ["stack", "up"],
    ["stack", "down"],
    ["stack", "status"],
]
NOW = datetime(2026, 5, 2, 13, 20, tzinfo=UTC)
HOURLY = TABLES["rollups.item_engagement_hourly"]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_and_json(command):
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"feedmill {' '.join(command)}" in result.stdout
    assert "--json" in result.stdout


def test_help_fills_the_width_whatever_the_lines_of_the_docstring_are():
    result = CliRunner().invoke(app, ["new-table", "--help"], env={"COLUMNS": "400", "TERM": "dumb"})
    assert "by one of its columns, and the test passes. Then you edit them; docs/first-table.md" in result.stdout


def test_help_imports_nothing_heavy():
    heavy = ("airflow", "pyspark", "pyiceberg", "sqlalchemy", "great_expectations", "pandas", "duckdb")
    code = f"import sys, feedmill.cli.app; sys.exit(' '.join(m for m in {heavy} if m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr == "\n"


@pytest.mark.parametrize("name", FOREIGN)
def test_every_expected_error_of_a_library_exists(name):
    module, _, kind = name.rpartition(".")
    assert issubclass(getattr(importlib.import_module(module), kind), Exception)


@pytest.mark.parametrize("error", [RuntimeError(), ValueError("\n"), PySparkException(message=""), CommandError("")])
def test_an_error_without_a_message_is_still_told(error):
    assert type(error).__name__ in sentence_of(error)


def test_a_database_that_fails_without_a_word_is_told():
    assert "PostgreSQL does not answer" in sentence_of(OperationalError("SELECT 1", {}, Exception()))


def test_a_mistake_in_code_is_not_taken_for_a_wrong_request():
    assert code_of(raised_by(lambda: {}["x"])) is Exit.UNEXPECTED
    assert "--debug" in sentence_of(KeyError("x"))


def test_only_the_project_s_own_words_say_that_a_request_was_wrong():
    no_builds = SimpleNamespace(get=lambda *_: None)
    assert code_of(raised_by(lambda: builds.get(no_builds, "b1"))) is Exit.USAGE
    assert code_of(raised_by(lambda: parse("yesterday"))) is Exit.USAGE
    # A library's may come when half of the work is done; "nothing was changed" is not what it says.
    assert code_of(raised_by(lambda: json.loads("{"))) is Exit.UNEXPECTED
    assert code_of(raised_by(lambda: codecs.lookup("no such"))) is Exit.UNEXPECTED


def raised_by(call):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
        call()
    return caught.value


def test_commits_that_others_came_before_may_be_tried_again():
    assert code_of(CommitFailedException("20 attempts all met another commit")) is Exit.BUSY


def test_numbers_that_json_has_not_are_null(monkeypatch):
    monkeypatch.setattr("feedmill.cli.sql.ledger_and_lake", lambda: (None, None))
    query = "select 'nan'::double as a, '-inf'::double as b, [0.5::double, 'inf'::double] as c"
    result = CliRunner().invoke(app, ["sql", "--json", query])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout, parse_constant=pytest.fail) == [{"a": None, "b": None, "c": [0.5, None]}]


def test_a_value_cannot_command_the_terminal_and_stays_as_it_is_as_data(monkeypatch):
    monkeypatch.setattr("feedmill.cli.sql.ledger_and_lake", lambda: (None, None))
    obeyed = "\x1b]0;title\x07|\x9b2J|\u202egnp.exe|\u2066|\x7f|\n|é|中|שלום"
    query = f"""select '{obeyed}' as "a\x1b[2J", ['{obeyed}'] as b"""
    shown = CliRunner().invoke(app, ["sql", query]).stdout
    assert r"\x1b]0;title\x07|\x9b2J|\u202egnp.exe|\u2066|\x7f|\n|é|中|שלום" in shown
    assert r"a\x1b[2J" in shown
    assert not set("\x1b\x07\x9b\u202e\u2066\x7f") & set(shown)
    assert obeyed in CliRunner().invoke(app, ["sql", "--csv", query]).stdout
    (row,) = json.loads(CliRunner().invoke(app, ["sql", "--json", query]).stdout)
    assert row["b"] == [obeyed]
    wrong = CliRunner().invoke(app, ["sql", "select cast('\x1b[2J' as integer)"])
    assert r"\x1b[2J" in wrong.stderr
    assert "\x1b" not in wrong.stderr


def test_a_database_that_does_not_answer_is_unreachable_and_says_what_to_do():
    from sqlalchemy import create_engine
    from sqlalchemy.exc import OperationalError

    with pytest.raises(OperationalError) as caught:
        create_engine("postgresql+psycopg2://u:p@127.0.0.1:1/x").connect()
    assert code_of(caught.value) is Exit.UNREACHABLE
    assert "feedmill stack up" in sentence_of(caught.value)
    assert "\n" not in sentence_of(caught.value)


def test_an_unknown_table_is_a_wrong_request_that_lists_the_tables():
    result = CliRunner().invoke(app, ["build", "events.nope"])
    assert result.exit_code == Exit.USAGE
    assert "events.clean" in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_publishing_without_a_check_is_refused():
    result = CliRunner().invoke(app, ["build", HOURLY.name, "--no-check"])
    assert result.exit_code == Exit.USAGE
    assert "nothing is published without a check" in result.stderr


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, "2026-05-02T12"),
        ("2026-05-01T13", None, "2026-05-01T13"),
        ("2026-05-01", "2026-05-01T03", "2026-05-01T00 to 2026-05-01T03"),
    ],
)
def test_a_range_is_the_newest_ended_partition_or_what_is_said(start, end, expected):
    assert str(range_of(HOURLY, start, end, NOW)) == expected


def test_an_end_without_a_start_is_refused():
    with pytest.raises(CommandError, match="--end needs --start"):
        range_of(HOURLY, None, "2026-05-01", NOW)
