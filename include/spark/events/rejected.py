"""events.rejected: what could not be read, and why."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from include.spark.sources.rules import beginning


def transform(event_records: DataFrame, item_records: DataFrame) -> DataFrame:
    """One row per malformed row of an event or item file, or per file that could not be read at all."""
    return _malformed(event_records, "events").unionByName(_malformed(item_records, "items"))


def _malformed(records: DataFrame, kind: str) -> DataFrame:
    return records.where(F.col("reason").isNotNull()).select(
        "arrival_hour",
        F.lit(kind).alias("kind"),
        "source_file",
        "line",
        "received_at",
        "reason",
        beginning("raw").alias("raw"),
    )
