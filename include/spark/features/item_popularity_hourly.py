"""features.item_popularity_hourly: popularity updated to the hour, so that a new item is ranked within hours."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from include.spark.credibility import lower_bound
from include.spark.exact import ratio, total


def transform(item_evidence_hourly: DataFrame, item_popularity_daily: DataFrame) -> DataFrame:
    """One row per hour, item and surface with traffic: of the daily table, or shown since the end of its day.

    The day's popularity and its posterior variance are the prior, the hours since are the evidence. An item that the
    day does not know starts as the mean item of its surface.
    """
    surfaces = item_popularity_daily.groupBy("hour", "surface").agg(
        F.max("day").alias("prior_day"),
        F.max("surface_mean").alias("surface_mean"),
        F.max("surface_variance").alias("surface_variance"),
    )
    prior_days = surfaces.select("hour", "surface", "prior_day")
    now = item_evidence_hourly.join(F.broadcast(prior_days), ["hour", "surface"], "left")
    hours = now.select("hour", "surface").distinct()
    known = item_popularity_daily.select(
        "hour", "item_id", "surface", "popularity", "posterior_variance", F.col("credibility").alias("daily")
    ).join(F.broadcast(hours), ["hour", "surface"])
    since = (
        now.where(F.col("prior_day").isNull() | (F.to_date("read_hour") > F.col("prior_day")))
        .groupBy("hour", "item_id", "surface")
        .agg(
            F.sum("impressions").alias("impressions"),
            F.sum("observed").alias("observed"),
            total(F.col("expected")).alias("expected"),
            total(F.col("variance")).alias("variance"),
        )
    )
    expected = F.col("expected").cast("double")
    signal = F.col("prior_variance") * expected * expected
    z = F.col("of_hours")
    return (
        known.join(since, ["hour", "item_id", "surface"], "full")
        .join(F.broadcast(surfaces), ["hour", "surface"], "left")
        .withColumn("prior", F.coalesce("popularity", "surface_mean", F.lit(1.0)))
        .withColumn("prior_variance", F.coalesce("posterior_variance", "surface_variance", F.lit(0.0)))
        .withColumn("of_hours", F.coalesce(ratio(signal, signal + F.col("variance")), F.lit(0.0)))
        .withColumn(
            "popularity", z * F.coalesce(ratio(F.col("observed"), expected), F.lit(0.0)) + (1 - z) * F.col("prior")
        )
        .withColumn("posterior_variance", (1 - z) * F.col("prior_variance"))
        .select(
            "hour",
            "item_id",
            "surface",
            "prior_day",
            *[
                F.coalesce(name, F.lit(0)).cast(kind).alias(name)
                for name, kind in (
                    ("impressions", "bigint"),
                    ("observed", "bigint"),
                    ("expected", "decimal(28,10)"),
                    ("variance", "decimal(28,10)"),
                )
            ],
            "prior",
            "prior_variance",
            (1 - (1 - F.coalesce("daily", F.lit(0.0))) * (1 - z)).alias("credibility"),
            "popularity",
            "posterior_variance",
            lower_bound(F.col("popularity"), F.col("posterior_variance")).alias("lower_bound"),
        )
    )
