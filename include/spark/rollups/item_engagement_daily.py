"""rollups.item_engagement_daily: the hours of a day, added up."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def transform(item_engagement_hourly: DataFrame) -> DataFrame:
    """One row per day, item, surface, model, variant, device class and country.

    Merged from the hours, never recounted.
    """
    return (
        item_engagement_hourly.groupBy("day", "item_id", "surface", "model_id", "variant", "device_class", "country")
        .agg(
            F.sum("impressions").alias("impressions"),
            F.sum("clicks").alias("clicks"),
            F.sum("likes").alias("likes"),
            F.sum("shares").alias("shares"),
            F.sum("comments").alias("comments"),
            F.sum("follows").alias("follows"),
            F.sum("saves").alias("saves"),
            F.sum("hides").alias("hides"),
            F.sum("opt_outs").alias("opt_outs"),
            F.sum("plays").alias("plays"),
            F.sum("duration_ms").alias("duration_ms"),
            F.sum("revenue_micros").alias("revenue_micros"),
            # A union over nulls alone is an empty sketch, which reads as "0 users"; nobody counted them.
            F.when(F.count("users_sketch") > 0, F.hll_union_agg("users_sketch")).alias("users_sketch"),
        )
        .select(
            "day",
            "item_id",
            "surface",
            "model_id",
            "variant",
            "device_class",
            "country",
            "impressions",
            "clicks",
            "likes",
            "shares",
            "comments",
            "follows",
            "saves",
            "hides",
            "opt_outs",
            "plays",
            "duration_ms",
            "revenue_micros",
            "users_sketch",
        )
    )
