"""serving.user_recommendations: items that a user's own items lead to, and the best of the user's categories."""

from typing import Final

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from include.events import ANY, UNKNOWN
from include.spark.categories import counted
from include.spark.exact import small_total, total
from include.spark.histories import newest

HORIZON: Final = "long"
"""Of the affinities: what a user likes, and not what they were in the mood for yesterday."""

CATEGORIES: Final = 5
"""A user's categories that items are taken from beside neighbours: those of the highest affinity."""

CANDIDATES: Final = 50
"""Items of a category that are looked at, and of all together: those with most engagements."""

HISTORY: Final = 20
"""Newest items of the user whose neighbours are looked at. Those beyond have 6 % of all weight, by the half-life, and
would more than double the candidates."""

HALF_LIFE: Final = 5
"""Items of the user: what was engaged with five items ago says half as much about the next as the last one."""

LENGTH: Final = 20
"""Ranks of a user, where there are as many unseen items."""

QUOTA: Final = 8
"""Ranks that a category may take: two fifths."""

ALL: Final = ANY
"""Stands for the category of the items that everybody is offered."""

_ITEM = ("item_id", "categories", "engaged")


def transform(
    user_category_affinity: DataFrame,
    item_popularity_daily: DataFrame,
    items: DataFrame,
    user_items_daily: DataFrame,
    item_neighbours: DataFrame,
) -> DataFrame:
    """One row per day, user and rank, for each user with an affinity.

    Candidates: neighbours of what the user engaged with, the most engaged items of their best categories, and of all.
    Score: affinity × √engaged × (1 + evidence); evidence is the sum of the lifts of the user's items to the candidate,
    each halved for every five items that are newer. docs/recommendations.md says why.

    For an item of several categories the affinity is the mean by their weights; the item counts in the category that
    adds most to it. Items that the user was shown or engaged with in the 28 days are left out. No category takes more
    than its quota. Equal scores are ordered by item.
    """
    known = _known(item_popularity_daily, items)
    # Partitioned by user here, so that it is shuffled once for both of its readers.
    met = user_items_daily.select("day", "user_id", "item_id").repartition("day", "user_id")
    users = _users(user_category_affinity, met)
    # Whether the user met what is recommended, compared by the items themselves, so that the suite can see it.
    seen_items = met.groupBy("day", "user_id").agg(F.collect_set("item_id").alias("seen_items"))
    candidates = _near(newest(user_items_daily, HISTORY), item_neighbours, known).unionByName(
        _popular(user_category_affinity, known)
    )
    scored = (
        # Before it is grouped: so that candidates are shuffled by user, once.
        candidates.repartition("day", "user_id")
        .groupBy("day", "user_id", *_ITEM)
        .agg(small_total(F.col("evidence")).alias("evidence"))
        .join(users, ["day", "user_id"])
        .where(~F.array_contains("seen", F.xxhash64("item_id")))
        .withColumn("liked", F.transform("categories", _liked))
        .withColumn("affinity", F.aggregate("liked", F.lit(0.0), lambda so_far, each: so_far - each["against"]))
        .withColumn("category", F.array_min("liked")["category"])
        .withColumn("score", F.col("affinity") * F.sqrt("engaged") * (1 + F.col("evidence")))
    )
    best = F.desc("score"), "item_id"
    return (
        scored.withColumn("category_rank", _place(["day", "user_id", "category"], *best))
        .where(F.col("category_rank") <= QUOTA)
        .withColumn("rank", _place(["day", "user_id"], *best))
        .where(F.col("rank") <= LENGTH)
        .withColumn("ranks", F.count("*").over(Window.partitionBy("day", "user_id")).cast("int"))
        .join(seen_items, ["day", "user_id"], "left")
        .withColumn(
            "times_seen", F.coalesce(F.array_contains("seen_items", F.col("item_id")), F.lit(False)).cast("int")
        )
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
            "engaged",
            "evidence",
            "times_seen",
        )
    )


def _known(item_popularity_daily: DataFrame, items: DataFrame) -> DataFrame:
    """Items of the catalogue: their categories, and the engagements of 28 days on all surfaces, weighted by age."""
    engaged = item_popularity_daily.groupBy("day", "item_id").agg(
        total(F.col("engaged_decayed")).cast("double").alias("engaged")
    )
    unknown = F.array(F.struct(F.lit(UNKNOWN).alias("category"), F.lit(1.0).alias("weight")))
    categories = F.when(F.size("categories") > 0, counted(F.col("categories"))).otherwise(unknown)
    return items.select("day", "item_id", F.sort_array(categories).alias("categories")).join(
        engaged, ["day", "item_id"]
    )


def _users(user_category_affinity: DataFrame, met: DataFrame) -> DataFrame:
    """A user's affinities, and the hashes of what the user has seen.

    Each candidate of the user carries them while it is scored, and eight bytes are cheap to carry and compare. An
    unseen item with the hash of a seen one would be left out: with a million items and a hundred seen, once in 10^11
    users.
    """
    affinities = (
        user_category_affinity.where(F.col("horizon") == HORIZON)
        .groupBy("day", "user_id")
        .agg(
            F.map_from_entries(F.collect_list(F.struct("category", "affinity"))).alias("affinities"),
            F.max("user_affinity").alias("user_affinity"),
        )
    )
    seen = met.groupBy("day", "user_id").agg(F.collect_set(F.xxhash64("item_id")).alias("seen"))
    return affinities.join(seen, ["day", "user_id"], "left").withColumn(
        "seen", F.coalesce("seen", F.array().cast("array<bigint>"))
    )


def _near(histories: DataFrame, item_neighbours: DataFrame, known: DataFrame) -> DataFrame:
    """The neighbours of what a user engaged with: at most 20 × 50."""
    # The neighbour's facts are joined here, once a neighbour and not once a user.
    neighbours = item_neighbours.select("day", F.col("item_id").alias("of"), "neighbour_id", "lift").join(
        known.withColumnRenamed("item_id", "neighbour_id"), ["day", "neighbour_id"]
    )
    weight = F.pow(F.lit(0.5), F.col("place") / HALF_LIFE)
    return (
        histories.withColumnRenamed("item_id", "of")
        .join(neighbours, ["day", "of"])
        .withColumnRenamed("neighbour_id", "item_id")
        .select("day", "user_id", *_ITEM, (weight * F.col("lift")).alias("evidence"))
    )


def _popular(user_category_affinity: DataFrame, known: DataFrame) -> DataFrame:
    """The items with most engagements, in the user's best categories and overall."""
    chosen = user_category_affinity.where((F.col("horizon") == HORIZON) & (F.col("rank") <= CATEGORIES))
    mine = chosen.select("day", "user_id", "category")
    everybody = chosen.where(F.col("rank") == 1).select("day", "user_id", F.lit(ALL).alias("category"))
    offered = (
        known.withColumn("category", F.explode(F.concat("categories.category", F.array(F.lit(ALL)))))
        .withColumn("place", _place(["day", "category"], F.desc("engaged"), "item_id"))
        .where(F.col("place") <= CANDIDATES)
        .select("day", "category", *_ITEM)
    )
    return (
        mine.unionByName(everybody)
        .join(F.broadcast(offered), ["day", "category"])
        .select("day", "user_id", *_ITEM, F.lit(0.0).alias("evidence"))
    )


def _liked(entry: Column) -> Column:
    """A category with its part of the item's affinity, negated: so the smallest is the best, and ties go by name."""
    affinity = F.coalesce(F.col("affinities")[entry["category"]], F.col("user_affinity"))
    return F.struct((-entry["weight"] * affinity).alias("against"), entry["category"].alias("category"))


def _place(of: list[str], *order: Column | str) -> Column:
    return F.row_number().over(Window.partitionBy(*of).orderBy(*order))
