"""The ledger's connections and its publish lock: nobody waits for the dead, and who waits for the living says so."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from sqlalchemy import text

from feedmill.ledger.store import Ledger


def test_both_ends_of_a_connection_give_up_a_host_that_vanished_after_a_minute(ledger: Ledger) -> None:
    expected = {"idle": "30", "interval": "10", "count": "3"}
    with ledger.engine.connect() as connection:
        server = {name: connection.scalar(text(f"SHOW tcp_keepalives_{name}")) for name in expected}
        client = connection.connection.dbapi_connection.info.dsn_parameters  # type: ignore[union-attr]
    assert server == expected
    assert {name: client[f"keepalives_{name}"] for name in expected} == expected
    assert (client["keepalives"], client["connect_timeout"]) == ("1", "10")


def test_who_waits_for_a_table_s_lock_says_so_once(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="feedmill.ledger.store")
    had: list[bool] = []

    def wait() -> None:
        with ledger.table_lock("a.one"):
            had.append(True)

    with ledger.table_lock("a.one"), ledger.table_lock("a.other"):
        assert caplog.messages == [], "a lock that is free is taken without a word"
        thread = threading.Thread(target=wait)
        thread.start()
        deadline = time.monotonic() + 10
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)
        assert had == []
    thread.join(10)
    assert had == [True]
    (said,) = caplog.messages
    assert said.startswith("a.one: waiting for the table's lock; a publish, housekeeping or doctor holds it")
