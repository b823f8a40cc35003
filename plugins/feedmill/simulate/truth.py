"""The causes of the events: tables that are written beside them. Evaluations read them.

Every table is one Parquet file in ``truth``; their columns are described in docs/simulator.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from feedmill.simulate.draws import Stream, generator
from feedmill.simulate.hour import Hour
from feedmill.simulate.items import Items
from feedmill.simulate.product import COUNTRIES, DEVICES, EXPERIMENTS, INTERCEPT, MODELS, SURFACES
from feedmill.simulate.tastes import CATEGORIES, KNOT, NEVER, Floats
from feedmill.simulate.world import World

FOLDER = "truth"

_UTC = pa.timestamp("us", tz="UTC")
_SAMPLE = 1_024
"""The number of users over whom an item's propensity is averaged."""

_LOW, _HIGH, _STEPS = -14.0, 10.0, 1 << 14
"""The grid of logits on which propensities are averaged over items; finer than a float32 taste matters."""

AFFINITY = pa.schema(
    {
        "day": pa.date32(),
        "user_id": pa.string(),
        "propensity": pa.list_(pa.float32(), CATEGORIES),
        "ratio": pa.list_(pa.float32(), CATEGORIES),
    }
)

ITEM_DAYS = pa.schema(
    {
        "day": pa.date32(),
        "item_id": pa.string(),
        "appeal": pa.float64(),
        "propensity": pa.float64(),
        "ratio": pa.float64(),
        "popular_share": pa.float64(),
    }
)


def category_name(number: int) -> str:
    """``c00``, ``c01``, …: the categories of list columns, in their order."""
    return f"c{number:02d}"


def knots(world: World) -> list[int]:
    """The days for which affinities are written: every seventh, and the last."""
    last = world.settings.days - 1
    return sorted({*range(0, last + 1, KNOT), last})


def user_rows(world: World, names: Any) -> pa.Table:
    """One row per user."""
    users = world.users
    switch = np.where(users.switch_day == NEVER, 0, users.switch_day)
    return pa.table(
        {
            "user_id": names,
            "country": pa.array([c.code for c in COUNTRIES]).take(pa.array(users.country)),
            "device_class": pa.array(DEVICES).take(pa.array(users.device)),
            "sparse": users.sparse,
            "expected_requests": users.activity,
            "level": users.level,
            "mixture": _lists(users.mixture),
            "mixture_after": _lists(users.mixture_after),
            "switch_day": pa.array(_day(world, 0) + switch.astype("timedelta64[D]"), mask=users.switch_day == NEVER),
            **{
                experiment.name: pa.array(
                    [*experiment.variants, None],
                ).take(pa.array(np.where(users.in_experiment < experiment.share, users.arm[:, number], 2)))
                for number, experiment in enumerate(EXPERIMENTS)
            },
        }
    )


def affinity_rows(world: World, names: Any, day: int) -> Iterator[pa.Table]:
    """One row per user: the propensity to engage with each category, and its ratio to the average user's.

    Propensities are averaged over the items that live at noon, on the first slot of home, without trend, model or mood.
    The average user is the mean over users by activity.
    """
    tastes, users = world.tastes.on(day), world.users
    grid = _mean_chance(world, day)
    share = (users.activity / users.activity.sum()).astype(np.float64)
    mean = np.zeros(CATEGORIES)
    for part in _parts(len(users)):
        mean += share[part] @ _look_up(grid, tastes[part])
    for part in _parts(len(users)):
        chance = _look_up(grid, tastes[part])
        yield pa.table(
            {
                "day": pa.array(np.full(len(chance), _day(world, day))),
                "user_id": names[part],
                "propensity": _fixed_lists(chance),
                "ratio": _fixed_lists((chance / mean).astype(np.float32)),
            },
            schema=AFFINITY,
        )


def item_rows(world: World, names: Any) -> pa.Table:
    """One row per item."""
    items = world.items
    start = world.settings.start
    ends = [None if np.isinf(end) else start + timedelta(hours=float(end)) for end in items.ends]
    return pa.table(
        {
            "item_id": names,
            "quality": items.quality,
            "lifetime_hours": pa.array(items.lifetime, mask=np.isinf(items.lifetime)),
            "published_at": pa.array([start + timedelta(hours=float(h)) for h in items.published], _UTC),
            "ends_at": pa.array(ends, _UTC),
            "categories": pa.array(
                [item_categories(items, number) for number in range(len(items))],
                pa.list_(pa.struct({"category": pa.string(), "weight": pa.float64()})),
            ),
            "sponsored": items.sponsored,
        }
    )


def item_categories(items: Items, number: int) -> list[dict[str, Any]]:
    """An item's categories with their weights, as in its record."""
    return [
        {"category": category_name(int(category)), "weight": round(float(weight), 6)}
        for category, weight in zip(items.category[number], items.weight[number], strict=True)
        if weight > 0
    ]


def item_day_rows(world: World, names: Any, day: int) -> pa.Table:
    """One row per item that lives at noon: how likely the average user engages with it on the first slot of home."""
    hour = Hour(world, day * 24 + 12)
    items, live = world.items, hour.live
    activity = world.activity
    drawn = generator(world.settings.seed, Stream.EVALUATION).random(_SAMPLE) * activity[-1]
    sample = np.minimum(np.searchsorted(activity, drawn, side="right") - 1, len(world.users) - 1)
    tastes = world.tastes.on(day)[sample]
    chances = np.empty(len(live))
    by_category = np.ascontiguousarray(tastes.T)
    # A part that stays in the processor's cache from one step to the next.
    for part in _parts(len(live), 1 << 7):
        some = live[part]
        logit = np.zeros((len(some), len(sample)), dtype=np.float32)
        for number in range(items.category.shape[1]):
            logit += by_category[items.category[some, number]] * items.weight[some, number, None]
        logit += np.float32(INTERCEPT)
        logit += hour.appeal[some, None]
        np.negative(logit, out=logit)
        np.exp(logit, out=logit)
        logit += 1
        chances[part] = np.divide(1, logit, out=logit).mean(axis=1)
    return pa.table(
        {
            "day": pa.array(np.full(len(live), _day(world, day))),
            "item_id": names.take(pa.array(live)),
            "appeal": hour.appeal[live].astype(np.float64),
            "propensity": chances,
            "ratio": chances / chances.mean(),
            "popular_share": hour.weights("popular"),
        },
        schema=ITEM_DAYS,
    )


def trend_rows(world: World) -> pa.Table:
    """One row per trend."""
    start = world.settings.start
    return pa.Table.from_pylist(
        [
            {
                "item_id": f"i{trend.item}",
                "surface": SURFACES[trend.surface].name,
                "start": start + timedelta(hours=trend.start),
                "end": start + timedelta(hours=trend.end),
                "engagement_factor": trend.engagement,
                "exposure_factor": trend.exposure,
            }
            for trend in world.trends
        ],
        pa.schema(
            {
                "item_id": pa.string(),
                "surface": pa.string(),
                "start": _UTC,
                "end": _UTC,
                "engagement_factor": pa.float64(),
                "exposure_factor": pa.float64(),
            }
        ),
    )


def position_rows() -> pa.Table:
    """One row per surface and slot: the probability that a user looks at it."""
    return pa.Table.from_pylist(
        [
            {"surface": surface.name, "position": slot, "examination": float(chance), "intercept": surface.intercept}
            for surface in SURFACES
            for slot, chance in enumerate(surface.examination)
        ]
    )


def model_rows() -> pa.Table:
    """One row per model: its policy, and what it does to engagement and revenue."""
    return pa.Table.from_pylist(
        [
            {
                "model_id": model.name,
                "policy": model.policy,
                "engagement_factor": model.engagement,
                "revenue_factor": model.revenue,
            }
            for model in MODELS
        ]
    )


def experiment_rows() -> pa.Table:
    """One row per experiment and variant: what it does, and its share of the experiment's users."""
    return pa.Table.from_pylist(
        [
            {
                "experiment_id": experiment.name,
                "variant": variant,
                "surface": SURFACES[experiment.surface].name,
                "model_id": MODELS[model].name,
                "engagement_factor": MODELS[model].engagement,
                "revenue_factor": MODELS[model].revenue,
                "share": 0.5,
            }
            for experiment in EXPERIMENTS
            for variant, model in zip(experiment.variants, experiment.models, strict=True)
        ]
    )


def read(folder: str | Path, name: str) -> pa.Table:
    """A table of the truth beside a simulation's events, such as ``trends``.

    Raises:
        FileNotFoundError: ``folder`` holds no simulation, or there is no such table.
    """
    return pq.read_table(Path(folder) / FOLDER / f"{name}.parquet")


def manifest(folder: str | Path) -> dict[str, Any]:
    """Seed, sizes, version and row counts of a simulation."""
    found: dict[str, Any] = json.loads((Path(folder) / FOLDER / "manifest.json").read_text())
    return found


def affinity(folder: str | Path, day: datetime | None = None) -> pa.Table:
    """The true affinities in long form: day, user_id, category, propensity, ratio; of one day or of all knots."""
    table = read(folder, "affinity")
    if day is not None:
        table = table.filter(pa.compute.equal(table["day"], pa.scalar(day.date(), pa.date32())))
    rows = np.repeat(np.arange(len(table)), CATEGORIES)
    wide = table.combine_chunks()
    return pa.table(
        {
            "day": wide["day"].take(pa.array(rows)),
            "user_id": wide["user_id"].take(pa.array(rows)),
            "category": pa.array([category_name(number) for number in range(CATEGORIES)] * len(table)),
            "propensity": _flat(wide["propensity"]),
            "ratio": _flat(wide["ratio"]),
        }
    )


def _flat(column: Any) -> Any:
    return pa.chunked_array([chunk.flatten() for chunk in column.chunks], pa.float32())


def _mean_chance(world: World, day: int) -> Floats:
    """The logistic function averaged over the appeal of the items that live at noon, on the grid of logits."""
    hour = Hour(world, day * 24 + 12)
    appeal = np.quantile(hour.appeal[hour.live], (np.arange(64) + 0.5) / 64) + INTERCEPT
    grid = np.linspace(_LOW, _HIGH, _STEPS)
    return np.asarray((1 / (1 + np.exp(-(grid[:, None] + appeal)))).mean(axis=1), dtype=np.float32)


def _look_up(grid: Floats, tastes: Floats) -> Floats:
    scaled = (tastes - np.float32(_LOW)) * np.float32((_STEPS - 1) / (_HIGH - _LOW))
    return np.asarray(grid.take(np.rint(scaled).astype(np.int32).clip(0, _STEPS - 1)))


def _parts(count: int, size: int = 1 << 16) -> Iterator[slice]:
    return (slice(first, min(first + size, count)) for first in range(0, count, size))


def _day(world: World, day: int) -> np.datetime64:
    return np.datetime64((world.settings.start + timedelta(days=day)).date())


def _lists(matrix: npt.NDArray[np.float32]) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])


def _fixed_lists(matrix: npt.NDArray[np.float32]) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(matrix).ravel()), CATEGORIES)
