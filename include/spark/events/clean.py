"""events.clean: each event once, in the hour in which it happened."""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from include.events import UNKNOWN


def transform(landed: DataFrame) -> DataFrame:
    """One row per event id within its hour: the record that arrived first.

    First by its arrival hour, which Feedmill gives a file once, and within that by the file's time, its path and its
    line. A file's time alone is the storage's word: a copy that keeps the times of an older file would displace
    records that were published before it came (docs/decisions/0010-first-by-arrival-hour.md).

    Only the record's arrival hour is kept, not its file and line. If an older duplicate turned up later, its file and
    line would change rows that say the same, and make every reader stale.
    """
    first_arrival = Window.partitionBy("hour", "event_id").orderBy("arrival_hour", "received_at", "source_file", "line")
    return (
        landed.withColumn("place", F.row_number().over(first_arrival))
        .where(F.col("place") == 1)
        .select(
            "hour",
            "event_id",
            "event_time",
            "event_types",
            "user_id",
            "item_id",
            "request_id",
            "position",
            _known("surface"),
            _known("model_id"),
            "experiment_id",
            _known("variant"),
            _known("device_class"),
            _known("country"),
            "source",
            "duration_ms",
            "revenue_micros",
            "arrival_hour",
            (F.col("arrival_hour") > F.col("hour")).alias("is_late"),
        )
    )


def _known(name: str) -> Column:
    return F.coalesce(F.col(name), F.lit(UNKNOWN)).alias(name)
