"""Generated events, the same in every run: a feed's day with popular items and frequent users.

Items and users are drawn with Zipf's law; a model serves one surface; one event in 25 is a click, one in 100 a like.
The rows are written to the Iceberg tables directly, as if earlier builds had published them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow

from benchmarks.ground import Deployment
from feedmill.spec import Table
from feedmill.timeline import HOUR, Range

SEED = 20260501
ITEMS, USERS = 2_000, 300_000
MODELS = ("two_tower", "popular", "bandit", "editorial")
SURFACES = ("home", "home", "explore", "search")
"""The surface that each model serves."""
VARIANTS, DEVICES = ("control", "treatment"), ("phone", "tablet", "desktop")
COUNTRIES = ("DE", "FR", "ES", "IT", "PL")


def fill(deployment: Deployment, table: Table, span: Range, rows: int) -> None:
    """Write this many rows of ``events.clean`` or ``events.landed`` to each hour of the range, on ``main``."""
    iceberg = deployment.lake.ensure(table)
    schema = schema_to_pyarrow(iceberg.schema(), include_field_ids=False)
    batch: list[pa.Table] = []
    for number, hour in enumerate(span.partitions()):
        batch.append(_hour(hour, rows, number, schema))
        # Small hours share a commit: 720 commits would take longer than the measurement.
        if sum(part.num_rows for part in batch) >= 1_000_000:
            iceberg.append(pa.concat_tables(batch))
            batch = []
    if batch:
        iceberg.append(pa.concat_tables(batch))


def files(deployment: Deployment, table: Table) -> list[str]:
    """Paths of the table's data files, for engines that read Parquet."""
    tasks = deployment.lake.load(table).scan().plan_files()
    return sorted(task.file.file_path.removeprefix("file://") for task in tasks)


def _hour(hour: datetime, rows: int, number: int, schema: pa.Schema) -> pa.Table:
    draw = np.random.default_rng((SEED, number))
    model = draw.choice(len(MODELS), rows, p=(0.55, 0.2, 0.2, 0.05))
    kind = draw.choice(4, rows, p=(0.94, 0.04, 0.01, 0.01))
    micros = np.sort(draw.integers(0, 3_600_000_000, rows))
    start = np.datetime64(hour.replace(tzinfo=None), "us")
    columns: dict[str, Any] = {
        "hour": _same(hour, rows),
        "event_hour": _same(hour, rows),
        "arrival_hour": _same(hour, rows),
        "event_id": _named("e", np.arange(rows) + number * 100_000_000),
        "event_time": pa.array(start + micros.astype("timedelta64[us]")),
        "received_at": pa.array(start + (micros + 1_000_000).astype("timedelta64[us]")),
        "event_types": _lists([["impression"], ["impression", "click"], ["impression", "like"], ["hide"]], kind),
        "user_id": _named("u", _zipf(draw, rows, USERS)),
        "item_id": _named("i", _zipf(draw, rows, ITEMS)),
        "request_id": _named("r", (np.arange(rows) + number * 100_000_000) // 10),
        "position": pa.array(np.arange(rows) % 10, pa.int32()),
        "surface": pa.array(SURFACES).take(pa.array(model)),
        "model_id": pa.array(MODELS).take(pa.array(model)),
        "experiment_id": pa.nulls(rows, pa.string()),
        "variant": pa.array(VARIANTS).take(pa.array(draw.integers(0, 2, rows))),
        "device_class": pa.array(DEVICES).take(pa.array(draw.choice(3, rows, p=(0.8, 0.05, 0.15)))),
        "country": pa.array(COUNTRIES).take(pa.array(draw.choice(5, rows, p=(0.5, 0.2, 0.15, 0.1, 0.05)))),
        "source": pa.array(["generated"]).take(pa.array(np.zeros(rows, dtype=np.int64))),
        "duration_ms": pa.array(draw.integers(0, 60_000, rows)),
        "revenue_micros": pa.array(np.where(kind == 1, 1_000, 0)),
        "is_late": pa.array(np.zeros(rows, dtype=bool)),
        "source_file": pa.array(["generated.parquet"]).take(pa.array(np.zeros(rows, dtype=np.int64))),
        "line": pa.array(np.arange(1, rows + 1)),
    }
    return pa.table([columns[field.name].cast(field.type) for field in schema], schema=schema)


def _zipf(draw: np.random.Generator, rows: int, kinds: int) -> Any:
    """Ranks from 0 whose frequency falls as 1 / rank."""
    weights = np.cumsum(1 / np.arange(1, kinds + 1))
    return np.searchsorted(weights, draw.random(rows) * weights[-1])


def _named(prefix: str, numbers: Any) -> pa.Array:
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(prefix, pc.cast(pa.array(numbers), pa.string()), "")


def _lists(kinds: Sequence[Sequence[str]], which: Any) -> pa.Array:
    return pa.array(kinds, pa.list_(pa.string())).take(pa.array(which))


def _same(moment: datetime, rows: int) -> pa.Array:
    return pa.array(np.full(rows, np.datetime64(moment.replace(tzinfo=None), "us")))


def hours_before(end: datetime, hours: int) -> Range:
    """The hours that end there."""
    return Range(end - timedelta(hours=hours), end, HOUR)
