"""Prototypes of cheaper forms of rollups.user_category_window: from sums of weeks, and from yesterday's window.

Their sums are wide: a row has a user's category once, with columns ``<horizon>_<sum>`` for each horizon.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

from include.spark.decay import HORIZONS, Horizon, weight
from include.spark.exact import SMALL, total
from include.spark.rollups.user_category_window import COLUMNS, ONCE

HORIZON_NAMES = tuple(horizon.name for horizon in HORIZONS)


def week(days: DataFrame, last: date) -> DataFrame:
    """The sums of the week that ends there, each day weighted by its age on that last day."""
    from pyspark.sql import functions as F

    age = F.date_diff(F.lit(last), "read_day")
    summed = _summed(wide(days), {horizon: _left(horizon, age) for horizon in HORIZONS})
    return summed.withColumn("read_day", F.lit(last))


def from_weeks(weeks: DataFrame, since: DataFrame, day: date) -> DataFrame:
    """The window of a day from the sums of weeks that end on or before it, and of the days since the last of them."""
    from pyspark.sql import functions as F

    age = F.date_diff(F.lit(day), "read_day")
    rows = weeks.unionByName(wide(since))
    return _by_horizon(_summed(rows, {horizon: weight(age, horizon) for horizon in HORIZONS}))


def from_yesterday(before: DataFrame, days: DataFrame, day: date) -> DataFrame:
    """The window of a day from the wide one of the day before, the day itself, and the days that leave a horizon."""
    from pyspark.sql import functions as F

    age = F.date_diff(F.lit(day), "read_day")
    rows = before.withColumn("sign", F.lit(1)).unionByName(wide(days.where(age == 0)).withColumn("sign", F.lit(1)))
    for horizon in HORIZONS:
        leaving = wide(days.where(age == horizon.days), [horizon.name])
        rows = rows.unionByName(leaving.withColumn("sign", F.lit(-1)))
    return _by_horizon(_summed(rows, {horizon: F.col("sign") * _left(horizon, age) for horizon in HORIZONS}))


def wide(days: DataFrame, horizons: Collection[str] = HORIZON_NAMES) -> DataFrame:
    """Rows of rollups.user_category_daily as sums of these horizons, unweighted; of the others they are 0."""
    from pyspark.sql import functions as F

    return days.select(
        "read_day",
        "user_id",
        "category",
        "segment",
        *[
            (F.col(name) if horizon in horizons else F.lit(0)).cast(SMALL).alias(f"{horizon}_{name}")
            for horizon in HORIZON_NAMES
            for name in COLUMNS
        ],
    )


def _left(horizon: Horizon, age: Column) -> Column:
    """What an age leaves of a weight, beyond the horizon too."""
    from pyspark.sql import functions as F

    return F.pow(F.lit(0.5), age / horizon.half_life)


def _summed(rows: DataFrame, factors: Mapping[Horizon, Column]) -> DataFrame:
    """Sums by user and category with the horizons' weights: their sign, and their square in sums of squares."""
    from pyspark.sql import functions as F

    sums = [
        total(F.col(f"{horizon.name}_{name}") * (once if name in ONCE else once * F.abs(once)))
        .cast(SMALL)
        .alias(f"{horizon.name}_{name}")
        for horizon, once in factors.items()
        for name in COLUMNS
    ]
    latest = F.max(F.struct("read_day", "segment")).alias("last")
    grouped = rows.repartition("user_id").groupBy("user_id", "category").agg(latest, *sums)
    names = [f"{horizon}_{name}" for horizon in HORIZON_NAMES for name in COLUMNS]
    return grouped.select("last.read_day", "user_id", "category", "last.segment", *names)


def _by_horizon(sums: DataFrame) -> DataFrame:
    """One row per horizon, as the table has them; none where nothing was shown within it."""
    from pyspark.sql import functions as F

    each = [
        F.struct(F.lit(horizon).alias("horizon"), *[F.col(f"{horizon}_{name}").alias(name) for name in COLUMNS])
        for horizon in HORIZON_NAMES
    ]
    rows = sums.select("user_id", "category", "segment", F.inline(F.array(*each)))
    return rows.where(F.col("impressions") > 0)
