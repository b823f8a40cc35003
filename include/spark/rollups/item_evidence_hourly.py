"""rollups.item_evidence_hourly: what each item got, and what its slots would have got with the average item."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from include.spark.baseline import with_position_rate
from include.spark.exact import total
from include.spark.impressions import impressions

SUMS = ("expected", "variance", "own_residuals", "own_expected")
"""What :mod:`include.spark.credibility` makes estimates of, beside observed; no impression is shared by two items."""


def transform(clean: DataFrame, engagement_baseline: DataFrame) -> DataFrame:
    """One row per hour, item and surface.

    The expected rate e of an impression is the rate of its surface and position bucket over all categories. Its
    variance is e(1 − e), that of one trial. Before there are rates, impressions and engagements are counted, but they
    are not evidence.
    """
    known = F.col("position_rate").isNotNull()
    expected = F.coalesce(F.col("shown") * F.col("position_rate"), F.lit(0.0))
    observed = F.when(known, F.col("engaged")).otherwise(F.lit(0))
    residual = observed - expected
    return (
        with_position_rate(impressions(clean, "hour"), engagement_baseline, "hour")
        .groupBy("hour", "item_id", "surface")
        .agg(
            F.sum("shown").alias("impressions"),
            F.sum("engaged").alias("engaged"),
            F.sum(observed).cast("bigint").alias("observed"),
            total(expected).alias("expected"),
            total(expected * (1 - expected)).alias("variance"),
            total(residual * residual).alias("own_residuals"),
            total(expected * expected).alias("own_expected"),
        )
        .select("hour", "item_id", "surface", "impressions", "engaged", "observed", *SUMS)
    )
