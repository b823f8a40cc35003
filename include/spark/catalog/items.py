"""catalog.items: what is known of each item at the end of a day."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F


def transform(item_records: DataFrame) -> DataFrame:
    """One row per item and day: its newest record, with category weights that sum to 1."""
    newest = Window.partitionBy("day", "item_id").orderBy(
        F.desc("arrival_hour"), F.desc("received_at"), F.desc("source_file"), F.desc("line")
    )
    return (
        item_records.where(F.col("reason").isNull())
        .withColumn("place", F.row_number().over(newest))
        .where(F.col("place") == 1)
        .withColumn("categories", _normalised(_merged(F.col("categories"))))
        .select(
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
    )


def _merged(categories: Column) -> Column:
    """Each category once, sorted by name, so that every sum of weights adds up in one order."""
    given = F.coalesce(categories, F.array().cast("array<struct<category:string,weight:double>>"))
    names = F.array_sort(F.array_distinct(F.transform(given, lambda entry: entry["category"])))
    return F.transform(
        names,
        lambda name: F.struct(
            name.alias("category"),
            _total(F.filter(given, lambda entry: entry["category"] == name)).alias("weight"),
        ),
    )


def _normalised(categories: Column) -> Column:
    return F.transform(
        categories,
        lambda entry: F.struct(
            entry["category"].alias("category"), (entry["weight"] / _total(categories)).alias("weight")
        ),
    )


def _total(categories: Column) -> Column:
    return F.aggregate(categories, F.lit(0.0), lambda total, entry: total + entry["weight"])
