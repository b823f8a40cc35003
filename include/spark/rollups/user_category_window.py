"""rollups.user_category_window: the days of each user and category, added up by age."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from include.spark.credibility import FIRST_ORDER, SUMS
from include.spark.decay import HORIZONS, Horizon, weight
from include.spark.exact import SMALL, total

ONCE = ("impressions", *FIRST_ORDER)
"""Columns that a day's weight multiplies once; the other sums are squares, and take its square."""

COLUMNS = ("impressions", *SUMS)


def transform(user_category_daily: DataFrame) -> DataFrame:
    """One row per day, horizon, user and category that the user was shown or engaged with within the horizon.

    Exact to the day: a day's sums are weighted by its age, and added.
    """
    latest = Window.partitionBy("day", "user_id")
    # Grouping alone would shuffle by user and category, and the latest segment again by user.
    by_user = user_category_daily.repartition("user_id").withColumn("age", F.date_diff("day", "read_day"))
    return (
        by_user.groupBy("day", "user_id", "category")
        .agg(
            F.max(F.struct("read_day", "segment")).alias("last"),
            F.min("age").alias("age"),
            *[_sums(horizon).alias(horizon.name) for horizon in HORIZONS],
        )
        .withColumn("segment", F.max("last").over(latest)["segment"])
        .select(
            "day",
            "user_id",
            "category",
            "segment",
            "age",
            F.inline(F.array(*[_row(horizon) for horizon in HORIZONS])).alias("horizon", "days", *COLUMNS),
        )
        .where(F.col("age") < F.col("days"))
        .select("day", "horizon", "user_id", "category", "segment", *COLUMNS)
    )


def _sums(horizon: Horizon) -> Column:
    once = weight(F.col("age"), horizon)
    return F.struct(
        *[total(F.col(name) * (once if name in ONCE else once * once)).cast(SMALL).alias(name) for name in COLUMNS]
    )


def _row(horizon: Horizon) -> Column:
    sums = [F.col(horizon.name)[name].alias(name) for name in COLUMNS]
    return F.struct(F.lit(horizon.name).alias("horizon"), F.lit(horizon.days).alias("days"), *sums)
