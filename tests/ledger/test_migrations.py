"""Migrations: what they make is what the models say, however often and by how many they are run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, select, text
from sqlalchemy.exc import ProgrammingError

from feedmill.cli.exits import code_of, sentence_of
from feedmill.errors import Exit
from feedmill.ledger.models import Base, Partition
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


def test_two_processes_that_upgrade_at_once_both_succeed(
    empty_database: str, wait_for_locks: Callable[[Engine, int], None]
) -> None:
    code = "import sys; from feedmill.ledger.store import migrate; migrate(sys.argv[1])"
    engine = create_engine(empty_database)
    with engine.connect() as gate:
        # Nobody gets past Alembic's first statement before both have come so far.
        gate.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        processes = [
            subprocess.Popen([sys.executable, "-c", code, empty_database], stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        wait_for_locks(engine, 2)
        gate.rollback()
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    engine.dispose()
    assert differences(empty_database) == []


def test_a_ledger_without_its_tables_is_told_so_with_the_way_out(empty_database: str) -> None:
    ledger = Ledger(empty_database)
    with pytest.raises(ProgrammingError) as missing_table, ledger.transaction() as session:
        lock_counter(session)
    migrate(empty_database)
    with ledger.engine.begin() as connection:
        connection.execute(text("ALTER TABLE partitions DROP COLUMN expired_at"))
    # As after an upgrade.
    with pytest.raises(ProgrammingError) as missing_column, ledger.transaction() as session:
        session.scalars(select(Partition)).all()
    ledger.engine.dispose()
    for error, what in ((missing_table.value, '"counter"'), (missing_column.value, "expired_at")):
        assert code_of(error) is Exit.UNREACHABLE
        assert what in sentence_of(error)
        assert "run `feedmill ledger migrate`" in sentence_of(error)
