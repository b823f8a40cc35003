"""SIGKILL to PostgreSQL and to Spark in the middle of discovery, build, check and publish; then the retry."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from ground import HOURS, LANDED, Ground, Rows, at_once, hour, until
from moments import AFTER_THE_COMMIT, CHECK, DISCOVERY, PUBLISH, RECORDED

from feedmill.flow.check import check
from feedmill.local.postgres import Postgres
from feedmill.local.process import Component
from feedmill.local.spark import SparkServer

pytestmark = pytest.mark.faults

NOT_ASKED = ("before the page", "done")
"""Moments after which a verb asks PostgreSQL for nothing any more."""


@pytest.fixture
def spark_returns(spark_server: SparkServer) -> Iterator[SparkServer]:
    """The Spark server, and after the test the one that its supervisor started instead."""
    yield spark_server
    until(spark_server.ready, 90, "the supervisor's new server")


@pytest.mark.rule(6)
def test_postgresql_is_killed_while_a_build_looks_for_files(
    ground: Ground, clean_rows: Callable[..., Rows], postgres: Postgres
) -> None:
    expected = clean_rows(LANDED, span=hour(0))
    code, said = ground.robbed("build", LANDED, hour(0), DISCOVERY["with the files in hand"], postgres.component)
    assert (code, "OperationalError" in said) == (1, True), said
    postgres.start()
    assert ground.registered() == 0
    ground.make(LANDED, hour(0))
    assert ground.registered() == 2 * HOURS
    assert ground.rows(LANDED) == expected
    assert ground.ills() == []


def test_postgresql_is_killed_in_the_middle_of_a_build_s_query(
    ground: Ground, clean_rows: Callable[..., Rows], postgres: Postgres
) -> None:
    """Ledger and catalog are gone: the build can neither commit its branch nor say that it failed."""
    expected = clean_rows(LANDED, span=hour(0))
    build = ground.start("build", LANDED, hour(0), "--crawl")
    with at_once([build]):
        until(lambda: ground.builds() and ground.builds()[0].pins, 60, "the build's query")
        time.sleep(1)
        assert build.poll() is None
        _kill(postgres.component)
        _, said = build.communicate(timeout=600)
    assert build.returncode == 1, said
    postgres.start()
    (failed,) = ground.builds()
    assert failed.state == "running", "nobody could say otherwise"
    ground.make(LANDED, hour(0))
    assert ground.rows(LANDED) == expected
    assert [build.state for build in ground.builds()] == ["interrupted", "built"]
    assert ground.ills(mend=True) == []


@pytest.mark.parametrize("moment", CHECK)
def test_postgresql_is_killed_in_the_middle_of_a_check(
    ground: Ground, clean_rows: Callable[..., Rows], postgres: Postgres, moment: str
) -> None:
    expected = clean_rows(LANDED, span=hour(0))
    build_id = ground.build(LANDED, hour(0))
    with ground.deployment.ledger.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM verdicts")
    code, said = ground.robbed("check", LANDED, build_id, CHECK[moment], postgres.component)
    assert code == (0 if moment in NOT_ASKED else 1), said
    postgres.start()
    assert ground.verdicts() == (1 if moment in NOT_ASKED else 0)
    check(ground.table(LANDED), build_id, ground.deployment)
    ground.publish(LANDED, build_id)
    assert ground.rows(LANDED) == expected
    assert ground.ills() == []


@pytest.mark.rule(3)
@pytest.mark.parametrize("moment", PUBLISH)
def test_postgresql_is_killed_in_the_middle_of_a_publish(
    ground: Ground, clean_rows: Callable[..., Rows], postgres: Postgres, moment: str
) -> None:
    expected = clean_rows(LANDED, span=hour(0))
    build_id = ground.build(LANDED, hour(0))
    code, said = ground.robbed("publish", LANDED, build_id, PUBLISH[moment], postgres.component)
    if moment in NOT_ASKED:
        assert code in (0, 1), said  # the lock's connection is closed, or found to be
    else:
        assert (code, "OperationalError" in said) == (1, True), said
    postgres.start()
    assert ground.open_intents() == ([] if moment == "before the intent" or moment in RECORDED else [build_id])
    assert ground.rows(LANDED) == (expected if moment in (*AFTER_THE_COMMIT, *RECORDED) else {LANDED: []})
    assert ground.publish(LANDED, build_id).published == [hour(0).start]
    assert ground.rows(LANDED) == expected
    assert ground.ills() == []
    if moment == "done":
        # Spark's catalog had connections to the dead server too.
        ground.make(LANDED, hour(0, 2))
        assert ground.rows(LANDED) == clean_rows(LANDED, span=hour(0, 2))


def test_the_spark_server_is_killed_in_the_middle_of_a_build(
    ground: Ground, clean_rows: Callable[..., Rows], spark_returns: SparkServer
) -> None:
    expected = clean_rows(LANDED, span=hour(0))
    build = ground.start("build", LANDED, hour(0), "--crawl")
    with at_once([build]):
        until(lambda: ground.builds() and ground.builds()[0].pins, 60, "the build's query")
        time.sleep(1)
        assert build.poll() is None
        pid = _kill(spark_returns.component)
        killed = time.monotonic()
        _, said = build.communicate(timeout=600)
        seconds = time.monotonic() - killed
    assert build.returncode == 1
    assert seconds < 30, f"it took {seconds:.0f} s to see that Spark is gone: gRPC's own patience is ten minutes"
    (failed,) = ground.builds()
    assert failed.state == "failed"
    assert "SparkUnavailableError: Spark Connect " in (failed.error or ""), f"{failed.error}\n{said}"
    until(lambda: spark_returns.component.pid() not in (None, pid) and spark_returns.ready(), 90, "the new server")
    ground.make(LANDED, hour(0))
    assert ground.rows(LANDED) == expected
    assert ground.ills(mend=True) == []


def test_the_spark_server_is_killed_while_a_build_looks_for_files(
    ground: Ground, clean_rows: Callable[..., Rows], spark_returns: SparkServer
) -> None:
    """What was registered stays so; what cannot begin to compute fails with the server's address."""
    expected = clean_rows(LANDED, span=hour(0))
    step = DISCOVERY["with the files in hand"]
    with _stopped(spark_returns.supervisor):
        code, said = ground.robbed("build", LANDED, hour(0), step, spark_returns.component)
    assert (code, "SparkUnavailableError: Spark Connect " in said) == (1, True), said
    assert [build.state for build in ground.builds()] == ["failed"]
    assert ground.registered() == 2 * HOURS
    until(spark_returns.ready, 90, "the supervisor's new server")
    ground.make(LANDED, hour(0))
    assert ground.rows(LANDED) == expected
    assert ground.ills(mend=True) == []


def test_the_spark_server_is_killed_during_check_and_publish_which_do_not_need_it(
    ground: Ground, clean_rows: Callable[..., Rows], spark_returns: SparkServer
) -> None:
    expected = clean_rows(LANDED, span=hour(0))
    build_id = ground.build(LANDED, hour(0))
    with ground.deployment.ledger.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM verdicts")
    assert ground.robbed("check", LANDED, build_id, "feedmill.flow.check:_judge", spark_returns.component)[0] == 0
    until(spark_returns.ready, 90, "the supervisor's new server")
    step = PUBLISH["before the commit"]
    assert ground.robbed("publish", LANDED, build_id, step, spark_returns.component)[0] == 0
    assert ground.rows(LANDED) == expected
    assert ground.ills() == []


@contextmanager
def _stopped(supervisor: Component) -> Iterator[None]:
    """Nobody starts a server meanwhile: a warm machine has the next one before the build asks for it."""
    pid = supervisor.pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _kill(server: Component) -> int:
    pid = server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: server.pid() != pid, 10, f"the end of {server.name}")
    return pid
