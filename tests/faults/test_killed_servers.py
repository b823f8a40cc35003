"""SIGKILL to PostgreSQL in the middle of a publish, and to Spark in the middle of a build; then the retry."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from ground import LANDED, Ground, Rows, at_once, hour, until
from sqlalchemy.exc import OperationalError

from feedmill.lake import publish as publisher
from feedmill.ledger import publishes
from feedmill.local.home import Home
from feedmill.local.postgres import Postgres
from feedmill.local.process import Component

pytestmark = pytest.mark.faults

MOMENTS = {"before the intent": (publishes, "write_intent"), "before the commit": (publisher, "_commit")} | {
    "before the ledger's rows": (publishes, "record")
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_postgresql_is_killed_in_the_middle_of_a_publish(
    ground: Ground, clean_rows: Callable[..., Rows], postgres: Postgres, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    expected = clean_rows(LANDED, span=hour(0))
    build_id = ground.build(LANDED, hour(0))
    module, name = MOMENTS[moment]
    original = getattr(module, name)

    def killed_first(*arguments: Any, **named: Any) -> Any:
        pid = postgres.component.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.5)
        return original(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, killed_first)
        with pytest.raises(OperationalError):
            ground.publish(LANDED, build_id)
    postgres.start()
    assert ground.publish(LANDED, build_id).published == [hour(0).start]
    assert ground.rows(LANDED) == expected
    assert ground.ills() == []
    # Spark's catalog had connections to the dead server too.
    ground.make(LANDED, hour(0, 2))
    assert ground.rows(LANDED) == clean_rows(LANDED, span=hour(0, 2))


def test_the_spark_server_is_killed_in_the_middle_of_a_build(
    ground: Ground, clean_rows: Callable[..., Rows], home: Home
) -> None:
    expected = clean_rows(LANDED, span=hour(0))
    server = Component(home, "spark")
    build = ground.start("build", LANDED, hour(0), "--crawl")
    with at_once([build]):
        until(lambda: ground.builds() and ground.builds()[0].pins, 60, "the build's query")
        time.sleep(1)
        pid = server.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        _, said = build.communicate(timeout=60)
        seconds = time.monotonic() - killed
    assert build.returncode == 1
    assert seconds < 15, f"it took {seconds:.0f} s to see that Spark is gone"
    (failed,) = ground.builds()
    assert failed.state == "failed"
    assert "SparkUnavailableError: Spark Connect " in (failed.error or ""), f"{failed.error}\n{said}"
    until(lambda: server.pid() not in (None, pid) and _listens(home), 90, "the supervisor's new server")
    ground.make(LANDED, hour(0))
    assert ground.rows(LANDED) == expected
    assert ground.ills(mend=True) == []


def _listens(home: Home) -> bool:
    from feedmill.local.spark import SparkServer

    return SparkServer(home).ready()
