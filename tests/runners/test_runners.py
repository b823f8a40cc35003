"""Builds on every kind of Spark that a connection can name: the same rows, and errors that say what is wrong.

Whole suites on one of them: ``pytest --spark tls`` or ``--spark submit``, and ``make test-runners``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from tls import Authority, silenceable

from feedmill.connections import ICEBERG, SPARK, Connection, ConnectionNotDefinedError
from feedmill.deployment import Deployment
from feedmill.flow.build import build
from feedmill.flow.check import check
from feedmill.flow.job import Job
from feedmill.flow.publish import publish
from feedmill.ledger import builds
from feedmill.local.home import Home
from feedmill.local.postgres import Postgres
from feedmill.local.spark import SparkServer
from feedmill.spark import connect, submit
from feedmill.spark.connect import interrupt
from feedmill.spark.failures import SparkUnavailableError
from feedmill.spark.properties import catalog_settings
from feedmill.spark.session import session_of
from feedmill.timeline import HOUR, Range

START = datetime(2026, 5, 1, 10, tzinfo=UTC)
TABLES = ("events.landed", "events.clean", "rollups.item_engagement_hourly")
SUBMIT = Connection(SPARK, "spark", host="local[2]")


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a connection the one that Feedmill finds."""

    def define(connection: Connection) -> None:
        fields = ("conn_type", "host", "port", "password", "extra")
        value = {name: getattr(connection, name) for name in fields}
        monkeypatch.setenv(f"AIRFLOW_CONN_{connection.conn_id.upper()}", json.dumps(value))

    return define


RUNNERS = [
    pytest.param("tls", TABLES, id="tls"),
    pytest.param("submit", TABLES[:1], id="submit"),
    pytest.param("submit", TABLES[::2], id="submit-sketches", marks=pytest.mark.slow),
]


# An application for each build: a minute each on a busy machine.
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("runner", "tables"), RUNNERS)
def test_the_same_hour_has_the_same_rows_and_digests_on_every_runner(
    runner: str,
    tables: tuple[str, ...],
    deployment: Deployment,
    spark_connection: Connection,
    tls_connection: Connection,
    use: Any,
) -> None:
    land(deployment)
    expected = digests(deployment, TABLES[: TABLES.index(tables[-1]) + 1], "test/first")
    assert sum(rows for rows, _ in expected.values()) > 0
    found = published(deployment, tables)
    use(SUBMIT if runner == "submit" else tls_connection)
    again = digests(deployment, tables, f"test/{runner}")
    assert again == {name: expected[name] for name in tables}
    assert published(deployment, tables) == found


def land(deployment: Deployment) -> None:
    """An hour with duplicates, users to sketch, and two rows that are no events."""
    folder = Path(deployment.lake.landing.removeprefix("file://")) / "events_jsonl" / HOUR.name_of(START)
    folder.mkdir(parents=True)
    rows = [
        {
            "event_id": f"e{number % 50}",
            "event_time": (START + timedelta(seconds=number % 50)).isoformat(),
            "event_type": "click" if number % 50 % 7 == 0 else "impression",
            "item_id": f"i{number % 5}",
            "user_id": f"u{number % 50 % 11}",
        }
        for number in range(60)
    ]
    lines = [json.dumps(row) for row in rows]
    (folder / "a.jsonl").write_text("\n".join([*lines, "{not json", json.dumps({**rows[0], "item_id": None})]) + "\n")


def digests(deployment: Deployment, tables: tuple[str, ...], owner: str) -> dict[str, tuple[int, str]]:
    """Build, check and publish the hour of each table; rows and digest of its partition, as the ledger has them."""
    found = {}
    for name in tables:
        table = deployment.tables[name]
        built = build(Job(table, Range.one(START, HOUR), deployment, owner))
        assert check(table, built.build_id, deployment).held == []
        assert publish(table, built.build_id, deployment.ledger, deployment.lake).held == []
        with deployment.ledger.transaction() as session:
            (partition,) = builds.written(session, built.build_id).values()
            found[name] = (partition.rows, partition.digest)
    return found


def published(deployment: Deployment, tables: tuple[str, ...]) -> dict[str, list[str]]:
    """What a reader of ``main`` sees; sketches aside, which equal rows may write differently."""
    found = {}
    for name in tables:
        rows = deployment.lake.load(deployment.tables[name]).scan().to_arrow().to_pylist()
        found[name] = sorted(str([v for v in row.values() if not isinstance(v, bytes)]) for row in rows)
    return found


# spark-submit


def test_an_application_s_errors_outlive_it_and_whoever_kills_it_is_known(
    home: Home, postgres: Postgres, use: Any
) -> None:
    use(SUBMIT)
    seen: dict[str, Any] = {}
    with pytest.raises(SparkUnavailableError, match="died during the work and ended with -9"):
        _err_and_be_killed(str(uuid.uuid4()), seen)
    assert time.monotonic() - seen["killed"] < 30
    assert type(seen["error"]).__name__ == "AnalysisException"
    assert "`nothing` cannot be resolved" in str(seen["error"]), "without the JVM that knew it"
    assert "SparkSubmit" in seen["command"]
    assert home.env()["FEEDMILL_POSTGRES_PASSWORD"] not in seen["command"]


def _err_and_be_killed(session_id: str, seen: dict[str, Any]) -> None:
    with session_of(session_id) as spark:
        application = submit._running
        assert application is not None
        seen["command"] = " ".join(psutil.Process(application.process.pid).cmdline())
        with pytest.raises(RuntimeError, match="has a Spark application already"), session_of("another"):
            pass
        try:
            spark.sql("SELECT nothing FROM VALUES (1) AS t(one)").collect()
        except Exception as error:
            seen["error"] = submit._portable(error, application)
        threading.Timer(1, submit.interrupt, [session_id]).start()
        seen["killed"] = time.monotonic()
        spark.range(10**13).selectExpr("sum(id % 7)").collect()


def test_settings_with_passwords_go_through_a_private_file(home: Home, use: Any, tmp_path: Path) -> None:
    connection = replace(SUBMIT, extra={"conf": {"spark.sql.shuffle.partitions": 7}})
    settings = submit._settings(connection, "id")
    password = home.env()["FEEDMILL_POSTGRES_PASSWORD"]
    command, _ = submit._command(connection, settings, tmp_path)
    assert password not in " ".join(command)
    written = tmp_path / "spark.properties"
    assert password in written.read_text()
    assert "spark.sql.shuffle.partitions 7\n" in written.read_text()
    assert written.stat().st_mode & 0o777 == 0o600
    assert {"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"} <= set(command)


def test_a_cluster_s_own_spark_submit_is_given_what_is_not_local(home: Home, tmp_path: Path) -> None:
    connection = Connection(SPARK, "spark", host="yarn", extra={"spark-home": "/opt/spark"})
    settings = submit._settings(connection, "id")
    command, _ = submit._command(connection, settings, tmp_path)
    assert command == [
        "/opt/spark/bin/spark-submit",
        "--properties-file",
        str(tmp_path / "spark.properties"),
        "pyspark-shell",
    ]
    assert (settings["spark.master"], settings["spark.submit.deployMode"]) == ("yarn", "client")
    assert "spark.jars.packages" in settings, "executors need the jars too"
    assert "spark.driver.extraJavaOptions" not in settings, "what suits seconds on one machine does not suit a cluster"


@pytest.mark.parametrize(
    ("connection", "wrong"),
    [
        (replace(SUBMIT, host=None), "has no master"),
        (replace(SUBMIT, extra={"deploy-mode": "cluster"}), "asks for deploy-mode cluster"),
        (replace(SUBMIT, extra={"lean": True}), r"has 'lean' \(bool\) in its extra, which"),
        (replace(SUBMIT, extra={"cds": "yes"}), r"has 'cds' \(str\) in its extra, which"),
        (replace(SUBMIT, conn_type="dataproc"), "has the type 'dataproc'"),
    ],
)
def test_a_connection_that_cannot_be_meant_is_one_sentence(
    home: Home, use: Any, connection: Connection, wrong: str
) -> None:
    use(connection)
    with pytest.raises(ConnectionNotDefinedError, match=wrong), session_of("id"):
        pass


def test_a_value_of_the_extra_that_may_be_a_secret_is_not_told() -> None:
    with pytest.raises(ConnectionNotDefinedError, match="has 'token'") as refused:
        submit._settings(replace(SUBMIT, extra={"token": "s3cret"}), "id")
    assert "s3cret" not in str(refused.value)


def test_a_master_that_does_not_exist_is_an_error_of_seconds_with_spark_s_own_words(home: Home, use: Any) -> None:
    use(replace(SUBMIT, host="nowhere"))
    wrong = r"application did not start and ended with 1; .*[Mm]aster"
    with pytest.raises(SparkUnavailableError, match=wrong), session_of("id"):
        pass


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"type": "sql", "uri": "postgresql+psycopg2://me:p%40ss@db/iceberg", "warehouse": "gs://lake"},
            {
                "type": "jdbc",
                "uri": "jdbc:postgresql://db:5432/iceberg",
                "jdbc.user": "me",
                "jdbc.password": "p@ss",
                "jdbc.schema-version": "V1",
                "warehouse": "gs://lake",
            },
        ),
        (
            {"type": "sql", "uri": "postgresql+psycopg2://db/iceberg?sslmode=verify-full&sslrootcert=%2Fca.pem"},
            {
                "type": "jdbc",
                "uri": "jdbc:postgresql://db:5432/iceberg?sslmode=verify-full&sslrootcert=%2Fca.pem",
                "jdbc.schema-version": "V1",
            },
        ),
        (
            {"type": "rest", "uri": "https://catalog", "token": "t"},
            {"type": "rest", "uri": "https://catalog", "token": "t"},
        ),
    ],
)
def test_the_catalog_is_named_once_for_pyiceberg_and_spark(given: dict[str, str], expected: dict[str, str]) -> None:
    settings = catalog_settings(given)
    prefix = "spark.sql.catalog.feedmill"
    assert settings.pop(prefix) == "org.apache.iceberg.spark.SparkCatalog"
    assert settings.pop(f"{prefix}.cache-enabled") == "false"
    assert {name.removeprefix(f"{prefix}."): value for name, value in settings.items()} == expected


@pytest.mark.faults
def test_an_application_ends_with_the_task_that_is_killed(home: Home, postgres: Postgres, use: Any) -> None:
    use(SUBMIT)
    program = (
        "from feedmill.spark import submit\n"
        "from feedmill.spark.session import session_of\n"
        "with session_of('id') as spark:\n"
        "    print(submit._running.process.pid, flush=True)\n"
        "    spark.range(10**13).selectExpr('sum(id % 7)').collect()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": "plugins"}, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    application = psutil.Process(int(child.stdout.readline()))
    time.sleep(3)  # until the query is at work
    assert application.is_running()
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert psutil.wait_procs([application], timeout=20)[1] == [], "it ends by itself"


# Spark Connect with token and TLS


@pytest.fixture(scope="module")
def wrong_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"))


def test_what_is_wrong_with_token_or_tls_is_one_sentence_within_seconds(
    home: Home, spark_server: SparkServer, tls_connection: Connection, wrong_authority: Authority, use: Any
) -> None:
    plain = home.connections()[SPARK]
    tls = tls_connection.extra
    cases = [
        (replace(tls_connection, password="wrong"), "refuses the token"),
        (replace(tls_connection, password=None), "asks for a token, and none is given"),
        (replace(tls_connection, extra={**tls, "ca_file": str(wrong_authority.ca_file)}), "do not confirm"),
        (replace(tls_connection, extra={"use_ssl": True}), "this machine's certificates do not confirm"),
        (replace(tls_connection, extra={**tls, "ca_file": "/nowhere.pem"}), r"ca_file .* cannot be read"),
        (replace(tls_connection, extra={}), 'uses TLS, .*; add "use_ssl": true'),
        (replace(plain, extra=dict(tls)), "does not use TLS"),
        (replace(tls_connection, port=1), "does not answer"),
    ]
    for connection, wrong in cases:
        use(connection)
        begun = time.monotonic()
        with pytest.raises(SparkUnavailableError, match=wrong) as refused, session_of(str(uuid.uuid4())):
            pass
        assert time.monotonic() - begun < 30, "gRPC's own patience is ten minutes"
        assert "\n" not in str(refused.value)
        assert plain.password not in str(refused.value)


@pytest.mark.slow
def test_a_server_that_falls_silent_in_the_middle_of_a_query_is_known_to_be_gone(
    home: Home, spark_server: SparkServer, use: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a firewall that forgot the connection: no word comes, and no end of it either."""
    monkeypatch.setattr(connect, "KEEPALIVE", dict.fromkeys(connect.KEEPALIVE, 1000))
    plain = home.connections()[SPARK]
    session_id = str(uuid.uuid4())
    with silenceable(spark_server.port) as (port, silence):
        use(replace(plain, port=port))
        with pytest.raises(SparkUnavailableError, match="died during the work"):
            _query_in_silence(session_id, silence)
    interrupt(plain, session_id)


def _query_in_silence(session_id: str, silence: Callable[[], None]) -> None:
    with session_of(session_id) as spark:
        assert spark.range(3).count() == 3
        threading.Timer(1, silence).start()
        spark.range(10**13).selectExpr("sum(id % 7)").collect()


def test_the_lake_s_catalog_reaches_the_local_server_from_the_same_connection(home: Home) -> None:
    server = SparkServer(home).settings()
    catalog = home.connections()[ICEBERG].catalog_properties
    assert catalog_settings(catalog).items() <= server.items()
    assert server["spark.connect.authenticate.token"] == home.env()["FEEDMILL_SPARK_TOKEN"]
