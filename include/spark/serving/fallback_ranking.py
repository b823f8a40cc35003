"""serving.fallback_ranking: what is shown to whoever has no recommendation."""

from typing import Final

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from include.events import SEGMENT, UNKNOWN
from include.spark.exact import ratio, total

LENGTH: Final = 100
"""Ranks of a segment, where there are as many items."""

QUOTA: Final = 20
"""Ranks that a category may take: a fifth."""

TRENDING: Final = 1.5
"""What a trending item's score is multiplied with."""

FRESH_DAYS: Final = 7.0
"""An item of this age has three quarters of the score of one published now; one of any age has at least half."""

ANYONE: Final = "*"
"""The segment of whoever is in none of the others."""


def transform(
    item_popularity_hourly: DataFrame, item_trending: DataFrame, item_engagement_hourly: DataFrame, items: DataFrame
) -> DataFrame:
    """One row per hour, segment and rank: for each segment with an event in the last 24 hours, and for anyone else.

    Rules, no model: the lower bound of popularity on a surface, more for what trends there and for what is new, and of
    these the mean over the surfaces that the segment uses. No category has more than its quota of ranks.
    """
    mix = _mix(item_engagement_hourly)
    chosen = _candidates(_scored(item_popularity_hourly, item_trending, items))
    scored = (
        chosen.join(F.broadcast(mix), ["hour", "surface"])
        .groupBy("hour", "segment", "item_id", "category", "freshness", "segments")
        .agg(
            total(F.col("share") * F.col("score")).cast("double").alias("score"),
            F.max("is_trending").alias("is_trending"),
        )
    )
    best = F.desc("score"), "item_id"
    of_category = Window.partitionBy("hour", "segment", "category").orderBy(*best)
    segment = Window.partitionBy("hour", "segment")
    ranked = (
        scored.withColumn("category_rank", F.row_number().over(of_category))
        .where(F.col("category_rank") <= QUOTA)
        .withColumn("rank", F.row_number().over(segment.orderBy(*best)))
        .where(F.col("rank") <= LENGTH)
        .withColumn("ranks", F.count("*").over(segment).cast("int"))
        .withColumn("segments_served", F.count_if(F.col("rank") == 1).over(Window.partitionBy("hour")))
    )
    return ranked.select(
        "hour",
        "segment",
        "rank",
        "ranks",
        "item_id",
        "category",
        "category_rank",
        "score",
        "freshness",
        "is_trending",
        "segments",
        "segments_served",
    )


def _mix(item_engagement_hourly: DataFrame) -> DataFrame:
    """How much of each segment's impressions a surface has; as of everybody's, where one impression is all there is."""
    seen = F.col("impressions") + F.col("clicks")
    counted = item_engagement_hourly.groupBy("hour", F.col(SEGMENT).alias("segment"), "surface").agg(
        F.sum(seen).alias("n")
    )
    of_surface = counted.groupBy("hour", "surface").agg(F.sum("n").alias("surface_n"))
    hour = Window.partitionBy("hour")
    everybody = of_surface.select(
        "hour",
        "surface",
        F.coalesce(ratio(F.col("surface_n"), F.sum("surface_n").over(hour)), F.lit(0.0)).alias("all_share"),
    )
    segments = counted.groupBy("hour", "segment").agg(F.sum("n").alias("segment_n"))
    anyone = (
        segments.select("hour").distinct().select("hour", F.lit(ANYONE).alias("segment"), F.lit(0).alias("segment_n"))
    )
    named = segments.where(F.col("segment") != ANYONE).unionByName(anyone)
    n = F.coalesce("n", F.lit(0))
    return (
        named.withColumn("segments", F.count("*").over(hour))
        .join(everybody, "hour")
        .join(counted, ["hour", "segment", "surface"], "left")
        .select(
            "hour",
            "segment",
            "surface",
            "segments",
            ((n + F.col("all_share")) / (F.col("segment_n") + 1)).alias("share"),
        )
    )


def _scored(item_popularity_hourly: DataFrame, item_trending: DataFrame, items: DataFrame) -> DataFrame:
    """Each item's score on each surface, with its main category."""
    trending = item_trending.where("is_trending").select("hour", "item_id", "surface", "is_trending")
    # The category of the largest weight; of equal ones, the last by name.
    heaviest = F.array_max(F.transform("categories", lambda entry: F.struct(entry["weight"], entry["category"])))
    known = items.select("hour", "item_id", heaviest["category"].alias("main"), "published_at")
    now = F.unix_timestamp(F.col("hour")) + 3600
    # What nobody knows the age of is old: greatest() alone would pass over the null and call it new.
    age = F.when(
        F.col("published_at").isNotNull(),
        F.greatest((now - F.unix_timestamp("published_at")) / 86400.0, F.lit(0.0)),
    )
    freshness = 0.5 + 0.5 * F.coalesce(F.pow(F.lit(0.5), age / FRESH_DAYS), F.lit(0.0))
    boost = F.when(F.col("is_trending"), F.lit(TRENDING)).otherwise(F.lit(1.0))
    return (
        item_popularity_hourly.select("hour", "item_id", "surface", "lower_bound")
        .join(trending, ["hour", "item_id", "surface"], "left")
        .join(known, ["hour", "item_id"], "left")
        .select(
            "hour",
            "item_id",
            "surface",
            F.coalesce("main", F.lit(UNKNOWN)).alias("category"),
            F.coalesce("is_trending", F.lit(False)).alias("is_trending"),
            freshness.alias("freshness"),
            (F.col("lower_bound") * boost * freshness).alias("score"),
        )
    )


def _candidates(scored: DataFrame) -> DataFrame:
    """The rows of items that are among their category's best on some surface: no other can pass the quota there."""
    best = Window.partitionBy("hour", "surface", "category").orderBy(F.desc("score"), "item_id")
    anywhere = F.min("place").over(Window.partitionBy("hour", "item_id"))
    return (
        scored.withColumn("place", F.row_number().over(best))
        .withColumn("best_place", anywhere)
        .where(F.col("best_place") <= QUOTA)
    )
