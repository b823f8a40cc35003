"""rollups.user_category_daily: what each user did in each category, and what the average user would have done."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from include.events import UNKNOWN
from include.spark.baseline import with_rate
from include.spark.credibility import SUMS
from include.spark.exact import SMALL, exact, total
from include.spark.impressions import impressions, with_categories


def transform(clean: DataFrame, items: DataFrame, engagement_baseline: DataFrame) -> DataFrame:
    """One row per day, user and category: counts, and the sums of :mod:`include.spark.credibility`.

    An item of several categories is split by their weights. Items without a category and events without a user take no
    part. If the day has no baseline, impressions are counted, but they are not evidence.
    """
    latest = Window.partitionBy("day", "user_id")
    # By user once, before all grouping: a user's units, categories and segment are then computed where they are.
    units = impressions(clean.where(F.col("user_id").isNotNull()).repartition("user_id"))
    rows = with_rate(with_categories(units, items), engagement_baseline)
    return (
        _with_sums(rows)
        .groupBy("day", "user_id", "category")
        .agg(
            F.max(F.struct("last_time", "last_id", "segment")).alias("last"),
            total(F.col("shown") * F.col("weight")).alias("impressions"),
            total(F.col("engaged") * F.col("weight")).alias("engaged"),
            *[total(F.col(name)).alias(name) for name in SUMS],
        )
        .withColumn("segment", F.max("last").over(latest)["segment"])
        .where(F.col("category") != UNKNOWN)
        .select(
            "day",
            "user_id",
            "category",
            "segment",
            *[F.col(name).cast(SMALL).alias(name) for name in ("impressions", "engaged", *SUMS)],
        )
    )


def _with_sums(rows: DataFrame) -> DataFrame:
    """The terms of the sums: a row is an impression in one of its item's categories."""
    impression = Window.partitionBy("day", "user_id", "event_time", "event_id", "item_id")
    known = F.col("rate").isNotNull()
    observed = F.when(known, F.col("engaged") * F.col("weight"))
    expected = F.when(known, F.col("shown") * F.col("weight") * F.col("rate"))
    terms = rows.withColumn("observed", exact(observed)).withColumn("expected", exact(expected))
    terms = terms.withColumn("all_observed", F.sum("observed").over(impression)).withColumn(
        "all_expected", F.sum("expected").over(impression)
    )
    o, e, all_o, all_e = (
        F.col(name).cast("double") for name in ("observed", "expected", "all_observed", "all_expected")
    )
    # A user engages with an item as a whole, so its rate is that of all its categories.
    chance = F.greatest(all_e * (1 - all_e), F.lit(0.0))
    return terms.select(
        *rows.columns,
        "observed",
        "expected",
        (F.col("weight") * F.col("weight") * chance).alias("variance"),
        ((o - e) * (o - e)).alias("own_residuals"),
        (e * e).alias("own_expected"),
        ((o - e) * ((all_o - all_e) - (o - e))).alias("shared_residuals"),
        (e * (all_e - e)).alias("shared_expected"),
    )
