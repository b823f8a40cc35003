"""What users engaged with lately, the newest first."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def newest(user_items_daily: DataFrame, count: int) -> DataFrame:
    """The ``count`` newest items of each user.

    One row per day, user and item that the user engaged with in the days that ``day`` reads: day, user_id, item_id,
    ``place``, from 0, the newest.

    Newest by when the user last met the item on a day of engaging with it; equal times by item.
    """
    latest = Window.partitionBy("day", "user_id").orderBy(F.desc("last_seen"), "item_id")
    return (
        user_items_daily.where(F.col("engaged") > 0)
        # Grouping alone would shuffle by user and item, and the window again by user.
        .repartition("day", "user_id")
        .groupBy("day", "user_id", "item_id")
        .agg(F.max("last_seen").alias("last_seen"))
        .withColumn("place", F.row_number().over(latest) - 1)
        .where(F.col("place") < count)
        .select("day", "user_id", "item_id", "place")
    )
