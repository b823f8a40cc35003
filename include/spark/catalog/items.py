"""catalog.items: what is known of each item at the end of a day."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from include.spark.sources.rules import settled


def transform(item_records: DataFrame) -> DataFrame:
    """One row per item and day: its newest record, with category weights that sum to 1."""
    newest = Window.partitionBy("day", "item_id").orderBy(
        F.desc("arrival_hour"), F.desc("received_at"), F.desc("source_file"), F.desc("line")
    )
    kept = (
        item_records.where(F.col("reason").isNull())
        .withColumn("place", F.row_number().over(newest))
        .where(F.col("place") == 1)
    )
    return _normalised(_merged(kept)).select(
        "day",
        "item_id",
        "categories",
        "author_id",
        "duration_ms",
        "published_at",
        "source",
        F.size("categories").alias("category_count"),
        F.when(F.size("categories") > 0, _total(F.col("categories"))).alias("weight_sum"),
        "arrival_hour",
    )


def _merged(items: DataFrame) -> DataFrame:
    """The items with each category once, sorted by name and weight, so that every sum of weights adds up in one order.

    Each step is settled. In one expression, Spark would make a list anew for each of its elements: an item with 800
    categories took minutes.
    """
    given = F.coalesce("categories", F.array().cast("array<struct<category:string,weight:double>>"))
    ordered = settled(items.withColumn("categories", F.array_sort(given)))
    with_starts = settled(ordered.withColumn("starts", _starts(F.col("categories"))))
    return settled(with_starts.withColumn("categories", F.transform("starts", _one)))


def _starts(ordered: Column) -> Column:
    """The places in a sorted list of categories where another name begins."""
    places = F.sequence(F.lit(0), F.size(ordered) - 1)
    begins = F.filter(places, lambda place: (place == 0) | (_name(ordered, place) != _name(ordered, place - 1)))
    return F.when(F.size(ordered) > 0, begins).otherwise(F.array().cast("array<int>"))


def _name(categories: Column, place: Column) -> Column:
    return F.get(categories, place)["category"]


def _one(start: Column, number: Column) -> Column:
    """The category that begins at ``start``, the number of which says where the next one does."""
    categories = F.col("categories")
    end = F.coalesce(F.get("starts", number + 1), F.size(categories))
    weight = _total(F.slice(categories, start + 1, end - start))
    return F.struct(_name(categories, start).alias("category"), weight.alias("weight"))


def _normalised(items: DataFrame) -> DataFrame:
    totalled = settled(items.withColumn("total", _total(F.col("categories"))))
    share = F.transform(
        "categories",
        lambda entry: F.struct(entry["category"].alias("category"), (entry["weight"] / F.col("total")).alias("weight")),
    )
    return settled(totalled.withColumn("categories", share))


def _total(categories: Column) -> Column:
    return F.aggregate(categories, F.lit(0.0), lambda total, entry: total + entry["weight"])
