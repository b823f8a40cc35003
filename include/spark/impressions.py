"""Impressions, the unit in which engagement is counted: an item that was shown, and whether the user engaged."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from include.events import ENGAGED, LAST_BUCKET, POSITION_BUCKETS, SEGMENT, UNKNOWN
from include.spark.categories import counted

CLEAN = ("event_id", "event_time", "event_types", "user_id", "item_id", "request_id", "position", "surface")
"""The columns of events.clean that are read, beside :data:`include.events.SEGMENT`."""

BUCKETS = (*[name for name, _ in POSITION_BUCKETS], LAST_BUCKET)
"""The position buckets from the top of a list down; "unknown" has no place among them."""


def impressions(clean: DataFrame, partition: str = "day") -> DataFrame:
    """One row per day and shown item: day, user_id, item_id, surface, position_bucket, event_time, event_id, last_time,
    last_id, segment, shown, engaged (both 0 or 1). Per hour where ``partition`` says so; "day" stands for it below.

    A wide log reports an impression and its clicks in one record. If clicks are separate records, the records of one
    user, request and item are one impression. It is engaged if any of them is. ``last_time``, ``last_id`` and
    ``segment`` come from its last record, all other columns from its first record that reports the impression. A record
    without a request stands alone.

    If a click's impression is not of the same day (it was before midnight, or is lost), the click has shown 0 and
    engaged 1. The rates of :mod:`include.spark.features.engagement_baseline` divide engaged by shown, so over all users
    such clicks are expected in sum too.

    It shuffles nothing if the rows are partitioned by user_id already, otherwise once.
    """
    shown = F.array_contains("event_types", "impression")
    engaged = F.arrays_overlap("event_types", F.array(*[F.lit(name) for name in ENGAGED]))
    first = F.struct((~F.col("shown")).alias("without"), "event_time", "event_id")
    said = F.struct("surface", "position_bucket", "event_time", "event_id")
    last = F.struct(F.col("event_time").alias("last_time"), F.col("event_id").alias("last_id"), "segment")
    return (
        clean.select(
            partition,
            *CLEAN,
            F.coalesce(SEGMENT, F.lit(UNKNOWN)).alias("segment"),
            shown.alias("shown"),
            engaged.alias("engaged"),
        )
        .where(F.col("shown") | F.col("engaged"))
        .withColumn("alone", F.when(F.col("request_id").isNull(), F.struct("event_time", "event_id")))
        .withColumn("position_bucket", position_bucket(F.col("position")))
        .groupBy(partition, "user_id", "item_id", "request_id", "alone")
        .agg(
            F.min_by(said, first).alias("said"),
            F.max(last).alias("last"),
            F.max(F.col("shown").cast("int")).alias("shown"),
            F.max(F.col("engaged").cast("int")).alias("engaged"),
        )
        .select(partition, "user_id", "item_id", "said.*", "last.*", "shown", "engaged")
    )


def with_categories(rows: DataFrame, items: DataFrame) -> DataFrame:
    """Each row once for each category of its item, with ``category`` and ``weight``; weights of a row sum to 1.

    An item without a category, and one that the catalogue of the day does not know, has the category "unknown". Of too
    many categories the heaviest count.
    """
    known = items.where(F.size("categories") > 0).select(
        "day", "item_id", counted(F.col("categories")).alias("categories")
    )
    unknown = F.array(F.struct(F.lit(UNKNOWN).alias("category"), F.lit(1.0).alias("weight")))
    return rows.join(known, ["day", "item_id"], "left").select(
        *rows.columns, F.inline(F.coalesce("categories", unknown)).alias("category", "weight")
    )


def position_bucket(position: Column) -> Column:
    """The bucket of a position; "unknown" if the log does not say it."""
    bucket = F.when(position.isNull(), UNKNOWN)
    for name, last in POSITION_BUCKETS:
        bucket = bucket.when(position <= last, name)
    return bucket.otherwise(LAST_BUCKET)
