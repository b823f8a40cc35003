"""rollups.item_engagement_hourly: what happened to each item, where, and by which model."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def transform(clean: DataFrame) -> DataFrame:
    """One row per hour, item, surface, model, variant, device class and country.

    Counts are of deduplicated events.
    """
    return (
        clean.groupBy("hour", "item_id", "surface", "model_id", "variant", "device_class", "country")
        .agg(
            _count("impression").alias("impressions"),
            _count("click").alias("clicks"),
            _count("like").alias("likes"),
            _count("share").alias("shares"),
            _count("comment").alias("comments"),
            _count("follow").alias("follows"),
            _count("save").alias("saves"),
            _count("hide").alias("hides"),
            _count("opt_out").alias("opt_outs"),
            _count("play").alias("plays"),
            F.sum(F.coalesce("duration_ms", F.lit(0))).alias("duration_ms"),
            F.sum(F.coalesce("revenue_micros", F.lit(0))).alias("revenue_micros"),
            # Over no user id at all the sketch is empty, which reads as "0 users"; nobody counted them.
            F.when(F.count("user_id") > 0, F.hll_sketch_agg("user_id", 12)).alias("users_sketch"),
        )
        .select(
            "hour",
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


def _count(event_type: str) -> Column:
    return F.count_if(F.array_contains("event_types", event_type))
