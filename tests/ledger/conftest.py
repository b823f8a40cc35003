"""Tables of the ledger's tests, and the ledger's URL as migrations see an empty database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from feedmill.local.postgres import Postgres
from feedmill.spec import Files, Maintainer, Table
from feedmill.timeline import HOUR, days


@pytest.fixture
def hourly() -> Table:
    """An hourly table that reads event files."""
    team = Maintainer("team", description="tests", link="mailto:team@example.com")
    return Table("demo.hourly", HOUR, [Files("events")], team, 2, days(90))


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
