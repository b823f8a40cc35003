"""rollups.user_items_daily: what each user has seen."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from include.spark.impressions import impressions


def transform(clean: DataFrame) -> DataFrame:
    """One row per day, user and item that was shown to the user or engaged with; events without a user are left out."""
    # By user and item at once, which serves both the impressions and their sums.
    by_pair = clean.where(F.col("user_id").isNotNull()).repartition("user_id", "item_id")
    return (
        impressions(by_pair)
        .groupBy("day", "user_id", "item_id")
        .agg(
            F.sum("shown").alias("impressions"),
            F.sum("engaged").alias("engaged"),
            F.max_by("segment", F.struct("last_time", "last_id")).alias("segment"),
            F.max("last_time").alias("last_seen"),
        )
        .select("day", "user_id", "item_id", "impressions", "engaged", "segment", "last_seen")
    )
