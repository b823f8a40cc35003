"""features.user_category_affinity: how much more a user engages with each category than the average user."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.window import WindowSpec

from include.spark.credibility import estimates, prior
from include.spark.exact import exact, ratio

USER = ("day", "horizon", "user_id")


def transform(user_category_window: DataFrame, affinity_variances: DataFrame) -> DataFrame:
    """One row per day, horizon, user and category within the horizon; ranked by affinity, then by name.

    For a category that the user was never shown, take ``user_affinity``. For a user without a row, take the segment's
    ``mean_affinity`` in features.affinity_variances.
    """
    fitted = affinity_variances.select(
        "day",
        "horizon",
        "segment",
        F.col("mean_affinity").alias("mean"),
        F.col("activity_slope").alias("slope"),
        F.col("user_variance").alias("group_variance"),
        F.col("category_variance").alias("member_variance"),
    )
    members = user_category_window.repartition("user_id").join(F.broadcast(fitted), ["day", "horizon", "segment"])
    ranked = Window.partitionBy(*USER).orderBy(F.desc("affinity"), "category")
    shown = F.sum("impressions").over(Window.partitionBy(*USER))
    return (
        estimates(members.withColumn("prior", prior(shown)), USER)
        .withColumnsRenamed({"estimate": "affinity", "group_estimate": "user_affinity"})
        .withColumn("rank", F.row_number().over(ranked))
        .withColumn("categories", F.count("*").over(Window.partitionBy(*USER)).cast("int"))
        .withColumn("preference_share", _share(ranked))
        .withColumn("share_sum", F.sum("preference_share").over(Window.partitionBy(*USER)).cast("decimal(7,6)"))
        .select(
            *USER,
            "category",
            "segment",
            "rank",
            "categories",
            "affinity",
            "lower_bound",
            "credibility",
            "user_affinity",
            "preference_share",
            "share_sum",
            "impressions",
            "observed",
            "expected",
        )
    )


def _share(ranked: WindowSpec) -> Column:
    """The category's part of the user's affinities, in millionths that sum to exactly 1.

    Running sums are rounded, and a share is the step from one sum to the next. So what rounding takes from one category
    goes to the next. A user whose affinities are all 0 has equal shares.
    """
    so_far = F.sum(exact(F.col("affinity"))).over(ranked.rowsBetween(Window.unboundedPreceding, Window.currentRow))
    of_all = F.sum(exact(F.col("affinity"))).over(Window.partitionBy(*USER))
    part = F.when(of_all > 0, ratio(so_far, of_all)).otherwise(ratio(F.col("rank"), F.col("categories")))
    reached = part.cast("decimal(7,6)")
    return (reached - F.coalesce(F.lag(reached).over(ranked), F.lit(0))).cast("decimal(7,6)")
