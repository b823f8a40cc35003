"""The product's own transforms on impressions: their expected rates and affinities, read back as pandas."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from evaluation import simulated
from evaluation.baselines import Known
from evaluation.data import NO_CATEGORY, Impressions
from evaluation.metrics import Floats
from evaluation.spark import Lake
from feedmill.simulate.settings import Settings
from feedmill.timeline import DAY
from include.tables import TABLES

START = datetime(2026, 5, 1, tzinfo=UTC)
"""Day 0 of every data set. Their own dates have no meaning here."""

ANY = "*"
HORIZON = "long"


AFFINITY = (
    "rollups.position_engagement_daily",
    "features.engagement_baseline",
    "rollups.user_category_daily",
    "rollups.user_category_window",
    "features.affinity_variances",
    "features.user_category_affinity",
)
"""The affinity's tables, inputs before readers."""


def build_affinities(tables: Lake, start: datetime, end: datetime) -> None:
    """Build all days of the affinity's inputs. For the window and its readers, build the last day before ``end``."""
    last = end - DAY.length
    for name in AFFINITY[:3]:
        tables.build(TABLES[name], start, end)
    # The day that is predicted has an expectation too: it needs the days before it only.
    tables.build(TABLES["features.engagement_baseline"], end, end + DAY.length)
    for name in AFFINITY[3:]:
        tables.build(TABLES[name], last, end)


class Affinities:
    """features.user_category_affinity and features.engagement_baseline, as of the end of the training days."""

    def __init__(self, tables: Lake, train: Impressions, horizon: str = HORIZON) -> None:
        """Build the tables for the days 0 to the last of ``train``. The day after that is predicted."""
        end = START + timedelta(days=int(train.rows["day"].max()) + 1)
        self.horizon = horizon
        tables.empty()
        land(tables, train)
        build_affinities(tables, START, end)
        self.baseline = of_day(tables, "features.engagement_baseline", end)
        self.variances = of_day(tables, "features.affinity_variances", end - DAY.length)
        self.affinity = of_day(tables, "features.user_category_affinity", end - DAY.length)

    def expected(self, impressions: Impressions) -> Floats:
        """The baseline's rate of each row of ``impressions.shares``, of the nearest cell that it has.

        Positions are unknown in the data sets that are read.
        """
        shares = impressions.shares.join(impressions.rows["surface"], on="row")
        rates = self.baseline.set_index(["surface", "position_bucket", "category"])["rate"]
        result = np.full(len(shares), np.nan)
        cells = (
            (shares["surface"], "unknown", shares["category"]),
            (shares["surface"], "unknown", ANY),
            (shares["surface"], ANY, ANY),
            (ANY, ANY, ANY),
        )
        for surface, bucket, category in cells:
            keys = pd.DataFrame(
                {"surface": surface, "position_bucket": bucket, "category": category}, index=shares.index
            )
            found = rates.reindex(pd.MultiIndex.from_frame(keys)).to_numpy()
            result = np.where(np.isnan(result), found, result)
        return result

    def predict(self, test: Known) -> Floats:
        """Expected rate × affinity of each impression."""
        shares = test.shares
        rows = self.affinity[self.affinity["horizon"] == self.horizon]
        own = rows.set_index(["user_id", "category"])["affinity"]
        of_user = rows.drop_duplicates("user_id").set_index("user_id")["user_affinity"]
        found = own.reindex(pd.MultiIndex.from_frame(shares[["user", "category"]])).to_numpy()
        means = of_user.reindex(shares["user"]).fillna(float(self.fit["mean_affinity"])).to_numpy()
        return test.summed(shares["expected"].to_numpy() * np.where(np.isnan(found), means, found))

    @property
    def fit(self) -> pd.Series:
        """The row of features.affinity_variances for all users."""
        return _of_all(self.variances, self.horizon)


class SimulatedAffinities:
    """The affinities of the simulated feed at its end, the sums behind them, and the truth."""

    def __init__(self, tables: Lake) -> None:
        """Build them."""
        from feedmill.simulate import truth

        feed, folder = simulated.FEED, simulated.folder()
        last = feed.end - DAY.length
        tables.empty()
        tables.land(folder, feed.start, feed.end)
        build_affinities(tables, feed.start, feed.end)
        self.affinity = of_day(tables, "features.user_category_affinity", last)
        self.variances = of_day(tables, "features.affinity_variances", last)
        sums = tables.rows(TABLES["rollups.user_category_daily"]).groupBy("user_id", "category")
        names = ("impressions", "engaged", "observed", "expected")
        self.evidence = sums.agg(dict.fromkeys(names, "sum")).toPandas()
        self.evidence = self.evidence.rename(columns={f"sum({name})": name for name in names})
        self.truth = truth.affinity(folder, last).to_pandas()

    def ratios(self, grid: pd.MultiIndex, horizon: str) -> Floats:
        """The affinity of each user and category of ``grid``."""
        rows = self.affinity[self.affinity["horizon"] == horizon]
        own = rows.set_index(["user_id", "category"])["affinity"].reindex(grid).to_numpy()
        of_user = rows.drop_duplicates("user_id").set_index("user_id")["user_affinity"]
        unknown = float(_of_all(self.variances, horizon)["mean_affinity"])
        means = of_user.reindex(grid.get_level_values(0)).fillna(unknown).to_numpy()
        return np.where(np.isnan(own), means, own)


def _of_all(variances: pd.DataFrame, horizon: str) -> pd.Series:
    return variances[(variances["segment"] == ANY) & (variances["horizon"] == horizon)].iloc[0]


def simulated_impressions(tables: Lake, feed: Settings) -> Known:
    """The impressions of a simulated feed in their categories, with the rates that the product's baseline expects.

    The impressions of the first day have no rates and are left out. Days are numbered from the feed's first.
    """
    from pyspark.sql import functions as F

    from include.spark.baseline import with_rate
    from include.spark.impressions import impressions, with_categories

    tables.empty()
    tables.land(simulated.folder(feed), feed.start, feed.end)
    for name in AFFINITY[:2]:
        tables.build(TABLES[name], feed.start, feed.end)
    clean = tables.rows(TABLES["events.clean"]).where(F.col("user_id").isNotNull()).withColumn("day", F.to_date("hour"))
    shown = impressions(clean).where(F.col("shown") == 1)
    rows = with_rate(
        with_categories(shown, tables.rows(TABLES["catalog.items"])),
        tables.rows(TABLES["features.engagement_baseline"]),
    )
    found = (
        rows.where(F.col("rate").isNotNull())
        .select(
            F.concat_ws("/", "event_id", "item_id").alias("row"),
            F.col("user_id").alias("user"),
            "surface",
            F.date_diff("day", F.lit(feed.start.date())).alias("day"),
            "category",
            "weight",
            "engaged",
            F.col("rate").alias("expected"),
        )
        .toPandas()
    )
    numbers, names = pd.factorize(found["row"])
    return Known(found.assign(row=numbers), len(names))


def land(tables: Lake, impressions: Impressions) -> None:
    """Write events.clean and catalog.items, as if the sources had been read."""
    rows = impressions.rows
    moment = START + pd.to_timedelta(rows["day"], unit="D") + pd.to_timedelta(rows["time_ms"] % 86_400_000, unit="ms")
    events = pd.DataFrame(
        {
            "hour": moment.dt.floor("h"),
            "event_id": [f"e{number}" for number in range(len(rows))],
            "event_time": moment,
            "event_types": [["impression", "click"] if yes else ["impression"] for yes in rows["engaged"]],
            "user_id": rows["user"],
            "item_id": rows["item"],
            "surface": rows["surface"],
            "model_id": "unknown",
            "variant": "unknown",
            "device_class": "unknown",
            "country": "unknown",
            "source": "evaluation",
            "arrival_hour": moment.dt.floor("h"),
            "is_late": False,
        }
    )
    shares = impressions.shares.join(rows["item"], on="row")
    shares = shares[shares["category"] != NO_CATEGORY].drop_duplicates(["item", "category"])
    categories = shares.groupby("item")[["category", "weight"]].apply(lambda part: part.to_dict("records"))
    items = pd.DataFrame({"item_id": sorted(rows["item"].unique())})
    items["categories"] = items["item_id"].map(categories)
    items["categories"] = [found if isinstance(found, list) else [] for found in items["categories"]]
    days = pd.date_range(START, periods=int(rows["day"].max()) + 1, freq="D").date
    _write(tables, "events.clean", events)
    _write(tables, "catalog.items", items.merge(pd.DataFrame({"day": days}), how="cross"))


def _write(tables: Lake, name: str, frame: pd.DataFrame) -> None:
    with tempfile.TemporaryDirectory(prefix="feedmill-evaluation-") as folder:
        path = Path(folder) / "rows.parquet"
        frame.to_parquet(path, index=False, coerce_timestamps="us", allow_truncated_timestamps=True)
        tables.write(TABLES[name], tables.spark.read.parquet(str(path)))


def of_day(tables: Lake, name: str, day: datetime) -> pd.DataFrame:
    from pyspark.sql import functions as F

    return tables.rows(TABLES[name]).where(F.col("day") == F.lit(day.date())).toPandas()
