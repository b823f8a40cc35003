"""What the product would serve: serving.user_recommendations, as its own transforms build it."""

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
"""Tables of which every day is built, and those of the days that are ranked; inputs before readers."""

BEFORE = 3
"""Days from the impressions that expected rates are counted from to those of :func:`on_one_day`: a baseline is of the
days before its own, and hours read one that ended six hours before."""


def build_recommendations(
    tables: Lake,
    start: datetime,
    first: datetime,
    end: datetime,
    where: Mapping[str, Mapping[str, Column]] | None = None,
) -> None:
    """Rankings of the days from ``first`` to before ``end``, from events and items since ``start``.

    ``where``: of a table by its name, which rows of an input by its parameter it reads.
    """
    for name in EVERY_DAY:
        tables.build(TABLES[name], start, end)
    for name in RANKED_DAYS:
        tables.build(TABLES[name], first, end, (where or {}).get(name))


def recommendations(tables: Lake, train: Impressions) -> pd.DataFrame:
    """user_id, rank, item_id: what would be served after the last day of ``train``."""
    end = product.START + timedelta(days=int(train.rows["day"].max()) + 1)
    tables.empty()
    product.land(tables, train)
    build_recommendations(tables, product.START, end - DAY.length, end)
    rows = product.of_day(tables, "serving.user_recommendations", end - DAY.length)
    return rows[["user_id", "rank", "item_id"]]


def on_one_day(impressions: Impressions) -> Impressions:
    """A log without days that mean anything, in its order on one day; and before it the same by nobody.

    The product expects of a day what the days before it say. Here that is what the log itself says: events without a
    user are in no user's affinity or history, and double every item's engagements alike.
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
