"""The lists that the product would serve: serving.user_recommendations, built by its own transforms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from evaluation import product
from evaluation.data import Impressions
from evaluation.spark import Lake
from feedmill.timeline import DAY
from include.tables import TABLES

if TYPE_CHECKING:
    from pyspark.sql import Column

EVERY_DAY = (
    *product.AFFINITY[:3],
    "rollups.item_evidence_hourly",
    "rollups.item_evidence_daily",
    "rollups.user_items_daily",
)
RANKED_DAYS = (
    *product.AFFINITY[3:],
    "features.item_popularity_daily",
    "features.item_neighbours",
    "serving.user_recommendations",
)
"""The tables that are built for every day, and those that are built for the ranked days; inputs before readers."""

BEFORE = 3
"""Days between the impressions that give the expected rates and those of :func:`on_one_day`. A baseline covers the days
before its own, and hours read a baseline that ended six hours before."""


def build_recommendations(
    tables: Lake,
    start: datetime,
    first: datetime,
    end: datetime,
    where: Mapping[str, Mapping[str, Column]] | None = None,
) -> None:
    """Rankings of the days from ``first`` to before ``end``, from events and items since ``start``.

    ``where``: by table name and input parameter, which rows of the input are read.
    """
    for name in EVERY_DAY:
        tables.build(TABLES[name], start, end)
    for name in RANKED_DAYS:
        tables.build(TABLES[name], first, end, (where or {}).get(name))


def recommendations(tables: Lake, train: Impressions) -> pd.DataFrame:
    """user_id, rank, item_id: the lists that would be served after the last day of ``train``."""
    end = product.START + timedelta(days=int(train.rows["day"].max()) + 1)
    tables.empty()
    product.land(tables, train)
    build_recommendations(tables, product.START, end - DAY.length, end)
    rows = product.of_day(tables, "serving.user_recommendations", end - DAY.length)
    return rows[["user_id", "rank", "item_id"]]


def on_one_day(impressions: Impressions) -> Impressions:
    """A log whose days mean nothing, put on one day in its order; and before that day the same events without users.

    The product takes a day's expected rates from the days before it. Here these days repeat the log itself. Their
    events have no user, so they enter no user's affinity or history, and they double every item's engagements alike.
    """
    rows, shares = impressions.rows, impressions.shares
    ordered = rows.assign(time_ms=np.arange(len(rows)))
    both = pd.concat(
        [ordered.assign(user=None, day=0), ordered.assign(day=BEFORE)],
        ignore_index=True,
    )
    return replace(
        impressions,
        rows=both,
        shares=pd.concat([shares, shares.assign(row=shares["row"] + len(rows))], ignore_index=True),
    )
