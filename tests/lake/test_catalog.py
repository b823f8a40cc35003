"""The first builds of an empty lake, which make its catalog at the same moment."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from builds import DDL, TEAM
from pyiceberg.catalog.sql import IcebergNamespaceProperties, SqlCatalogBaseTable
from sqlalchemy import Connection, Engine, create_engine, text

from feedmill.lake.catalog import Lake
from feedmill.local.postgres import Postgres
from feedmill.local.process import wait_until
from feedmill.spec import Files, Table
from feedmill.timeline import HOUR, days

TABLE = Table("demo.hourly", HOUR, [Files("events")], TEAM, 2, days(90))
T = TypeVar("T")


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Engine]:
    """A database without a catalog."""
    name = f"iceberg_{uuid.uuid4().hex[:8]}"
    admin = create_engine(postgres.url("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine = create_engine(postgres.url(name))
    yield engine
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def new_lake(lake: Lake, database: Engine, tmp_path: Path) -> Lake:
    """A lake whose catalog that database is to be."""
    path = tmp_path / TABLE.ddl_path
    path.parent.mkdir(parents=True)
    path.write_text(DDL.format(name=TABLE.name))
    uri = database.url.render_as_string(hide_password=False)
    return replace(lake, properties={**lake.properties, "uri": uri}, project=tmp_path)


def overtaken(database: Engine, first: Callable[[Connection], object], second: Callable[[], T]) -> T:
    """``second``, which looked before ``first`` was committed and wants to write the same."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with database.connect() as other, database.connect() as watch, ThreadPoolExecutor(1) as pool:
        first(other)
        late = pool.submit(second)

        def waits() -> bool:
            found = watch.execute(text(waiting)).scalar_one() > 0
            watch.rollback()  # pg_stat_activity is one picture a transaction
            return bool(found)

        there = wait_until(waits, 60)
        other.commit()  # first, or who waits for it would never end
        assert there, "it never wanted to write"
        return late.result(60)


def test_another_process_makes_the_catalog_s_tables_in_between(new_lake: Lake, database: Engine) -> None:
    catalog = overtaken(database, SqlCatalogBaseTable.metadata.create_all, lambda: new_lake.catalog)
    assert catalog.list_namespaces() == []
    assert new_lake.ensure(TABLE).name() == ("demo", "hourly")
    catalog.close()


def test_another_build_makes_the_namespace_in_between(new_lake: Lake, database: Engine) -> None:
    row = {"catalog_name": new_lake.catalog.name, "namespace": "demo", "property_key": "exists", "property_value": "t"}
    insert = IcebergNamespaceProperties.__table__.insert().values(row)
    table = overtaken(database, lambda other: other.execute(insert), lambda: new_lake.ensure(TABLE))
    assert table.name() == ("demo", "hourly")
    assert new_lake.catalog.list_namespaces() == [("demo",)]
    new_lake.catalog.close()
