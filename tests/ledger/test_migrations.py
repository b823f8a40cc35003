"""Migrations: what they make is what the models say, however often and by how many they are run."""

from __future__ import annotations

import subprocess
import sys

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from feedmill.ledger.models import Base
from feedmill.ledger.store import Ledger, lock_counter, migrate


def differences(url: str) -> list[object]:
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        found: list[object] = compare_metadata(context, Base.metadata)
    engine.dispose()
    return found


def test_an_upgrade_of_an_empty_database_makes_what_the_models_say(empty_database: str) -> None:
    assert differences(empty_database), "the comparison must see a missing table"
    migrate(empty_database)
    assert differences(empty_database) == []


def test_a_second_upgrade_changes_nothing_and_keeps_the_counter(empty_database: str) -> None:
    migrate(empty_database)
    ledger = Ledger(empty_database)
    with ledger.transaction() as session:
        assert (lock_counter(session).epoch, lock_counter(session).value) == (1, 0)
        lock_counter(session).value = 7
    migrate(empty_database)
    with ledger.transaction() as session:
        assert lock_counter(session).value == 7
        assert session.execute(text("SELECT count(*) FROM counter")).scalar_one() == 1
    ledger.engine.dispose()


def test_processes_that_upgrade_at_once_all_succeed(empty_database: str) -> None:
    code = (
        "import sys, psycopg2, alembic.command, alembic.autogenerate; from feedmill.ledger.store import migrate; "
        "print('ready', flush=True); input(); migrate(sys.argv[1])"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, empty_database],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert differences(empty_database) == []
