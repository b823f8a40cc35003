"""features.user_category_affinity: how much more than the average user somebody engages with each category."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.window import WindowSpec

from include.spark.credibility import estimates
from include.spark.exact import exact, ratio

USER = ("day", "horizon", "user_id")


def transform(user_category_window: DataFrame, affinity_variances: DataFrame) -> DataFrame:
    """One row per day, horizon, user and category within the horizon; ranked by affinity, then by name.

    Of a category that the user was never shown, the affinity is ``user_affinity``; of a user without a row, 1.
    """
    fitted = affinity_variances.select(
        "day",
        "horizon",
        "segment",
        F.col("user_variance").alias("group_variance"),
        F.col("category_variance").alias("member_variance"),
        F.lit(1.0).alias("prior"),
    )
    members = user_category_window.repartition("user_id").join(F.broadcast(fitted), ["day", "horizon", "segment"])
    ranked = Window.partitionBy(*USER).orderBy(F.desc("affinity"), "category")
    return (
        estimates(members, USER)
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

    Running sums are rounded, and a share is the step from one to the next: so what is rounded away of one category
    is given to the next. A user whose affinities are all 0 has equal shares.
    """
    so_far = F.sum(exact(F.col("affinity"))).over(ranked.rowsBetween(Window.unboundedPreceding, Window.currentRow))
    of_all = F.sum(exact(F.col("affinity"))).over(Window.partitionBy(*USER))
    part = F.when(of_all > 0, ratio(so_far, of_all)).otherwise(ratio(F.col("rank"), F.col("categories")))
    reached = part.cast("decimal(7,6)")
    return (reached - F.coalesce(F.lag(reached).over(ranked), F.lit(0))).cast("decimal(7,6)")
