"""events.landed: the well-formed rows of the registered event files, as they came."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def transform(event_records: DataFrame) -> DataFrame:
    """One row per well-formed row of a file; duplicates stay, since files are accounted for row by row."""
    return event_records.where(F.col("reason").isNull()).select(
        "arrival_hour",
        F.date_trunc("hour", "event_time").alias("event_hour"),
        "event_id",
        "event_time",
        "event_types",
        "user_id",
        "item_id",
        "request_id",
        "position",
        "surface",
        "model_id",
        "experiment_id",
        "variant",
        "device_class",
        "country",
        "source",
        "duration_ms",
        "revenue_micros",
        "source_file",
        "line",
        "received_at",
    )
