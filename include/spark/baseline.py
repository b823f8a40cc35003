"""What features.engagement_baseline expects of an impression."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from include.events import ANY

DIMENSIONS = ("surface", "position_bucket", "category")


def with_rate(rows: DataFrame, engagement_baseline: DataFrame) -> DataFrame:
    """The rows (day, surface, position_bucket, category) with ``rate``: the average user's rate of engagement there.

    It is the first of these that the baseline of the day has: the rate of the cell, of its surface and bucket, of its
    surface, of all. Null if the day has no baseline: on the first day of a history.
    """
    return _with(rows, engagement_baseline, "day", "rate", DIMENSIONS)


def with_position_rate(rows: DataFrame, engagement_baseline: DataFrame, partition: str = "day") -> DataFrame:
    """The rows (day, surface, position_bucket) with ``position_rate``: the same over all categories.

    Per hour where ``partition`` says so.
    """
    return _with(rows, engagement_baseline, partition, "position_rate", DIMENSIONS[:2])


def _with(rows: DataFrame, baseline: DataFrame, partition: str, rate: str, dimensions: tuple[str, ...]) -> DataFrame:
    joined, rates = rows, []
    for known in range(len(dimensions), -1, -1):
        given, any_ = dimensions[:known], DIMENSIONS[known:]
        name = f"_rate_{known}"
        of_level = _only(baseline, given, any_).select(partition, *given, F.col(rate).alias(name))
        # Surfaces x buckets x categories: small wherever rows are many.
        joined = joined.join(F.broadcast(of_level), [partition, *given], "left")
        rates.append(F.col(name))
    return joined.select(*rows.columns, F.coalesce(*rates).alias(rate))


def _only(baseline: DataFrame, given: tuple[str, ...], any_: tuple[str, ...]) -> DataFrame:
    conditions: list[Column] = [F.col(name) != ANY for name in given] + [F.col(name) == ANY for name in any_]
    for condition in conditions:
        baseline = baseline.where(condition)
    return baseline
