"""features.affinity_variances: what is expected of a user, how much users differ, and their categories."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from include.events import ANY
from include.spark.credibility import fitted, products

ENOUGH = 100
"""Users that a segment needs for a fit of its own. With fewer, their error is as large as they are: see
docs/affinity.md."""


def transform(user_category_window: DataFrame) -> DataFrame:
    """One row per day, horizon and segment, and one for all segments, "*", whose fit a small segment takes."""
    key = ("day", "horizon", "segment")
    users = products(user_category_window, [*key, "user_id"], also=["impressions"])
    each = users.withColumn("segment", F.explode(F.array(F.col("segment"), F.lit(ANY))))
    of_all = Window.partitionBy("day", "horizon")
    own = (F.col("groups") >= ENOUGH) | (F.col("segment") == ANY)

    def resolved(name: str) -> Column:
        return F.when(own, F.col(name)).otherwise(F.max(F.when(F.col("segment") == ANY, F.col(name))).over(of_all))

    return fitted(each, key).select(
        *key,
        F.col("groups").alias("users"),
        "observed",
        "expected",
        F.col("group_products").alias("user_products"),
        F.col("group_weights").alias("user_weights"),
        F.col("member_products").alias("category_products"),
        F.col("member_weights").alias("category_weights"),
        own.alias("is_own"),
        resolved("mean").alias("mean_affinity"),
        resolved("slope").alias("activity_slope"),
        resolved("slope_credibility").alias("slope_credibility"),
        resolved("group_variance").alias("user_variance"),
        resolved("member_variance").alias("category_variance"),
    )
