"""The plan of every transform of the map, as Spark would run it on tables too large to broadcast."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from pyspark.sql import DataFrame

from feedmill.lake import ddl
from feedmill.spec import Files, Input, Table
from feedmill.timeline import DAY
from include.spark.sources.rules import FIELDS
from include.tables import TABLES
from tests.spark.conftest import PLACE
from tests.spark.plans import faults

PROJECT = Path(__file__).resolve().parents[2]

ONE_ROW = {"rollups.item_evidence_hourly": ["NestedLoopJoin"]}
"""By table, a join without a key that is meant: the one row of the overall rate has none to be joined by."""


@pytest.fixture(scope="module", autouse=True)
def nothing_is_small(spark) -> Iterator[None]:
    """Only what a transform itself broadcasts is broadcast."""
    name = "spark.sql.autoBroadcastJoinThreshold"
    before = spark.conf.get(name)
    spark.conf.set(name, "-1")
    yield
    spark.conf.set(name, before)


@pytest.fixture(params=TABLES, ids=lambda table: table.name)
def table(request: pytest.FixtureRequest) -> Table:
    """Each of the map."""
    found: Table = request.param
    return found


@pytest.fixture
def planned(table: Table, spark, tmp_path: Path) -> DataFrame:
    """The table's transform on files without rows: a frame that Spark knows to be empty would have no plan."""
    inputs = {}
    for entry in table.inputs:
        folder = tmp_path / entry.parameter
        folder.mkdir()
        inputs[entry.parameter] = spark.read.schema(_schema(table, entry)).parquet(str(folder))
    frame: DataFrame = import_module(table.transform_module).transform(**inputs)
    return frame


def test_python_is_at_work_on_no_row_and_nothing_is_joined_with_everything(table: Table, planned: DataFrame) -> None:
    assert faults(planned) == ONE_ROW.get(table.name, [])


def _schema(reader: Table, entry: Input | Files) -> str:
    """The columns that the runner gives the transform."""
    mine = ddl.read(PROJECT / reader.ddl_path).partition_column
    kind = "date" if reader.every is DAY else "timestamp"
    if isinstance(entry, Files):
        columns = dict(column.split() for column in PLACE.split(", ")) | dict(FIELDS[entry.kind])
    else:
        columns = {column.name: column.sql_type for column in ddl.read(PROJECT / entry.table.ddl_path).columns}
        if entry.lookback and mine in columns:
            columns[f"read_{mine}"] = kind
    if not getattr(entry, "as_of", False):
        columns[mine] = kind
    return ", ".join(f"{name} {type_}" for name, type_ in columns.items())
