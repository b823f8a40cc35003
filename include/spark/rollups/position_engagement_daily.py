"""rollups.position_engagement_daily: how often items of a category were engaged with, by where they were shown."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from include.spark.exact import total
from include.spark.impressions import impressions, with_categories


def transform(clean: DataFrame, items: DataFrame) -> DataFrame:
    """One row per day, surface, position bucket and category; an item's impression is split by its categories."""
    return (
        with_categories(impressions(clean), items)
        .groupBy("day", "surface", "position_bucket", "category")
        .agg(
            total(F.col("shown") * F.col("weight")).alias("impressions"),
            total(F.col("engaged") * F.col("weight")).alias("engaged"),
        )
        .select("day", "surface", "position_bucket", "category", "impressions", "engaged")
    )
