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
from tests.spark.plans import faults, shuffles

PROJECT = Path(__file__).resolve().parents[2]

SHUFFLES = {
    "events.landed": 0,
    "events.rejected": 0,
    "events.clean": 1,
    "catalog.items": 1,
    "rollups.item_engagement_hourly": 1,
    "rollups.item_engagement_daily": 1,
    # The impressions, then their sums: an impression's surface is not known before its records are together.
    "rollups.item_evidence_hourly": 2,
    "rollups.item_evidence_daily": 1,
    "rollups.surface_evidence_hourly": 1,
    # Two of these are of the catalogue, which is small beside the events.
    "rollups.position_engagement_daily": 5,
    "rollups.user_items_daily": 1,
    "rollups.user_category_daily": 5,
    "rollups.user_category_window": 1,
    "features.engagement_baseline": 2,
    "features.affinity_variances": 3,
    "features.user_category_affinity": 1,
    # Of these, most are of items, pairs of items or segments: few beside events and users.
    "features.item_neighbours": 9,
    "features.item_popularity_daily": 11,
    "features.item_popularity_hourly": 5,
    "features.item_trending": 6,
    "serving.user_recommendations": 10,
    "serving.fallback_ranking": 15,
}
"""By table, how often rows change places; what is shuffled once and read again counts once."""

SETTINGS = {
    # Only what a transform itself broadcasts is broadcast.
    "spark.sql.autoBroadcastJoinThreshold": "-1",
    # What an adaptive plan reads again is known only when it runs.
    "spark.sql.adaptive.enabled": "false",
}


@pytest.fixture(scope="module", autouse=True)
def planning(spark) -> Iterator[None]:
    """Plans of large tables that say all of themselves before they run."""
    before = {name: spark.conf.get(name) for name in SETTINGS}
    for name, value in SETTINGS.items():
        spark.conf.set(name, value)
    yield
    for name, value in before.items():
        spark.conf.set(name, value)


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
    assert faults(planned) == []


def test_rows_are_shuffled_as_often_as_it_takes_and_no_more(table: Table, planned: DataFrame) -> None:
    keys = shuffles(planned)
    said = f"{table.name} is shuffled by {keys}; if that is what it takes, write {len(keys)} for it in SHUFFLES here"
    assert len(keys) == SHUFFLES.get(table.name), said


def _schema(reader: Table, entry: Input | Files) -> str:
    """The columns that the runner gives the transform."""
    mine = ddl.read(PROJECT / reader.ddl_path).partition_column
    kind = "date" if reader.every is DAY else "timestamp"
    if isinstance(entry, Files):
        columns = dict(column.split() for column in PLACE.split(", ")) | dict(FIELDS[entry.kind])
    else:
        columns = {column.name: column.sql_type for column in ddl.read(PROJECT / entry.table.ddl_path).columns}
        if (entry.lookback or entry.as_of) and mine in columns:
            columns[f"read_{mine}"] = kind
    columns[mine] = kind
    return ", ".join(f"{name} {type_}" for name, type_ in columns.items())
