"""serving.fallback_ranking: what to show to users who have no recommendations."""

from typing import Final

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from include.events import ANY, SEGMENT, UNKNOWN
from include.spark.exact import ratio

LENGTH: Final = 100
"""Ranks of a segment, where there are as many items."""

QUOTA: Final = 20
"""Ranks that a category may take: a fifth."""

TRENDING: Final = 1.5
"""What a trending item's score is multiplied with."""

FRESH_DAYS: Final = 7.0
"""An item of this age has three quarters of the score of one published now; one of any age has at least half."""

ANYONE: Final = ANY
"""The segment of whoever is in none of the others."""


def transform(
    item_popularity_hourly: DataFrame, item_trending: DataFrame, item_engagement_hourly: DataFrame, items: DataFrame
) -> DataFrame:
    """One row per hour, segment and rank: for each segment with an event in the last 24 hours, and for everybody else.

    It uses rules, no model: the lower bound of popularity on a surface, raised for items that trend there and for new
    items, and then the mean over the surfaces that the segment uses. No category has more than its quota of ranks.
    """
    scored = _scored(_rated(item_popularity_hourly, item_trending, items), _mixes(item_engagement_hourly))
    best = F.desc("score"), "item_id"
    of_category = Window.partitionBy("hour", "segment", "category").orderBy(*best)
    segment = Window.partitionBy("hour", "segment")
    ranked = (
        # Spark keeps the best of each task before it shuffles: items × segments rows are made, few travel.
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


def _mixes(item_engagement_hourly: DataFrame) -> DataFrame:
    """One row per hour and segment: how much of its impressions each surface has, in the order of their names.

    One impression more is added, spread like everybody's, so that a segment of one user has a mix too.
    """
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
    n = F.coalesce("n", F.lit(0))
    return (
        segments.unionByName(anyone)
        .withColumn("segments", F.count("*").over(hour))
        .join(everybody, "hour")
        .join(counted, ["hour", "segment", "surface"], "left")
        .withColumn("share", (n + F.col("all_share")) / (F.col("segment_n") + 1))
        .groupBy("hour", "segment", "segments")
        .agg(F.sort_array(F.collect_list(F.struct("surface", "share"))).alias("mix"))
    )


def _rated(item_popularity_hourly: DataFrame, item_trending: DataFrame, items: DataFrame) -> DataFrame:
    """One row per hour and item: by surface its lower bound of popularity, the surfaces where it trends, its freshness
    and main category."""
    bounds = item_popularity_hourly.groupBy("hour", "item_id").agg(
        F.map_from_entries(F.collect_list(F.struct("surface", "lower_bound"))).alias("bounds")
    )
    trending = (
        item_trending.where("is_trending").groupBy("hour", "item_id").agg(F.collect_set("surface").alias("trends_on"))
    )
    # The category with the largest weight; among equal ones, the last by name.
    heaviest = F.array_max(F.transform("categories", lambda entry: F.struct(entry["weight"], entry["category"])))
    known = items.select("hour", "item_id", heaviest["category"].alias("main"), "published_at")
    now = F.unix_timestamp(F.col("hour")) + 3600
    # An item of unknown age counts as old: greatest() alone would skip the null and call it new.
    age = F.when(
        F.col("published_at").isNotNull(),
        F.greatest((now - F.unix_timestamp("published_at")) / 86400.0, F.lit(0.0)),
    )
    freshness = 0.5 + 0.5 * F.coalesce(F.pow(F.lit(0.5), age / FRESH_DAYS), F.lit(0.0))
    return (
        bounds.join(trending, ["hour", "item_id"], "left")
        .join(known, ["hour", "item_id"], "left")
        .select(
            "hour",
            "item_id",
            F.coalesce("main", F.lit(UNKNOWN)).alias("category"),
            freshness.alias("freshness"),
            "bounds",
            F.coalesce("trends_on", F.array().cast("array<string>")).alias("trends_on"),
        )
    )


def _scored(rated: DataFrame, mixes: DataFrame) -> DataFrame:
    """One row per hour, segment and item that is on one of the segment's surfaces."""
    shown_on = F.filter("mix", lambda each: F.map_contains_key("bounds", each["surface"]))
    return (
        rated.join(F.broadcast(mixes), "hour")
        .withColumn("shown_on", shown_on)
        .where(F.size("shown_on") > 0)
        .withColumn("score", F.col("freshness") * F.aggregate("shown_on", F.lit(0.0), lambda s, each: s + _part(each)))
        .withColumn("is_trending", F.exists("shown_on", _trends))
        .drop("mix", "bounds", "trends_on", "shown_on")
    )


def _part(each: Column) -> Column:
    """The part of an item's score that one surface of the mix adds."""
    boost = F.when(_trends(each), F.lit(TRENDING)).otherwise(F.lit(1.0))
    return each["share"] * F.col("bounds")[each["surface"]] * boost


def _trends(each: Column) -> Column:
    return F.array_contains("trends_on", each["surface"])
