import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy.engine import make_url

from feedmill import connections
from feedmill.airflow_settings import SettingsError, load
from feedmill.connections import Connection, ConnectionNotDefinedError
from feedmill.local.home import Home, free_ports


@pytest.fixture(autouse=True)
def no_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Outside of Airflow, without a stack, with nothing in the environment."""
    for conn_id in (connections.LEDGER, connections.ICEBERG, connections.SPARK, connections.TRINO):
        monkeypatch.delenv(f"AIRFLOW_CONN_{conn_id.upper()}", raising=False)
    for name in [name for name in sys.modules if name.split(".")[0] == "airflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setenv("FEEDMILL_HOME", str(tmp_path / "nowhere"))


@pytest.fixture
def stack(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("FEEDMILL_HOME", str(home.path))
    return home


@pytest.fixture
def airflow_store(monkeypatch: pytest.MonkeyPatch) -> dict[str, Connection]:
    """An Airflow process, as far as connections go; its store is the dictionary."""
    store: dict[str, Connection] = {}

    class NotFoundError(Exception):
        pass

    class BaseHook:
        @staticmethod
        def get_connection(conn_id: str) -> object:
            if conn_id not in store:
                raise NotFoundError
            return store[conn_id]

    sdk, exceptions = ModuleType("airflow.sdk"), ModuleType("airflow.sdk.exceptions")
    sdk.BaseHook = BaseHook
    exceptions.AirflowNotFoundException = NotFoundError
    for module in (ModuleType("airflow"), sdk, exceptions):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(sys, "argv", ["airflow"])
    return store


def test_the_environment_wins_over_the_stack(stack: Home, monkeypatch: pytest.MonkeyPatch):
    fields = {"conn_type": "postgres", "host": "elsewhere", "port": "5432", "extra": '{"sslmode": "require"}'}
    monkeypatch.setenv("AIRFLOW_CONN_FEEDMILL_LEDGER", json.dumps(fields))
    found = connections.get("feedmill_ledger")
    assert (found.host, found.port, found.extra) == ("elsewhere", 5432, {"sslmode": "require"})


def test_airflow_wins_over_the_stack_inside_airflow(stack: Home, airflow_store: dict[str, Connection]):
    airflow_store["feedmill_ledger"] = Connection("feedmill_ledger", "postgres", host="of-airflow")
    assert connections.get("feedmill_ledger").host == "of-airflow"


def test_what_airflow_lacks_is_taken_from_the_stack(stack: Home, airflow_store: dict[str, Connection]):
    assert connections.get("feedmill_ledger").port == stack.port("postgres")


def test_the_command_line_does_not_ask_airflow(
    stack: Home, airflow_store: dict[str, Connection], monkeypatch: pytest.MonkeyPatch
):
    airflow_store["feedmill_ledger"] = Connection("feedmill_ledger", "postgres", host="of-airflow")
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/feedmill"])
    assert connections.get("feedmill_ledger").host == "127.0.0.1"


def test_the_stack_answers_without_importing_airflow(stack: Home):
    env = stack.env()
    ledger = connections.ledger_url()
    assert ledger.endswith(f"{env['FEEDMILL_POSTGRES_PASSWORD']}@127.0.0.1:{stack.port('postgres')}/ledger")
    assert (
        connections.get(connections.SPARK).spark_url
        == f"sc://localhost:{stack.port('spark')}/;token={env['FEEDMILL_SPARK_TOKEN']}"
    )
    assert connections.catalog_properties() == {
        "type": "sql",
        "uri": ledger.replace("/ledger", "/iceberg"),
        "warehouse": stack.warehouse.as_uri(),
    }
    assert connections.get("iceberg_default").landing == stack.landing.as_uri()
    assert connections.get("iceberg_default").pages == stack.pages.as_uri()
    assert "airflow" not in sys.modules


def test_an_undefined_connection_names_the_ways_to_define_it():
    with pytest.raises(ConnectionNotDefinedError, match=r"Admin, Connections.*AIRFLOW_CONN_TRINO_DEFAULT.*make up"):
        connections.get("trino_default")


def test_a_uri_outside_of_airflow_is_refused_by_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_FEEDMILL_LEDGER", "postgres://user:word@host/ledger")
    with pytest.raises(ConnectionNotDefinedError, match="AIRFLOW_CONN_FEEDMILL_LEDGER is in URI form") as refused:
        connections.get("feedmill_ledger")
    assert "word" not in str(refused.value)


def test_a_password_never_shows_in_a_repr():
    assert "word" not in repr(Connection("c", "postgres", password="word", extra={"uri": "pg://u:word@h"}))


def test_a_password_may_hold_any_character():
    url = Connection("c", "postgres", host="h", port=1, login="u", password="p@:/ ;%", schema="d").sqlalchemy_url
    assert url == "postgresql+psycopg2://u:p%40%3A%2F%20%3B%25@h:1/d"


def test_how_a_database_s_tls_is_checked_goes_with_its_url_and_what_is_not_known_is_refused():
    tls = {"sslmode": "verify-full", "sslrootcert": "/etc/ssl/our ca.pem"}
    url = Connection("c", "postgres", host="h", login="u", schema="d", extra=tls).sqlalchemy_url
    assert make_url(url).query == tls
    mistyped = Connection("c", "postgres", host="h", extra={"ssl_mode": "verify-full"})
    with pytest.raises(
        ConnectionNotDefinedError, match=r"has 'ssl_mode', which Feedmill does not know\. .* may have .*sslmode"
    ):
        _ = mistyped.sqlalchemy_url


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", None])
def test_spark_with_a_token_is_called_localhost(host: str | None):
    assert Connection("c", "spark_connect", host=host, port=1, password="t").spark_url == "sc://localhost:1/;token=t"


def test_an_iceberg_connection_without_landing_says_what_to_add():
    with pytest.raises(ConnectionNotDefinedError, match="extra of connection iceberg_default has no 'landing'"):
        _ = Connection("iceberg_default", "iceberg").landing


def test_the_projects_settings_fill_completely(tmp_path: Path):
    home = Home(tmp_path / "home").prepare(ports=free_ports())
    settings = load(home.settings_file, home.env())
    assert set(settings.connections) == {
        "feedmill_ledger",
        "iceberg_default",
        "spark_default",
        "trino_default",
        "feedmill_airflow",
        "feedmill_alerts",
    }
    assert [(pool.name, pool.slots) for pool in settings.pools] == [("spark", 2)]
    assert "${" not in repr(settings.connections)


def test_a_placeholder_that_nothing_fills_is_named(tmp_path: Path):
    settings = tmp_path / "airflow_settings.yaml"
    settings.write_text("airflow:\n  variables:\n    - variable_name: a\n      variable_value: ${NOBODY}\n")
    with pytest.raises(SettingsError, match=r"uses \$\{NOBODY\}, which the local stack does not define"):
        load(settings, {})


def test_a_filled_value_cannot_change_the_files_structure(tmp_path: Path):
    settings = tmp_path / "airflow_settings.yaml"
    settings.write_text("airflow:\n  variables:\n    - variable_name: a\n      variable_value: ${WORD}\n")
    word = "x\n    - variable_name: b"
    assert load(settings, {"WORD": word}).variables == {"a": word}
