"""serving.user_recommendations: the category-affinity recommender."""

from typing import Final

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from include.events import UNKNOWN
from include.spark.exact import ratio, total

HORIZON: Final = "long"
"""Of the affinities: what a user likes, and not what they were in the mood for yesterday."""

CATEGORIES: Final = 5
"""A user's categories that items are taken from: those of the highest affinity."""

CANDIDATES: Final = 50
"""Items of a category that are looked at: the most popular. No user meets more than 250 items."""

LENGTH: Final = 20
"""Ranks of a user, where there are as many unseen items."""

QUOTA: Final = 8
"""Ranks that a category may take: two fifths."""


def transform(
    user_category_affinity: DataFrame, item_popularity_daily: DataFrame, items: DataFrame, user_items_daily: DataFrame
) -> DataFrame:
    """One row per day, user and rank, for each user with an affinity: its score is affinity × popularity.

    An item of several categories counts in the one where its score is highest. What the user was shown or engaged with
    in the 28 days is left out; no category takes more than its quota. Equal scores are ordered by item.
    """
    scored = (
        _users(user_category_affinity, user_items_daily)
        .join(F.broadcast(_candidates(item_popularity_daily, items)), ["day", "category"])
        .withColumn("times_seen", F.array_contains("seen", F.col("item_id")).cast("int"))
        .where(F.col("times_seen") == 0)
        .withColumn("score", F.col("affinity") * F.col("popularity"))
    )
    best = F.desc("score"), "item_id", "category"
    user = Window.partitionBy("day", "user_id")
    return (
        scored.withColumn(
            "of_item", F.row_number().over(Window.partitionBy("day", "user_id", "item_id").orderBy(*best))
        )
        .where(F.col("of_item") == 1)
        .withColumn("category_rank", _place(["day", "user_id", "category"], *best))
        .where(F.col("category_rank") <= QUOTA)
        .withColumn("rank", _place(["day", "user_id"], *best))
        .where(F.col("rank") <= LENGTH)
        .withColumn("ranks", F.count("*").over(user).cast("int"))
        .select(
            "day",
            "user_id",
            "rank",
            "ranks",
            "item_id",
            "category",
            "category_rank",
            "score",
            "affinity",
            "popularity",
            "times_seen",
        )
    )


def _users(user_category_affinity: DataFrame, user_items_daily: DataFrame) -> DataFrame:
    """A user's best categories, each with what the user has seen: both are shuffled by user, and nothing after."""
    chosen = user_category_affinity.where((F.col("horizon") == HORIZON) & (F.col("rank") <= CATEGORIES))
    seen = user_items_daily.groupBy("day", "user_id").agg(F.collect_set("item_id").alias("seen"))
    return (
        chosen.select("day", "user_id", "category", "affinity")
        .join(seen, ["day", "user_id"], "left")
        .withColumn("seen", F.coalesce("seen", F.array().cast("array<string>")))
    )


def _candidates(item_popularity_daily: DataFrame, items: DataFrame) -> DataFrame:
    """The most popular items of each category, over all surfaces by where they had evidence."""
    # One engagement expected on each surface, so that an item without evidence has the mean of its priors.
    weight = F.col("expected").cast("double") + 1
    popular = (
        item_popularity_daily.groupBy("day", "item_id")
        .agg(total(F.col("popularity") * weight).alias("weighted"), total(weight).alias("weight"))
        .select("day", "item_id", ratio(F.col("weighted"), F.col("weight")).alias("popularity"))
    )
    names = F.transform("categories", lambda entry: entry["category"])
    categories = F.when(F.size("categories") > 0, names).otherwise(F.array(F.lit(UNKNOWN)))
    return (
        items.select("day", "item_id", F.explode(categories).alias("category"))
        .join(popular, ["day", "item_id"])
        .withColumn("place", _place(["day", "category"], F.desc("popularity"), "item_id"))
        .where(F.col("place") <= CANDIDATES)
        .select("day", "category", "item_id", "popularity")
    )


def _place(of: list[str], *order: Column | str) -> Column:
    return F.row_number().over(Window.partitionBy(*of).orderBy(*order))
