"""features.item_popularity_daily: how an item's engagement compares with that of an average item in its slots."""

from math import log
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from include.spark.categories import counted
from include.spark.credibility import (
    COMPARABLE,
    FIRST_ORDER,
    SECOND_ORDER,
    SUMS,
    estimates,
    lower_bound,
    products,
    variances,
)
from include.spark.exact import exact, ratio, total

HALF_LIFE_DAYS: Final = 14.0
"""An engagement of two weeks ago counts half, one of the window's first day (27 days ago) a quarter."""

KEYS: Final = ("day", "item_id", "surface")

_CATEGORY = ("day", "surface", "category")


def transform(item_evidence_daily: DataFrame, items: DataFrame) -> DataFrame:
    """One row per day, item and surface, for each item that was shown in 28 days or is in the catalogue of the day.

    Popularity is O/E by credibility: items within categories, categories within the surface. The surface's mean item is
    fitted; the items that a ranking shows most are above it. An item in no category forms a category of its own. An
    item of several categories is a member of each, with its weight there, and gets the weighted mean of its estimates.
    """
    every = _every_item(_decayed(item_evidence_daily), items)
    w = F.col("weight")
    members = every.select("*", F.inline("categories").alias("category", "weight")).select(
        *KEYS,
        "category",
        "weight",
        *[(w * F.col(name)).alias(name) for name in FIRST_ORDER],
        *[(w * w * F.col(name)).alias(name) for name in SECOND_ORDER],
    )
    fitted = _fitted(members)
    estimated = (
        estimates(members.join(F.broadcast(fitted), ["day", "surface"]), _CATEGORY)
        .groupBy(*KEYS)
        .agg(
            _mean("group_estimate").alias("prior"),
            _mean("credibility").alias("credibility"),
            _mean("estimate").alias("popularity"),
            _mean("uncertainty").alias("posterior_variance"),
            F.max("member_variance").alias("prior_variance"),
            F.max("surface_mean").alias("surface_mean"),
            F.max(F.col("member_variance") + F.col("group_variance")).alias("surface_variance"),
        )
    )
    return every.join(estimated, list(KEYS)).select(
        *KEYS,
        "impressions",
        "first_day",
        _days_decayed().alias("days_decayed"),
        "engaged_decayed",
        "observed",
        "expected",
        "variance",
        "prior",
        "prior_variance",
        F.least("credibility", F.lit(1.0)).alias("credibility"),
        "popularity",
        "posterior_variance",
        lower_bound(F.col("popularity"), F.col("posterior_variance")).alias("lower_bound"),
        "surface_mean",
        "surface_variance",
    )


def _fitted(members: DataFrame) -> DataFrame:
    """One row per day and surface: the mean of its items and their variances, within a category and between these.

    Items are weighted by u = 1/(1 + E), so items with much evidence count alike. Weighted by the squares of their
    evidence, a ranking's few favourites would decide how much all items differ, and how good the average item is.
    """
    u = 1 / (1 + F.col("expected"))
    weighted = members.select(
        *_CATEGORY,
        # Rounded before they are squared, as their sum will be: an item alone in its category has no pairs, exactly.
        *[exact(u * F.col(name)).alias(name) for name in FIRST_ORDER],
        *[exact(u * u * F.col(name)).alias(name) for name in SECOND_ORDER],
    )
    mean = F.when(F.col("expected") > 0, ratio(F.col("observed"), F.col("expected"))).otherwise(F.lit(1.0))
    distance = (mean - 1) * (mean - 1)
    # Variances are around 1, so they contain the mean's distance from 1. It is in the variance between categories, or,
    # if no two items share a category, in the variance within them.
    comparable = F.col("group_weights") > COMPARABLE
    within = F.when(comparable, F.col("member_variance")).otherwise(F.col("member_variance") - distance)
    return variances(products(weighted, _CATEGORY), ("day", "surface")).select(
        "day",
        "surface",
        mean.alias("surface_mean"),
        mean.alias("prior"),
        F.greatest(F.col("group_variance") - distance, F.lit(0.0)).alias("group_variance"),
        F.greatest(within, F.lit(0.0)).alias("member_variance"),
    )


def _mean(name: str) -> Column:
    """Over the item's categories: its weights sum to 1."""
    return total(F.col("weight") * F.col(name)).cast("double")


def _decayed(item_evidence_daily: DataFrame) -> DataFrame:
    """The window's sums by item and surface, each day weighted by its age (sums of products: by its square)."""
    weight = F.exp(F.datediff("day", "read_day") * F.lit(-log(2) / HALF_LIFE_DAYS))
    squared = ("variance", "own_residuals", "own_expected")
    return item_evidence_daily.groupBy(*KEYS).agg(
        F.sum("impressions").alias("impressions"),
        F.min("read_day").alias("first_day"),
        total(F.col("engaged") * weight).alias("engaged_decayed"),
        *[total(F.col(name) * weight).alias(name) for name in FIRST_ORDER],
        *[total(F.col(name) * weight * weight).alias(name) for name in squared],
    )


def _days_decayed() -> Column:
    """Σ of the weights of the days from the first to this one: a geometric sum."""
    days = F.datediff("day", "first_day") + 1
    daily = -log(2) / HALF_LIFE_DAYS
    return F.coalesce((1 - F.exp(days * daily)) / (1 - F.exp(F.lit(daily))), F.lit(0.0))


def _every_item(decayed: DataFrame, items: DataFrame) -> DataFrame:
    """Items with evidence or in the catalogue, on each surface of the window, with their categories."""
    surfaces = decayed.select("day", "surface").distinct()
    known = items.select(
        "day", "item_id", F.when(F.size("categories") > 0, counted(F.col("categories"))).alias("categories")
    )
    # Each item gets a row on every surface; there are only a handful. Items with evidence stay, even if no catalogue
    # knows them.
    wanted = known.join(F.broadcast(surfaces), "day").select(*KEYS, "categories")
    alone = F.array(F.struct(F.concat(F.lit("item "), "item_id").alias("category"), F.lit(1.0).alias("weight")))
    # No impression is shared by two items: shared_residuals and shared_expected are 0.
    sums = decayed.select("*", *[F.lit(0).alias(name) for name in SUMS if name not in decayed.columns])
    return wanted.join(sums, list(KEYS), "full").select(
        *KEYS,
        "first_day",
        F.coalesce("impressions", F.lit(0)).cast("bigint").alias("impressions"),
        *[F.coalesce(name, F.lit(0)).cast("decimal(28,10)").alias(name) for name in ("engaged_decayed", *SUMS)],
        F.coalesce("categories", alone).alias("categories"),
    )
