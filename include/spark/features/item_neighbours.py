"""features.item_neighbours: the items that the same users engage with more often than popularity explains."""

from typing import Final

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from include.spark.exact import ratio
from include.spark.histories import newest

NEIGHBOURS: Final = 50
"""Kept of an item: those that say most about what its users engage with next."""

HISTORY: Final = 50
"""Newest items of a user of which pairs are made: 1,225 at most, however much the user engages with."""

_PAIR = ("item_id", "other_id", "users", "other_users")


def transform(user_items_daily: DataFrame) -> DataFrame:
    """One row per day, item and neighbour, for items that a user of the 28 days engaged with beside the item.

    n_i users have the item (histories are cut to their newest items), O users have both items, and popularity alone
    expects E = λ n_i n_j (λ such that ΣE = ΣO over all pairs of items). Credibility shrinks O/E towards 1. The variance
    of true O/E comes from products of different users: chance has no part in O² - O of a pair.
    """
    histories = newest(user_items_daily, HISTORY)
    items = histories.groupBy("day", "item_id").agg(F.count("*").alias("users"))
    together = _together(histories.join(items, ["day", "item_id"]))
    pair = F.col("users") * F.col("other_users")
    expected = F.col("per_pair") * pair.cast("double")
    # Chance gives O the variance E.
    credibility = ratio(F.col("lift_variance") * expected, F.col("lift_variance") * expected + 1)
    believed = (
        together.join(F.broadcast(_spread(items, together)), "day")
        .withColumn("expected", expected)
        .withColumn("credibility", credibility)
        .withColumn("lift", 1 + F.col("credibility") * (ratio(F.col("together"), F.col("expected")) - 1))
    )
    item = Window.partitionBy("day", "item_id")
    # What the neighbour adds to a score, as serving.user_recommendations weighs it.
    strongest = (F.desc(F.col("lift") * F.sqrt(F.col("neighbour_users").cast("double"))), "neighbour_id")
    return (
        believed.select("*", F.inline(_both_ways()).alias("of", "neighbour_id", "of_users", "neighbour_users"))
        .withColumns({"item_id": F.col("of"), "users": F.col("of_users")})
        .withColumn("rank", F.row_number().over(item.orderBy(*strongest)))
        .where(F.col("rank") <= NEIGHBOURS)
        .withColumn("ranks", F.count("*").over(item).cast("int"))
        .select(
            "day",
            "item_id",
            "rank",
            "ranks",
            "neighbour_id",
            "users",
            "neighbour_users",
            "together",
            "expected",
            "lift_variance",
            "credibility",
            "lift",
        )
    )


def _together(counted: DataFrame) -> DataFrame:
    """One row per pair of items with a user of both, the lesser name first: a user's pairs are made of one array."""
    found = F.sort_array(F.collect_list(F.struct("item_id", "users")))
    users = counted.groupBy("day", "user_id").agg(found.alias("found")).where(F.size("found") > 1)
    each = users.select("day", "found", F.posexplode("found").alias("place", "item"))
    later = F.slice("found", F.col("place") + 2, F.size("found"))
    pairs = each.select("day", "item", F.explode(later).alias("other"))
    return (
        pairs.select(
            "day",
            F.col("item.item_id").alias("item_id"),
            F.col("other.item_id").alias("other_id"),
            F.col("item.users").alias("users"),
            F.col("other.users").alias("other_users"),
        )
        .groupBy("day", *_PAIR)
        .agg(F.count("*").alias("together"))
    )


def _spread(items: DataFrame, together: DataFrame) -> DataFrame:
    """Of each day, λ (``per_pair``) and the fitted variance of the true O/E between pairs, not below 0.

    Sums of whole numbers; those over all pairs of items, also without a user of both, are made from items alone.
    """
    n = F.col("users").cast("decimal(38,0)")
    sums = items.groupBy("day").agg(
        _double(F.sum(n)).alias("n1"), _double(F.sum(n * n)).alias("n2"), _double(F.sum(n * n * n * n)).alias("n4")
    )
    both = F.col("together").cast("decimal(38,0)")
    pairs = together.groupBy("day").agg(
        _double(F.sum(both)).alias("observed"),
        _double(F.sum(both * both - both)).alias("squares"),
        _double(F.sum(both * F.col("users") * F.col("other_users"))).alias("products"),
    )
    per_pair = ratio(2 * F.col("observed"), F.col("n1") * F.col("n1") - F.col("n2"))
    # Σ E² over all pairs; Σ (O - E)² without chance is Σ (O² - O) - 2 Σ O E + Σ E².
    expected = F.col("per_pair") * F.col("per_pair") * (F.col("n2") * F.col("n2") - F.col("n4")) / 2
    spread = F.col("squares") - 2 * F.col("per_pair") * F.col("products") + F.col("expected_squares")
    return (
        pairs.join(F.broadcast(sums), "day")
        .withColumn("per_pair", per_pair)
        .withColumn("expected_squares", expected)
        .select(
            "day",
            "per_pair",
            F.greatest(ratio(spread, F.col("expected_squares")), F.lit(0.0)).alias("lift_variance"),
        )
    )


def _both_ways() -> Column:
    """A pair as two rows: each item is the other's neighbour."""
    forth, back = ("item_id", "other_id", "users", "other_users"), ("other_id", "item_id", "other_users", "users")
    names = ("of", "neighbour_id", "of_users", "neighbour_users")
    return F.array(
        *[
            F.struct(*[F.col(column).alias(name) for column, name in zip(order, names, strict=True)])
            for order in (forth, back)
        ]
    )


def _double(value: Column) -> Column:
    return value.cast("double")
