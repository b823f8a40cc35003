"""Real parts for the tests: PostgreSQL, a Spark Connect server with Iceberg, and a deployment on both.

The servers start once a session, in a home of their own with free ports; each test that asks for a deployment gets a
ledger, a lake and a landing zone with nothing in them.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from feedmill.deployment import Deployment
from feedmill.lake.catalog import Lake
from feedmill.ledger.store import Ledger, migrate
from feedmill.local.home import Home, free_ports
from feedmill.local.postgres import Postgres
from feedmill.local.settings import load

PROJECT = Path(__file__).resolve().parents[1]

# Before anything imports Airflow, which reads them once: no test may touch the caller's own Airflow.
AIRFLOW_HOME = tempfile.mkdtemp(prefix="feedmill-airflow-")
os.environ.update(
    AIRFLOW_HOME=AIRFLOW_HOME,
    AIRFLOW__CORE__DAGS_FOLDER=str(PROJECT / "dags"),
    AIRFLOW__CORE__PLUGINS_FOLDER=str(PROJECT / "plugins"),
    AIRFLOW__CORE__LOAD_EXAMPLES="false",
)
os.environ.pop("FEEDMILL_SINCE", None)


@pytest.fixture(scope="session")
def airflow_home() -> Iterator[str]:
    """The folder of the tests' Airflow, with its SQLite database."""
    yield AIRFLOW_HOME
    shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A stack's home with free ports; nothing runs in it yet."""
    prepared = Home(tmp_path_factory.mktemp("stack") / "home").prepare(ports=free_ports())
    # As the stack does for its processes; connections are then found as in production, in the environment.
    for conn_id, connection in load(prepared.settings_file, prepared.env()).connections.items():
        fields = ("conn_type", "host", "port", "login", "password", "schema", "extra")
        os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps({name: getattr(connection, name) for name in fields})
    return prepared


@pytest.fixture(scope="session")
def postgres(home: Home) -> Iterator[Postgres]:
    """A running PostgreSQL whose ledger database is migrated: the template of each test's own."""
    server = Postgres(home, durable=False)
    server.start()
    migrate(server.url("ledger"))
    yield server
    server.stop()
    server.delete()


@pytest.fixture(scope="session")
def spark_url(home: Home, postgres: Postgres) -> Iterator[str]:
    """The URL of a running Spark Connect server that has the lake's catalog."""
    from feedmill.local.spark import SparkServer

    server = SparkServer(home)
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def spark(spark_url: str) -> Iterator[object]:
    """A Spark session for tests of transforms and checks."""
    from feedmill.runner.session import connect

    session = connect(spark_url, str(uuid.uuid4()))
    yield session
    session.stop()


@pytest.fixture
def ledger(postgres: Postgres) -> Iterator[Ledger]:
    """An empty ledger."""
    name = f"ledger_{uuid.uuid4().hex[:8]}"
    admin = create_engine(postgres.url("postgres"), isolation_level="AUTOCOMMIT", pool_pre_ping=True)
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE ledger"))
    opened = Ledger(postgres.url(name))
    yield opened
    opened.engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def lake(home: Home, postgres: Postgres, tmp_path: Path) -> Iterator[Lake]:
    """An empty lake with a landing zone of its own; its tables are dropped afterwards."""
    properties = load(home.settings_file, home.env()).connections["iceberg_default"].catalog_properties
    opened = Lake(properties, (tmp_path / "landing").as_uri(), (tmp_path / "pages").as_uri(), PROJECT)
    yield opened
    for namespace in opened.catalog.list_namespaces():
        for table in opened.catalog.list_tables(namespace):
            opened.catalog.drop_table(table)
    opened.catalog.close()


@pytest.fixture
def deployment(ledger: Ledger, lake: Lake, spark_url: str) -> Deployment:
    """The project's own map and sources on an empty ledger and lake."""
    from include.spark.sources import SOURCES
    from include.tables import TABLES

    return Deployment(PROJECT, TABLES, SOURCES, ledger, lake)
