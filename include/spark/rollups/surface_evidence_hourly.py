"""rollups.surface_evidence_hourly: the items of a surface, added up: the rhythm of its day and week."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from include.spark.exact import total


def transform(item_evidence_hourly: DataFrame) -> DataFrame:
    """One row per hour and surface: sums over its items."""
    return (
        item_evidence_hourly.groupBy("hour", "surface")
        .agg(
            F.count("*").alias("items"),
            F.sum("impressions").alias("impressions"),
            F.sum("engaged").alias("engaged"),
            F.sum("observed").alias("observed"),
            total(F.col("expected")).alias("expected"),
        )
        .select("hour", "surface", "items", "impressions", "engaged", "observed", "expected")
    )
