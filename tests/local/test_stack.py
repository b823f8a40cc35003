"""The parts for real: PostgreSQL in a temporary home, and the supervisor around a stand-in for Spark."""

import os
import signal
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psycopg2
import pytest

from feedmill.local import stack
from feedmill.local.home import Home, StackError
from feedmill.local.postgres import Postgres
from feedmill.local.process import Component, leftovers, stop, wait_until


@pytest.fixture
def postgres(home: Home):
    server = Postgres(home, durable=False)
    server.start()
    yield server
    server.stop()
    assert leftovers(home) == {}


def connect(server: Postgres, database: str):
    return psycopg2.connect(server.url(database).replace("+psycopg2", ""))


def conditions(home: Home) -> dict[str, str]:
    return {state.component: state.condition for state in stack.status(home)}


def test_postgres_serves_three_databases_to_the_password_alone(postgres: Postgres):
    for database in ("airflow", "ledger", "iceberg"):
        connect(postgres, database).close()
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(host="127.0.0.1", port=postgres.port, user="feedmill", password="guess", dbname="ledger")


def test_a_killed_postgres_is_named_and_comes_back_with_what_was_committed(postgres: Postgres, home: Home):
    with connect(postgres, "ledger") as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 7 AS n")
    connection.close()
    assert conditions(home)["postgres"] == "running"
    assert conditions(home)["scheduler"] == "stopped"
    os.kill(postgres.component.pid(), signal.SIGKILL)
    assert wait_until(lambda: conditions(home)["postgres"] == "died", 5)
    postgres.start()
    with connect(postgres, "ledger") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT n FROM kept")
        assert cursor.fetchall() == [(7,)]
    connection.close()


def test_a_killed_postgres_comes_back_though_a_query_goes_on_without_it(postgres: Postgres):
    """Its backend notices at the end of the query only, and holds the shared memory that the next server wants."""
    busy = connect(postgres, "ledger")

    def work() -> None:
        with suppress(psycopg2.Error), busy.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b")

    thread = threading.Thread(target=work)
    thread.start()
    watch = connect(postgres, "postgres")
    watch.autocommit = True

    def is_at_work() -> bool:
        with watch.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%series%b'")
            return bool(cursor.fetchone()[0])

    assert wait_until(is_at_work, 10)
    os.kill(postgres.component.pid(), signal.SIGKILL)
    assert wait_until(lambda: postgres.component.pid() is None, 5)
    with subprocess.Popen(["sleep", "60"], cwd=postgres._place().data) as bystander:
        postgres.start()
        assert bystander.poll() is None, "somebody's shell in the folder of the data"
        bystander.kill()
    connect(postgres, "ledger").close()
    thread.join(10)
    assert not thread.is_alive()


def test_a_second_start_is_harmless(postgres: Postgres):
    pid = postgres.component.pid()
    postgres.start()
    assert postgres.component.pid() == pid


def test_a_running_component_keeps_its_port(postgres: Postgres, home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FEEDMILL_PORT_POSTGRES", "5999")
    with pytest.raises(StackError, match=r"^postgres runs on port \d+ and FEEDMILL_PORT_POSTGRES asks for 5999: "):
        stack.up(home)
    assert home.port("postgres") == postgres.port != 5999


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_as_root_below_a_closed_folder_the_server_finds_a_private_one(tmp_path: Path):
    from feedmill.local.home import free_ports

    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    home = Home(closed / "home").prepare(ports=free_ports())
    server = Postgres(home, durable=False)
    try:
        server.start()
        folder = Path(server._record().read_text().split('"folder": "')[1].split('"')[0])
        assert not folder.is_relative_to(tmp_path)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.stat().st_uid != 0
        connect(server, "iceberg").close()
    finally:
        server.stop()
        server.delete()
    assert not folder.exists()


def test_the_supervisor_restarts_what_dies_and_stops_it_when_stopped(home: Home, tmp_path: Path):
    """A stand-in for Spark: a server that sleeps."""
    (tmp_path / "stand_in.py").write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from feedmill.local.home import Home\n"
        "from feedmill.local.spark import SparkServer\n"
        "from feedmill.local.supervisor import supervise\n"
        "SparkServer.command = lambda self: [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "supervise(SparkServer(Home(Path(sys.argv[1]))))\n"
    )
    (home.path / "spark").mkdir()
    supervisor, server = Component(home, "spark-supervisor"), Component(home, "spark")
    argv = [sys.executable, str(tmp_path / "stand_in.py"), str(home.path)]
    supervisor.start(argv, env=home.process_env(), cwd=tmp_path)
    try:
        assert wait_until(lambda: server.pid() is not None, 10)
        first = server.pid()
        os.kill(first, signal.SIGKILL)
        assert wait_until(lambda: server.pid() not in (None, first), 10)
        assert server.record()["restarts"] == 1
        os.kill(supervisor.pid(), signal.SIGKILL)
        assert wait_until(lambda: supervisor.pid() is None, 5)
        adopted = server.pid()
        supervisor.start(argv, env=home.process_env(), cwd=tmp_path)
        assert wait_until(lambda: f"adopted the server, pid {adopted}" in home.log_tail("spark-supervisor"), 10)
    finally:
        stop([supervisor])
    assert server.pid() is None
    assert leftovers(home) == {}


def test_before_the_first_up_everything_is_stopped(tmp_path: Path):
    home = Home(tmp_path / "never")
    assert set(conditions(home).values()) == {"stopped"}
    stack.down(home)
    assert not home.path.exists()


def test_a_ledger_that_was_dropped_or_restored_from_an_older_dump_gets_its_tables(postgres: Postgres, home: Home):
    stack._migrate_ledger(home, postgres)
    newest = postgres.ledger_version()
    assert newest is not None
    with connect(postgres, "ledger") as connection, connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    connection.close()
    assert postgres.ledger_version() is None
    stack._migrate_ledger(home, postgres)
    assert postgres.ledger_version() == newest
    connection = connect(postgres, "postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE ledger WITH (FORCE)")
    connection.close()
    postgres.start()
    stack._migrate_ledger(home, postgres)
    assert postgres.ledger_version() == newest
