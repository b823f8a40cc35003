"""rollups.position_engagement_daily: how often users engaged with items of a category, by where they were shown."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from include.events import UNKNOWN
from include.spark.exact import ratio, total
from include.spark.impressions import BUCKETS, impressions, with_categories

COUNTS = ("impressions", "engaged", "engaged_paired", "engaged_paired_below")

_NAMES = (*BUCKETS, UNKNOWN)
_ITEM = ("day", "item_id", "surface")


def transform(clean: DataFrame, items: DataFrame) -> DataFrame:
    """One row per day, surface, position bucket and category; an item's impression is split by its categories.

    If an item was shown n times in a bucket and n' times in the one below, it compares the two without its own appeal:
    y n'/(n + n') and y' n/(n + n') have expectations whose ratio is that of the two places (Mantel & Haenszel 1959).
    Engagements divided by impressions cannot compare them, because better items stand higher.

    If neither the impression nor the slot of an engagement is known, it is spread over the slots in which its item was
    shown that day on the surface, by impressions. Without it, these slots would be expected to yield less than they do.
    """
    counts = {
        "shown": F.col("shown"),
        "engaged": F.col("engaged"),
        "shown_engaged": F.col("shown") * F.col("engaged"),
    }
    # An item's buckets side by side in one row, so that neighbours meet without another shuffle.
    wide = (
        impressions(clean)
        .groupBy(*_ITEM)
        .agg(
            *[
                F.sum(F.when(F.col("position_bucket") == bucket, count).otherwise(F.lit(0))).alias(f"{name}_{number}")
                for number, bucket in enumerate(_NAMES)
                for name, count in counts.items()
            ],
            F.sum("shown").alias("all_shown"),
            F.sum(
                F.when((F.col("position_bucket") == UNKNOWN) & (F.col("shown") == 0), F.col("engaged")).otherwise(0)
            ).alias("unplaced"),
        )
    )
    buckets = wide.select(*_ITEM, F.inline(F.array(*[_bucket(number) for number in range(len(_NAMES))])))
    return (
        with_categories(buckets.where((F.col("impressions") > 0) | (F.col("engaged") > 0)), items)
        .groupBy("day", "surface", "position_bucket", "category")
        .agg(*[total(F.col(name) * F.col("weight")).alias(name) for name in COUNTS])
        .select("day", "surface", "position_bucket", "category", *COUNTS)
    )


def _bucket(number: int) -> Column:
    """One bucket of an item's row. The last has none below it, and "unknown" no neighbours."""
    shown = F.col(f"shown_{number}")
    engaged = F.col(f"engaged_{number}") + F.col("unplaced") * ratio(shown, F.col("all_shown"))
    if _NAMES[number] == UNKNOWN:
        engaged = engaged - F.when(F.col("all_shown") > 0, F.col("unplaced")).otherwise(0)
    paired = paired_below = F.lit(0.0)
    if number + 1 < len(BUCKETS):
        shown_below = F.col(f"shown_{number + 1}")
        paired = ratio(F.col(f"shown_engaged_{number}") * shown_below, shown + shown_below)
        paired_below = ratio(F.col(f"shown_engaged_{number + 1}") * shown, shown + shown_below)
    return F.struct(
        F.lit(_NAMES[number]).alias("position_bucket"),
        shown.alias("impressions"),
        engaged.alias("engaged"),
        paired.alias("engaged_paired"),
        paired_below.alias("engaged_paired_below"),
    )
