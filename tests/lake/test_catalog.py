"""The first builds of an empty lake, which make its catalog at the same moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builds import DDL, TEAM
from pyiceberg.catalog.sql import IcebergNamespaceProperties, SqlCatalogBaseTable
from sqlalchemy import Connection, Engine, create_engine

from feedmill.lake.catalog import Lake
from feedmill.spec import Files, Table
from feedmill.timeline import HOUR, days

TABLE = Table("demo.hourly", HOUR, [Files("events")], TEAM, 2, days(90))
Overtaken = Callable[[Callable[[Connection], object], Callable[[], Any]], Any]


@pytest.fixture
def database(empty_database: str) -> Iterator[Engine]:
    """A database without a catalog."""
    engine = create_engine(empty_database)
    yield engine
    engine.dispose()


@pytest.fixture
def new_lake(lake: Lake, database: Engine, tmp_path: Path) -> Lake:
    """A lake whose catalog that database is to be."""
    path = tmp_path / TABLE.ddl_path
    path.parent.mkdir(parents=True)
    path.write_text(DDL.format(name=TABLE.name))
    uri = database.url.render_as_string(hide_password=False)
    return replace(lake, properties={**lake.properties, "uri": uri}, project=tmp_path)


@pytest.fixture
def overtaken(database: Engine, wait_for_locks: Callable[[Engine, int], None]) -> Overtaken:
    """Runs a second work, which looked before the first was committed and wants to write the same."""

    def run(first: Callable[[Connection], object], second: Callable[[], Any]) -> Any:
        with ThreadPoolExecutor(1) as pool, database.connect() as other:
            first(other)
            late = pool.submit(second)
            wait_for_locks(database, 1)
            other.commit()
            return late.result(60)

    return run


def test_another_process_makes_the_catalog_s_tables_in_between(new_lake: Lake, overtaken: Overtaken) -> None:
    catalog = overtaken(SqlCatalogBaseTable.metadata.create_all, lambda: new_lake.catalog)
    assert catalog.list_namespaces() == []
    assert new_lake.ensure(TABLE).name() == ("demo", "hourly")
    catalog.close()


def test_another_build_makes_the_namespace_in_between(new_lake: Lake, overtaken: Overtaken) -> None:
    row = {"catalog_name": new_lake.catalog.name, "namespace": "demo", "property_key": "exists", "property_value": "t"}
    insert = IcebergNamespaceProperties.__table__.insert().values(row)
    table = overtaken(lambda other: other.execute(insert), lambda: new_lake.ensure(TABLE))
    assert table.name() == ("demo", "hourly")
    assert new_lake.catalog.list_namespaces() == [("demo",)]
    new_lake.catalog.close()
