"""features.engagement_baseline: how often the average user engages with what is shown there."""

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from include.events import ANY
from include.spark.baseline import DIMENSIONS
from include.spark.exact import exact, ratio, total
from include.spark.impressions import BUCKETS

PAIRED = 20.0
"""Engagements of items that were shown in both at which two neighbouring buckets are half compared by them, and half
by their rates, which better items raise."""

COUNTS = ("impressions", "engaged", "engaged_paired", "engaged_paired_below")

ALL, SURFACE, BUCKET, CELL = range(4)
"""The levels, each the parent of the next."""


def transform(position_engagement_daily: DataFrame) -> DataFrame:
    """One row per day, surface, position bucket and category, and per parent of such a cell, with "*" in its place.

    A cell's rate is smoothed towards its parent's (surface and bucket, then surface, then all), by how much the cells
    of its level are found to differ from their parents: Bühlmann-Straub credibility, see docs/affinity.md.

    ``position_rate`` compares the buckets of a surface by the items that were shown in both of two neighbours, and adds
    up to the surface's engagements: docs/popularity.md.
    """
    counted = _levels(position_engagement_daily)
    raw = counted.withColumn("raw", F.least(ratio(F.col("engaged"), F.col("impressions")), F.lit(1.0)))
    return (
        raw.withColumn("credibility", _credibility())
        .withColumn("rate_0", F.when(F.col("level") == ALL, F.col("raw")))
        .withColumn("rate_1", _smoothed(SURFACE, "rate_0", []))
        .withColumn("rate_2", _smoothed(BUCKET, "rate_1", ["surface"]))
        .withColumn("rate_3", _smoothed(CELL, "rate_2", ["surface", "position_bucket"]))
        .withColumn("rate", F.coalesce("rate_3", "rate_2", "rate_1", "rate_0"))
        .withColumn("place", _place())
        .withColumn("log_step", _log_step())
        .withColumn("fall", F.exp(F.sum("log_step").over(_from_the_top())))
        .withColumn("bucket_rate", _bucket_rate())
        .withColumn(
            "position_rate",
            F.when(F.col("level") >= BUCKET, _of(BUCKET, "bucket_rate", ["surface", "position_bucket"])).otherwise(
                F.col("rate")
            ),
        )
        .select("day", *DIMENSIONS, "impressions", "engaged", "rate", "position_rate")
    )


def _levels(position_engagement_daily: DataFrame) -> DataFrame:
    """The cells and their parents, with the sums of their days; no row if nothing was shown on any of these days."""
    cells = position_engagement_daily.groupBy("day", *DIMENSIONS).agg(
        *[total(F.col(name)).alias(name) for name in COUNTS]
    )
    # A day's cells are few: in one task, none of the steps that follow shuffles them again.
    each = cells.repartition("day").select("*", F.explode(F.sequence(F.lit(ALL), F.lit(CELL))).alias("level"))
    names = [
        F.when(F.col("level") >= level, F.col(name)).otherwise(F.lit(ANY)).alias(name)
        for level, name in enumerate(DIMENSIONS, start=SURFACE)
    ]
    return (
        each.select("day", "level", *names, *COUNTS)
        .groupBy("day", "level", *DIMENSIONS)
        .agg(*[total(F.col(name)).alias(name) for name in COUNTS])
        .withColumn("shown", F.max("impressions").over(Window.partitionBy("day")))
        .where(F.col("shown") > 0)
        .drop("shown")
    )


def _credibility() -> Column:
    """How much of its own rate a cell keeps; the rest is its parent's. 0 if cells do not differ from their parents."""
    parent = (
        F.when(F.col("level") == SURFACE, _of(ALL, "raw", []))
        .when(F.col("level") == BUCKET, _of(SURFACE, "raw", ["surface"]))
        .when(F.col("level") == CELL, _of(BUCKET, "raw", ["surface", "position_bucket"]))
        .otherwise(F.lit(0.0))
    )
    shown = F.col("impressions").cast("double")
    residual = F.col("engaged").cast("double") - shown * parent
    noise = shown * parent * (1 - parent)
    level = Window.partitionBy("day", "level")
    # Only pairs of two different impressions of a cell count: a single impression says nothing about variance.
    pairs = F.greatest(shown * (shown - 1), F.lit(0.0)) * parent * parent
    variance = F.greatest(
        ratio(F.sum(exact(residual * residual - noise)).over(level), F.sum(exact(pairs)).over(level)), F.lit(0.0)
    )
    signal = variance * shown * shown * parent * parent
    return ratio(signal, signal + noise)


def _smoothed(level: int, parent_rate: str, parent: list[str]) -> Column:
    own = F.col("credibility") * F.col("raw") + (1 - F.col("credibility")) * _of(level - 1, parent_rate, parent)
    return F.when(F.col("level") == level, own)


def _place() -> Column:
    """Where a bucket's row stands in its list, from 1 at the top; 0 for "unknown", null in rows of other levels."""
    return F.when(
        F.col("level") == BUCKET,
        F.array_position(F.array(*[F.lit(name) for name in BUCKETS]), F.col("position_bucket")),
    )


def _places() -> WindowSpec:
    return Window.partitionBy("day", "surface", F.col("place") > 0)


def _from_the_top() -> WindowSpec:
    return _places().orderBy("place").rowsBetween(Window.unboundedPreceding, Window.currentRow)


def _log_step() -> Column:
    """The logarithm of a place's rate relative to that of the next place above it that the surface has."""
    by_place = _places().orderBy("place")
    # A comparison with a place that the surface lacks in these days says nothing about the place after it.
    adjacent = F.col("place") - F.lag("place").over(by_place) == 1
    paired, paired_below = (
        F.when(adjacent, F.lag(name).over(by_place).cast("double")).otherwise(F.lit(0.0))
        for name in ("engaged_paired", "engaged_paired_below")
    )
    by_rates = ratio(F.col("rate_2"), F.lag("rate_2").over(by_place))
    step = (paired_below + PAIRED * by_rates) / (paired + PAIRED)
    return F.when(step > 0, F.log(step)).otherwise(F.lit(0.0))


def _bucket_rate() -> Column:
    """The rate at a place for the items of the whole list; over the list these rates add up to its engagements.

    A bucket that is no place has its own rate. What it has of engagements beyond its impressions was somewhere in the
    list.
    """
    beyond = F.greatest(F.col("engaged") - F.col("impressions"), F.lit(0))
    engaged = (
        F.sum(F.when(F.col("place") > 0, F.col("engaged")).when(F.col("place") == 0, beyond))
        .over(Window.partitionBy("day", "surface"))
        .cast("double")
    )
    fallen = F.sum(exact(F.col("impressions") * F.col("fall"))).over(_places()).cast("double")
    return F.when((F.col("place") > 0) & (fallen > 0), F.least(F.col("fall") * engaged / fallen, F.lit(1.0))).otherwise(
        F.col("rate_2")
    )


def _of(level: int, value: str, parent: list[str]) -> Column:
    """The value of the row of that level that stands above, among the rows of its day."""
    above = Window.partitionBy("day", *parent)
    return F.max(F.when(F.col("level") == level, F.col(value))).over(above)
