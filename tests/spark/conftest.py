"""Rows as the runner hands them to a source, and tables as it hands them to a transform."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from include.spark.sources.rules import FIELDS

ARRIVAL = datetime(2026, 5, 1, 13, tzinfo=UTC)

PLACE = "source_file string, line bigint, received_at timestamp, arrival_hour timestamp, raw string, reason string"


@pytest.fixture(scope="session")
def text_rows(spark) -> Callable[[str, Sequence[str | bytes]], DataFrame]:
    """Lines of a file as the runner cuts them; bytes may be no valid UTF-8."""

    def build(file_name: str, lines: Sequence[str | bytes]) -> DataFrame:
        rows = [
            (number, line.encode() if isinstance(line, str) else line) for number, line in enumerate(lines, start=1)
        ]
        return spark.createDataFrame(rows, "line bigint, raw binary").select(
            F.lit(f"file:///landing/{file_name}").alias("source_file"),
            F.lit(file_name).alias("file_name"),
            "line",
            F.lit(ARRIVAL).alias("received_at"),
            F.lit(ARRIVAL).alias("arrival_hour"),
            F.col("raw").cast("string").alias("raw"),
        )

    return build


@pytest.fixture(scope="session")
def event_records(spark) -> Callable[[Sequence[Mapping[str, Any]]], DataFrame]:
    """Records of events; what a row does not say is null."""
    return lambda rows: _records(spark, "events", rows)


@pytest.fixture(scope="session")
def item_records(spark) -> Callable[[Sequence[Mapping[str, Any]]], DataFrame]:
    """Records of items; what a row does not say is null."""
    return lambda rows: _records(spark, "items", rows)


@pytest.fixture(scope="session")
def frame(spark) -> Callable[[str, Sequence[Mapping[str, Any]]], DataFrame]:
    """Rows of a schema; what a row does not say is null."""
    return lambda schema, rows: _frame(spark, schema, rows)


def _records(spark: Any, kind: Any, rows: Sequence[Mapping[str, Any]]) -> DataFrame:
    schema = ", ".join([PLACE, "day date", *(f"{name} {type_}" for name, type_ in FIELDS[kind].items())])
    return _frame(spark, schema, rows)


def _frame(spark: Any, schema: str, rows: Sequence[Mapping[str, Any]]) -> DataFrame:
    names = spark.createDataFrame([], schema).columns
    return spark.createDataFrame([tuple(row.get(name) for name in names) for row in rows], schema)
