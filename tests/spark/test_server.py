"""The local Spark server: its log holds no secret, and its own ports are closed to other users of the machine."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import Any

import psutil
import pytest
from pyspark.errors import PySparkException

from feedmill.local.process import wait_until
from feedmill.local.spark import SparkServer


def test_a_message_that_quotes_a_secret_is_logged_without_it(spark_server: SparkServer, spark: Any) -> None:
    home = spark_server.home
    assert len(home.secrets()) == 6
    for secret in (home.env()["FEEDMILL_SPARK_TOKEN"], home.env()["FEEDMILL_POSTGRES_PASSWORD"]):
        with pytest.raises(PySparkException):
            spark.sql(f"SELECT raise_error('the secret is {secret}.')").collect()
    log = home.logs / "spark.log"
    assert wait_until(lambda: log.read_text().count("the secret is *****.") >= 2, 10), home.log_tail("spark")
    assert [secret for secret in home.secrets() if secret in log.read_text()] == []


def test_the_ports_that_spark_opens_for_itself_ask_for_a_secret(spark_server: SparkServer) -> None:
    pid = spark_server.component.pid()
    listening = [c.laddr for c in psutil.Process(pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert all(address.ip in ("127.0.0.1", "::ffff:127.0.0.1", "::1") for address in listening)
    own = sorted({address.port for address in listening} - {spark_server.port})
    assert len(own) >= 2, "the driver's and the block manager's"
    for port in own:
        answer = _ask(port)
        assert b"authenticat" in answer.lower() or b"sasl" in answer.lower(), f"port {port}: {answer[:300]!r}"


def _ask(port: int) -> bytes:
    """The answer to a request of Spark's protocol that nobody authenticated."""
    body = b"an RPC of somebody else"
    request = struct.pack(">bqi", 3, 1, len(body)) + body
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(struct.pack(">q", 8 + len(request)) + request)
        with suppress(TimeoutError, ConnectionResetError):
            while part := connection.recv(65536):
                answer += part
                if len(answer) > 100:
                    break
    return answer
