"""Real parts for the tests: PostgreSQL, a Spark with Iceberg, and a deployment on both.

The servers start once a session, in a home of their own with free ports; each test that asks for a deployment gets a
ledger, a lake and a landing zone with nothing in them. ``--spark`` says on which Spark the tests run; by default on the
local stack's Spark Connect server.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine, create_engine, text
from tls import Authority, terminated

from feedmill.connections import SPARK, Connection
from feedmill.deployment import Deployment
from feedmill.lake.catalog import Lake
from feedmill.ledger.store import Ledger, migrate
from feedmill.local.home import Home, free_ports
from feedmill.local.postgres import Postgres
from feedmill.local.process import wait_until
from feedmill.local.spark import SparkServer
from feedmill.spark.session import session_of

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
# Nor the caller's local stack: after `make demo` its FEEDMILL_SINCE once decided what a test's tables waited for.
os.environ["FEEDMILL_HOME"] = str(Path(AIRFLOW_HOME) / "no-local-stack")

# A machine that pauses is no fault of the code: an example of 7 ms once took 380.
settings.register_profile("feedmill", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("feedmill")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--spark``: the same tests on each kind of Spark that a connection can name."""
    parser.addoption(
        "--spark",
        choices=("connect", "tls", "submit"),
        default="connect",
        help="connect: a Spark Connect server; tls: one behind TLS; submit: an application for each session",
    )


def pytest_report_header(config: pytest.Config) -> str:
    """What the tests run on."""
    return f"spark: {config.getoption('--spark')}"


def define(connection: Connection) -> None:
    """Make the connection known as in production: in the environment."""
    fields = ("conn_type", "host", "port", "login", "password", "schema", "extra")
    value = {name: getattr(connection, name) for name in fields}
    os.environ[f"AIRFLOW_CONN_{connection.conn_id.upper()}"] = json.dumps(value)


@pytest.fixture(scope="session")
def airflow_home() -> Iterator[str]:
    """The folder of the tests' Airflow, with its SQLite database."""
    yield AIRFLOW_HOME
    shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A stack's home with free ports; nothing runs in it yet."""
    prepared = Home(tmp_path_factory.mktemp("stack") / "home").prepare(ports=free_ports())
    for connection in prepared.connections().values():
        define(connection)
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
def spark_server(home: Home, postgres: Postgres) -> Iterator[SparkServer]:
    """A running Spark Connect server that has the lake's catalog."""
    server = SparkServer(home)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority of these tests, and a certificate of it for localhost."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def tls_connection(spark_server: SparkServer, authority: Authority) -> Iterator[Connection]:
    """The connection to the server by way of a proxy that speaks TLS, as one elsewhere has it."""
    with terminated(spark_server.port, authority) as port:
        token = spark_server.home.env()["FEEDMILL_SPARK_TOKEN"]
        extra = {"use_ssl": True, "ca_file": str(authority.ca_file)}
        yield Connection(SPARK, "spark_connect", host="localhost", port=port, password=token, extra=extra)


@pytest.fixture(scope="session")
def spark_connection(request: pytest.FixtureRequest, home: Home, postgres: Postgres) -> Iterator[Connection]:
    """The connection ``spark_default`` that the tests' ``--spark`` asks for, defined; its Spark can be used."""
    kind = request.config.getoption("--spark")
    if kind == "submit":
        connection = Connection(SPARK, "spark", host="local[2]", extra={"cds": True})
    elif kind == "tls":
        connection = request.getfixturevalue("tls_connection")
    else:
        request.getfixturevalue("spark_server")
        connection = home.connections()[SPARK]
    before = os.environ[f"AIRFLOW_CONN_{SPARK.upper()}"]
    define(connection)
    yield connection
    os.environ[f"AIRFLOW_CONN_{SPARK.upper()}"] = before


@pytest.fixture(scope="session")
def spark(spark_connection: Connection) -> Iterator[object]:
    """A Spark session for tests of transforms and checks."""
    with session_of(str(uuid.uuid4())) as session:
        # A hundred lines of Java would hide the sentence that says what is wrong with a transform.
        session.conf.set("spark.sql.connect.serverStacktrace.enabled", "false")
        yield session


@contextmanager
def _new_ledger(postgres: Postgres) -> Iterator[Ledger]:
    """An empty ledger, in a database of its own."""
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


@pytest.fixture(scope="session")
def new_ledger(postgres: Postgres) -> Callable[[], AbstractContextManager[Ledger]]:
    """Makes an empty ledger, for as long as it is needed."""
    return partial(_new_ledger, postgres)


@pytest.fixture
def ledger(new_ledger: Callable[[], AbstractContextManager[Ledger]]) -> Iterator[Ledger]:
    """An empty ledger."""
    with new_ledger() as opened:
        yield opened


@pytest.fixture
def empty_database(postgres: Postgres) -> Iterator[str]:
    """The URL of a database without any table."""
    name = f"empty_{uuid.uuid4().hex[:8]}"
    admin = create_engine(postgres.url("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield postgres.url(name)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def wait_for_locks() -> Callable[[Engine, int], None]:
    """Waits until so many of the connections to that database wait for a lock."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    def wait(engine: Engine, count: int) -> None:
        # pg_stat_activity is one picture a transaction.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watch:
            assert wait_until(lambda: watch.execute(waiting).scalar_one() >= count, 60), "nobody wanted the lock"

    return wait


@contextmanager
def _new_lake(home: Home, folder: Path) -> Iterator[Lake]:
    """An empty lake with a landing zone in the folder; its tables are dropped afterwards."""
    properties = home.connections()["iceberg_default"].catalog_properties
    opened = Lake(properties, (folder / "landing").as_uri(), (folder / "pages").as_uri(), PROJECT)
    yield opened
    for namespace in opened.catalog.list_namespaces():
        for table in opened.catalog.list_tables(namespace):
            opened.catalog.drop_table(table)
    opened.catalog.close()


@pytest.fixture(scope="session")
def new_lake(home: Home, postgres: Postgres) -> Callable[[Path], AbstractContextManager[Lake]]:
    """Makes an empty lake, for as long as it is needed."""
    return partial(_new_lake, home)


@pytest.fixture
def lake(new_lake: Callable[[Path], AbstractContextManager[Lake]], tmp_path: Path) -> Iterator[Lake]:
    """An empty lake with a landing zone of its own."""
    with new_lake(tmp_path) as opened:
        yield opened


@pytest.fixture
def deployment(ledger: Ledger, lake: Lake, spark_connection: Connection) -> Deployment:
    """The project's own map and sources on an empty ledger and lake."""
    from include.spark.sources import SOURCES
    from include.tables import TABLES

    return Deployment(PROJECT, TABLES, SOURCES, ledger, lake)
