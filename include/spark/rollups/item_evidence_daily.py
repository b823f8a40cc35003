"""rollups.item_evidence_daily: the hours of a day, added up."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from include.spark.exact import total
from include.spark.rollups.item_evidence_hourly import SUMS


def transform(item_evidence_hourly: DataFrame) -> DataFrame:
    """One row per day, item and surface: sums of the hours, never recounted."""
    return (
        item_evidence_hourly.groupBy("day", "item_id", "surface")
        .agg(
            F.sum("impressions").alias("impressions"),
            F.sum("engaged").alias("engaged"),
            F.sum("observed").alias("observed"),
            *[total(F.col(name)).alias(name) for name in SUMS],
        )
        .select("day", "item_id", "surface", "impressions", "engaged", "observed", *SUMS)
    )
