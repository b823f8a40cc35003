"""Nothing that was stopped goes on in Spark: whoever ends it, and whatever its query does, the cores are free soon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from ground import at_once, until

from feedmill.local.spark import REAP_SECONDS, SparkServer
from feedmill.spark.session import interrupt, session_of

pytestmark = pytest.mark.faults

CLIENT = """
import sys
from feedmill.spark.session import session_of
with session_of(sys.argv[1]) as spark:
    spark.sql(sys.argv[2]).collect()
"""

LONG = "SELECT sum(hash(id)) FROM range(0, 10000000000000, 1, 64)"
"""Hours of work; each task looks every thousand rows whether it was cancelled."""

DEAF = """
SELECT aggregate(sequence(1, 300000 + id), 0L,
                 (a, x) -> a + aggregate(sequence(1, 300000 + id), 0L, (b, y) -> b + (x * y) % 7))
FROM range(0, 2, 1, 2)"""
"""Hours of work in each of two rows: a task that was cancelled does not notice it."""

ABANDONED = 20 + 15 + 5 + 5
"""Seconds until the server gives up a client that vanished, as its settings say, and five more to end its tasks."""


@contextmanager
def at_work(server: SparkServer, query: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process whose query keeps Spark busy, and its session's id."""
    session_id = str(uuid.uuid4())
    command = [sys.executable, "-c", CLIENT, session_id, query]
    path = os.pathsep.join(str(server.home.project / part) for part in (".", "plugins"))
    env = {**os.environ, "PYTHONPATH": path}
    client = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    with at_once([client]):
        # A second of it: a task that has only just begun is easily stopped.
        before = spent(server)
        until(lambda: grown(before, spent(server)) > 1, 120, "the query")
        yield client, session_id


def spent(server: SparkServer) -> dict[int, float]:
    """The processor seconds of the threads in which the server's tasks run, whatever else the machine does."""
    found: dict[int, float] = {}
    pid = server.component.pid()
    with suppress(psutil.NoSuchProcess, FileNotFoundError):  # a thread or the server has just ended
        for thread in psutil.Process(pid).threads() if pid is not None else ():
            if Path(f"/proc/{pid}/task/{thread.id}/comm").read_text().startswith("Executor task"):
                found[thread.id] = thread.user_time + thread.system_time
    return found


def grown(before: dict[int, float], after: dict[int, float]) -> float:
    return sum(seconds - before.get(thread, 0.0) for thread, seconds in after.items())


def is_idle(server: SparkServer) -> bool:
    """Whether no task works, for a second and a half: between two stages it is so for a moment, too."""
    before = spent(server)
    time.sleep(1.5)
    return grown(before, spent(server)) < 0.05


@pytest.fixture
def idle_server(spark_connection: object, spark_server: SparkServer) -> SparkServer:
    """The server with nothing to do."""
    until(lambda: spark_server.ready() and is_idle(spark_server), 120, "an idle server")
    return spark_server


def test_a_client_that_is_killed_leaves_nothing_at_work(idle_server: SparkServer) -> None:
    with at_work(idle_server, LONG) as (client, _):
        client.kill()
        until(lambda: is_idle(idle_server), ABANDONED, "the end of its query")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_client_that_is_asked_to_end_leaves_nothing_at_work(idle_server: SparkServer, number: int) -> None:
    with at_work(idle_server, LONG) as (client, _):
        client.send_signal(number)
        until(lambda: is_idle(idle_server), ABANDONED if number == signal.SIGTERM else 15, "the end of its query")


def test_a_session_that_is_interrupted_from_elsewhere_leaves_nothing_at_work(idle_server: SparkServer) -> None:
    with at_work(idle_server, LONG) as (client, session_id):
        interrupt(session_id)
        until(lambda: is_idle(idle_server), 15, "the end of its query")
        _, said = client.communicate(timeout=60)
        assert client.returncode == 1, said


def test_a_task_that_does_not_notice_that_it_was_cancelled_ends_with_its_server(idle_server: SparkServer) -> None:
    pid = idle_server.component.pid()
    with at_work(idle_server, DEAF) as (_, session_id):
        interrupt(session_id)
        until(lambda: idle_server.component.pid() not in (pid, None), REAP_SECONDS + 40, "the supervisor's new server")
    until(idle_server.ready, 90, "the new server")
    with session_of(str(uuid.uuid4())) as spark:
        assert spark.range(7).count() == 7
