"""A day of `rollups.user_category_window`: from 56 days of sums, from weeks of sums, and from yesterday's window.

The sums are generated. Users come back on 30 % of the days on average (a beta distribution: some daily, many hardly
ever). When they come, they see eight of 40 categories, by their own tastes. There is one Parquet file a day.

- *days* is the product's transform: it reads 56 days and shuffles them by user.
- *weeks* is a prototype. It reads sums of eight weeks, each aged to its own last day for both horizons, and the sums of
  the days since the last of them (here three; six at most, none at least). Once in seven days, *a week* must be made
  from its days. Weights stay exact to the day; a horizon ends with a week.
- *yesterday* is a prototype of what Feedmill cannot run: yesterday's window aged by a day, plus the day, minus the two
  days that leave a horizon. A partition of a table that reads itself depends on all partitions before it.

Nothing is written. Every row that is read is shuffled once. The run asserts that all three give the same sums where
they should: weeks with no day since, and yesterday.
"""

from __future__ import annotations

import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import measure
from benchmarks.ground import ground, processor_seconds
from benchmarks.measure import Result, Row
from feedmill import connections

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.connect.session import SparkSession

SEED = 20260501
USERS, CATEGORIES, SEEN = 30_000, 40, 16
"""``SEEN``: impressions of a user on a day."""
RETURNING = (0.6, 1.4)
"""The parameters of the beta distribution of a user's share of days; its mean is 0.3."""
LAST = date(2026, 5, 1)
DAYS, WEEK, WEEKS, SINCE = 56, 7, 8, 3
AT_SCALE = 100_000_000
"""Users for whom rows are counted up."""


def main(small: bool) -> Result:
    """All of them, interleaved."""
    from pyspark.sql import functions as F
    from pyspark.sql.connect.session import SparkSession

    from benchmarks.window_forms import from_weeks, from_yesterday, week
    from include.spark.rollups.user_category_window import transform

    users = 300 if small else USERS
    with ground() as deployment, tempfile.TemporaryDirectory(prefix="feedmill-bench-") as name:
        folder = Path(name)
        spark: SparkSession = SparkSession.builder.remote(connections.get(connections.SPARK).spark_url).create()
        generate(spark, folder, users)
        days = spark.read.parquet(str(folder / "days"))
        window = kept(transform(_of(days, LAST, DAYS)), folder / "window")
        before = kept(_as_wide(transform(_of(days, LAST - timedelta(days=1), DAYS))), folder / "before")
        whole, weeks = (_weeks(days, LAST - timedelta(days=since), folder / f"{since}") for since in (0, SINCE))
        _assert_same_sums(window, from_weeks(whole, days.limit(0), LAST))
        _assert_same_sums(window, from_yesterday(before, days, LAST))
        since = _of(days, LAST, SINCE)
        last_week = LAST - timedelta(days=SINCE)
        arms = {
            "days": lambda: _run(transform(_of(days, LAST, DAYS))),
            "weeks": lambda: _run(from_weeks(weeks, since, LAST)),
            "a week": lambda: _run(week(_of(days, last_week, WEEK), last_week)),
            "yesterday": lambda: _run(from_yesterday(before, days, LAST)),
        }
        samples = measure.interleaved(arms, small, processor_seconds(deployment))
        age = F.date_diff(F.lit(LAST), "read_day")
        facts = {
            "users": users,
            "a day": _of(days, LAST, 1).count(),
            "days": _of(days, LAST, DAYS).count(),
            "weeks": weeks.count() + since.count(),
            "a week": _of(days, last_week, WEEK).count(),
            "yesterday": before.count() + days.where(age.isin(0, 14, DAYS)).count(),
        }
        spark.stop()
    return Result("windows", samples, facts, small)


def generate(spark: SparkSession, folder: Path, users: int) -> None:
    """Daily sums with the types of rollups.user_category_daily; a week more than the window has."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyspark.sql import functions as F

    from include.spark.credibility import SUMS
    from include.spark.exact import SMALL

    draw = np.random.default_rng(SEED)
    returning = draw.beta(*RETURNING, users)
    taste = np.cumsum(draw.dirichlet(np.full(CATEGORIES, 0.2), users), axis=1)
    (folder / "drawn").mkdir()
    for age in range(DAYS + WEEK):
        active = np.flatnonzero(draw.random(users) < returning)
        picked = (draw.random((len(active), SEEN))[:, :, None] > taste[active][:, None, :]).sum(axis=2)
        met = active[:, None] * CATEGORIES + np.minimum(picked, CATEGORIES - 1)
        keys, shown = np.unique(met, return_counts=True)
        engaged, rate = draw.binomial(shown, 0.1), draw.uniform(0.05, 0.15, len(keys))
        nothing = np.zeros(len(keys))
        variance, own = shown * rate * (1 - rate), (engaged - shown * rate) ** 2
        sums = (engaged, shown * rate, variance, own, shown * rate**2, nothing, nothing)
        drawn = {"age": np.full(len(keys), age), "user": keys // CATEGORIES, "category": keys % CATEGORIES}
        drawn |= {"impressions": shown} | dict(zip(SUMS, sums, strict=True))
        pq.write_table(pa.table(drawn), folder / "drawn" / f"{age:02d}.parquet")
    kept(
        spark.read.parquet(str(folder / "drawn")).select(
            F.date_sub(F.lit(LAST), F.col("age").cast("int")).alias("read_day"),
            F.format_string("user-%08d", "user").alias("user_id"),
            F.format_string("category-%02d", "category").alias("category"),
            F.lit("DE").alias("segment"),
            *[F.col(name).cast(SMALL).alias(name) for name in ("impressions", *SUMS)],
        ),
        folder / "days",
        by="read_day",
    )


def kept(frame: DataFrame, path: Path, by: str | None = None) -> DataFrame:
    """The rows, written and to be read again."""
    frame.write.partitionBy(*([by] if by else [])).parquet(str(path))
    read: DataFrame = frame.sparkSession.read.parquet(str(path))
    return read


def _run(frame: DataFrame) -> None:
    frame.write.format("noop").mode("overwrite").save()


def _of(days: DataFrame, last: date, count: int) -> DataFrame:
    """So many days that end there, as the runner hands them to the partition of the last of them."""
    from pyspark.sql import functions as F

    within = (F.col("read_day") <= F.lit(last)) & (F.col("read_day") > F.lit(last - timedelta(days=count)))
    return days.where(within).withColumn("day", F.lit(last))


def _weeks(days: DataFrame, last: date, folder: Path) -> DataFrame:
    """Eight weeks, the last of which ends there."""
    from benchmarks.window_forms import week

    for number in range(WEEKS):
        end = last - timedelta(days=number * WEEK)
        made = kept(week(_of(days, end, WEEK), end), folder / f"{number}")
    return made.sparkSession.read.parquet(*[str(folder / f"{number}") for number in range(WEEKS)])


def _as_wide(window: DataFrame) -> DataFrame:
    """A window's rows with both horizons in one, of the day that it belongs to."""
    from pyspark.sql import functions as F

    from benchmarks.window_forms import HORIZON_NAMES
    from include.spark.exact import SMALL
    from include.spark.rollups.user_category_window import COLUMNS

    values = [
        F.coalesce(F.max(F.when(F.col("horizon") == horizon, F.col(name))), F.lit(0))
        .cast(SMALL)
        .alias(f"{horizon}_{name}")
        for horizon in HORIZON_NAMES
        for name in COLUMNS
    ]
    grouped = window.groupBy("day", "user_id", "category", "segment").agg(*values)
    return grouped.withColumnRenamed("day", "read_day")


def _assert_same_sums(one: DataFrame, other: DataFrame) -> None:
    from pyspark.sql import functions as F

    def sums(frame: DataFrame) -> list[tuple[float, ...]]:
        names = ("impressions", "observed", "expected", "variance", "own_residuals")
        found = frame.groupBy("horizon").agg(*[F.sum(name).alias(name) for name in names]).orderBy("horizon")
        return [tuple(float(row[name]) for name in names) for row in found.collect()]

    assert np.allclose(sums(one), sums(other), rtol=1e-6), f"their sums differ: {sums(one)}, {sums(other)}"


def rows(result: Result) -> list[Row]:
    """What a day reads and shuffles, and how long it takes."""
    facts, samples = result.facts, result.samples
    users = facts["users"]

    def read(form: str, rest: float = 0) -> str:
        count = facts[form] + rest
        scaled = count / users * AT_SCALE / 1e9
        return f"{count / users:,.1f} a user; of {AT_SCALE / 1e6:,.0f} million users {scaled:.1f} billion"

    samples = samples | {
        f"weeks{cpu}, with making": [
            weeks + making / WEEK for weeks, making in zip(samples[f"weeks{cpu}"], samples[f"a week{cpu}"], strict=True)
        ]
        for cpu in ("", ": CPU")
    }

    def taken(form: str, rest: str = "") -> str:
        return f"{measure.shown(samples[form + rest])}; CPU {measure.shown(samples[f'{form}: CPU{rest}'])}"

    def ratio(form: str, rest: str = "") -> str:
        wall, cpu = (measure.ratios(samples[f"days{of}"], samples[form + of + rest]) for of in ("", ": CPU"))
        return f"{measure.shown(wall, '')}; CPU {measure.shown(cpu, '')}"

    return [
        Row(f"{users:,} users, rows of a day", f"{facts['a day'] / users:,.1f} a user"),
        Row("rows read and shuffled for a day's window, days", read("days")),
        Row("rows, weeks with a seventh of making a week", read("weeks", facts["a week"] / WEEK)),
        Row("rows, yesterday", read("yesterday")),
        Row("a day's window from days", taken("days")),
        Row("from weeks with a seventh of making a week", taken("weeks", ", with making")),
        Row("from yesterday", taken("yesterday")),
        Row("days ÷ weeks", ratio("weeks", ", with making")),
        Row("days ÷ yesterday", ratio("yesterday")),
    ]


if __name__ == "__main__":
    measure.command("windows", main, rows)
