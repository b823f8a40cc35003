"""features.item_trending: which items get more engagement right now than their past and their exposure explain."""

from typing import Final

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from include.spark.exact import exact, ratio, total
from include.spark.expected_counts import gamma_quantile, posterior, prior_variance, relative_levels, residual_moments

HOURS: Final = 3
"""What "now" is: the hour and the two before it. The map's windows follow it."""

HISTORY_DAYS: Final = 1.0
"""Decayed days after which an item's own rate has half of the weight that it may have."""

HISTORY_SHARE: Final = 0.75
"""The weight of an item's own rate after a long history. The rest stays with its exposure, which alone knows that a
list was laid out in the item's favour this hour."""

DOUBT: Final = 0.95
"""Exposure explains what an item gets that is as popular as, by this quantile, it may be: of a newcomer, much."""

SPREAD: Final = 1.0
"""The least variance of the true ratio in the prior of the score: what trends is not one of the ordinary items, whose
fitted spread would pull it to them."""

LEVEL_COUNTS: Final = 100.0
"""Expected engagements at which the rest of a surface is half believed about how busy the surface is now."""

PROBABILITY: Final = 0.05
SCORE: Final = 2.0
"""A 5 % quantile of at least 2 is DuMouchel's usual signal: twice the expected, at worst odds of 1 to 19."""

OBSERVED: Final = 10
"""Fewer engagements are no trend, whatever was expected."""


def transform(
    item_evidence_hourly: DataFrame,
    surface_evidence_hourly: DataFrame,
    item_popularity_hourly: DataFrame,
    item_popularity_daily: DataFrame,
) -> DataFrame:
    """One row per hour, item and surface that was shown or engaged with in the last three hours.

    The expectation for the three hours blends two values: the item's own decayed rate times the surface's hours of the
    week, and the item's exposure times the popularity that it may have had before them. It is then scaled by how busy
    the rest of the surface is. The score is the 5 % quantile of observed/expected.
    """
    recent = _may_be(_recent(item_evidence_hourly), item_popularity_hourly, item_popularity_daily)
    levelled = _levelled(_blended(recent, _share(surface_evidence_hourly), item_popularity_daily))
    observed, expected = F.col("observed").cast("double"), F.col("expected")
    residual, exposure = residual_moments(observed, expected)
    of_surface = Window.partitionBy("hour", "surface")
    fitted = prior_variance(F.sum(exact(residual)).over(of_surface), F.sum(exact(exposure)).over(of_surface))
    variance = F.greatest(F.col("prior_variance"), F.lit(SPREAD))
    mean, score = posterior(observed, expected, variance, [PROBABILITY])
    return (
        levelled.withColumn("prior_variance", fitted)
        .withColumn("trend", mean)
        .withColumn("score", score)
        .select(
            "hour",
            "item_id",
            "surface",
            "impressions",
            "observed",
            "expected",
            "expected_by_history",
            "expected_by_exposure",
            "history_weight",
            "level",
            "prior_variance",
            "trend",
            "score",
            ((F.col("score") >= SCORE) & (F.col("observed") >= OBSERVED)).alias("is_trending"),
        )
    )


def _recent(item_evidence_hourly: DataFrame) -> DataFrame:
    """The counts of the last hours, and what the exposure in them explains."""
    return item_evidence_hourly.groupBy("hour", "item_id", "surface").agg(
        F.sum("impressions").alias("impressions"),
        F.sum("engaged").alias("observed"),
        total(F.col("expected")).cast("double").alias("exposure"),
    )


def _share(surface_evidence_hourly: DataFrame) -> DataFrame:
    """The part of a mean day that the last hours make up, by surface."""
    now = [F.col("hour") - F.make_dt_interval(hours=F.lit(ago)) for ago in range(HOURS)]
    levels = relative_levels(surface_evidence_hourly, ["hour", "surface"], "engaged", "read_hour", now)
    total_level = sum((F.col("levels")[number] for number in range(1, HOURS)), F.col("levels")[0])
    return levels.select("hour", "surface", (total_level / 24).alias("share"))


def _may_be(recent: DataFrame, item_popularity_hourly: DataFrame, item_popularity_daily: DataFrame) -> DataFrame:
    """With ``may_be``: the most that the item's popularity is thought to have been before the last hours.

    For an item that was unknown then, it is the most that any item of the surface may have.
    """
    before = item_popularity_hourly.select("hour", "item_id", "surface", "popularity", "posterior_variance")
    surfaces = item_popularity_daily.groupBy("hour", "surface").agg(
        F.max("surface_mean").alias("surface_mean"), F.max("surface_variance").alias("surface_variance")
    )
    mean = F.coalesce("popularity", "surface_mean", F.lit(1.0))
    variance = F.coalesce("posterior_variance", "surface_variance", F.lit(0.0))
    quantile = gamma_quantile(mean * mean / variance, mean / variance, DOUBT)
    return (
        recent.join(before, ["hour", "item_id", "surface"], "left")
        .join(F.broadcast(surfaces), ["hour", "surface"], "left")
        .select(*recent.columns, F.when((variance > 0) & (mean > 0), quantile).otherwise(mean).alias("may_be"))
    )


def _blended(recent: DataFrame, share: DataFrame, item_popularity_daily: DataFrame) -> DataFrame:
    """Expected by the item's own history and by its exposure, and the two blended."""
    past = item_popularity_daily.select("hour", "item_id", "surface", "engaged_decayed", "days_decayed")
    days = F.coalesce(F.col("days_decayed"), F.lit(0.0))
    share_of_day = F.coalesce(F.col("share"), F.lit(HOURS / 24))
    rate = F.coalesce(ratio(F.col("engaged_decayed"), F.col("days_decayed")), F.lit(0.0))
    weight = HISTORY_SHARE * days / (days + HISTORY_DAYS)
    return (
        recent.join(past, ["hour", "item_id", "surface"], "left")
        .join(F.broadcast(share), ["hour", "surface"], "left")
        .withColumn("expected_by_history", rate * share_of_day)
        .withColumn("expected_by_exposure", F.col("exposure") * F.col("may_be"))
        # If exposure expects nothing (a log of clicks alone, or no baseline yet), history decides alone.
        .withColumn("history_weight", F.when((days > 0) & (F.col("exposure") == 0), F.lit(1.0)).otherwise(weight))
        .withColumn("blended", _blend())
    )


def _blend() -> Column:
    weight = F.col("history_weight")
    return weight * F.col("expected_by_history") + (1 - weight) * F.col("expected_by_exposure")


def _levelled(blended: DataFrame) -> DataFrame:
    """The expectation, scaled by the rest of the surface: if all items have a busy hour, no single item trends."""
    counts = F.when(F.col("blended") > 0, F.col("observed")).otherwise(F.lit(0))
    term = exact(F.col("blended"))
    of_surface = Window.partitionBy("hour", "surface")
    others_observed = (F.sum(counts).over(of_surface) - counts).cast("double")
    others_expected = (F.sum(term).over(of_surface) - term).cast("double")
    return blended.withColumn("level", (others_observed + LEVEL_COUNTS) / (others_expected + LEVEL_COUNTS)).withColumn(
        "expected", F.col("blended") * F.col("level")
    )
