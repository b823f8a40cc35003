"""docs/evaluation/popularity.md: how popularity agrees with the simulator's truth, and how position affects it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from evaluation import simulated
from evaluation.metrics import Floats, Interval, Resamples
from evaluation.product import of_day
from evaluation.report import COLOURS, Page, axes
from evaluation.spark import Lake, lake
from evaluation.truth import log_slopes, spearman
from feedmill.simulate import truth as simulator
from feedmill.simulate.settings import Settings
from feedmill.timeline import DAY
from include.events import POSITION_BUCKETS, UNKNOWN
from include.spark.features.item_popularity_daily import HALF_LIFE_DAYS
from include.spark.impressions import BUCKETS
from include.tables import TABLES

FEED = Settings(datetime(2026, 1, 5, tzinfo=UTC), days=28, users=4000, events_per_day=20_000, items=12_000, seed=31)
"""It has so many items that most get few impressions. Its seed was used for nothing else."""

RANDOM = "random-1"
"""The simulator's model that shows every live item alike, on any slot."""

SURFACES = ("home", "related")

GROUPS: Mapping[str, tuple[int, float]] = {"1–10": (1, 10), "11–100": (11, 100), "over 100": (101, np.inf)}
"""By impressions in the window."""

FEW = 20
"""A group with this many items or fewer is not ranked."""

STRENGTHS = (2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
"""Impressions of the average item that a smoothed CTR adds."""

POPULARITY, BOUND = "Feedmill: popularity", "Feedmill: lower bound"
CTR, WILSON, SMOOTHED = "raw CTR", "Wilson's lower bound", "smoothed CTR"

RESAMPLES, SEED = 1000, 20260501

_BUILT = (
    "rollups.position_engagement_daily",
    "features.engagement_baseline",
    "rollups.item_evidence_hourly",
    "rollups.item_evidence_daily",
)


@dataclass(frozen=True)
class Log:
    """A log's items that live at the end, with their estimates and their truth; and its places."""

    items: pd.DataFrame
    """surface, item_id, impressions, engaged (in the window), popularity, lower_bound, observed, expected, ratio (true,
    of the last day); and over the item's impressions, plain and with the weights of their age, its mean examination
    and true ratio."""
    places: pd.DataFrame
    """surface, place (from 1): impressions, true (mean examination), plain and fitted rates, mean true ratio."""


def run() -> None:
    """Measure and write the page."""
    print("popularity on the simulator …", flush=True)
    folder = simulated.folder(FEED)
    with lake() as tables:
        logged = measured(tables, folder, None)
        explored = measured(tables, folder, RANDOM)
    page = Page("popularity", "Popularity: which items are good")
    page.text(
        f"A simulated feed of {FEED.days} days, {FEED.events_per_day:,} impressions a day and {FEED.items:,} items "
        f"(seed {FEED.seed}; docs/simulator.md). The truth is each item's `ratio` of the last day, how much likelier "
        "the average user is to engage with it than with the mean live item, in the same slot. Popularity is that of "
        "features.item_popularity_daily of that day, made by the product's transforms in Spark; all methods see the "
        f"same {FEED.days} days. "
        "We judge items that live at the end and were shown. Intervals: "
        f"bootstrap of items, "
        f"{RESAMPLES} resamples; differences are paired.",
        "The simulator's popular policy, nine tenths of the log, knows the true quality: it shows better items more "
        "often and higher. "
        "So a rate inflated by good slots agrees with the truth better than its evidence alone could. So "
        "does a bound that grows with the number of impressions. In the tenth that the random policy "
        "serves, slots and impressions say nothing about the item. The second log is that tenth alone.",
    )
    agreement(page, "The whole log", logged, SURFACES)
    agreement(page, "The random policy's tenth", explored, SURFACES[:1])
    positions(page, logged, explored)
    print(page.write())


def measured(tables: Lake, folder: Path, model: str | None) -> Log:
    """Build the tables from the log, or from what one model served of it, and read what is needed."""
    from pyspark.sql import functions as F

    last = FEED.end - DAY.length
    tables.empty()
    tables.land(folder, FEED.start, FEED.end, None if model is None else F.col("model_id") == model)
    for name in _BUILT:
        tables.build(TABLES[name], FEED.start, FEED.end)
    tables.build(TABLES["features.item_popularity_daily"], last, FEED.end)
    evidence = tables.rows(TABLES["rollups.item_evidence_daily"]).groupBy("surface", "item_id")
    counts = evidence.agg(F.sum("impressions").alias("impressions"), F.sum("engaged").alias("engaged")).toPandas()
    columns = ["surface", "item_id", "popularity", "lower_bound", "observed", "expected"]
    estimates = of_day(tables, "features.item_popularity_daily", last)[columns]
    true = simulator.read(folder, "item_days").to_pandas()
    alive = true[true["day"] == last.date()][["item_id", "ratio"]]
    slots = shown(tables, folder, true)
    items = counts.merge(estimates, on=["surface", "item_id"]).merge(alive, on="item_id")
    items = items.merge(by_item(slots), on=["surface", "item_id"])
    baseline = of_day(tables, "features.engagement_baseline", last)
    return Log(items[items["impressions"] > 0].reset_index(drop=True), by_place(slots, baseline))


def shown(tables: Lake, folder: Path, true: pd.DataFrame) -> pd.DataFrame:
    """Impressions by day, surface, item and position, with the slot's examination and the item's true ratio."""
    from pyspark.sql import functions as F

    clean = tables.rows(TABLES["events.clean"]).where(F.array_contains("event_types", "impression"))
    place = clean.groupBy(F.to_date("hour").alias("day"), "surface", "item_id", "position")
    counts = place.agg(F.count("*").alias("impressions")).toPandas()
    slots = simulator.read(folder, "positions").to_pandas()[["surface", "position", "examination"]]
    return counts.merge(slots, on=["surface", "position"]).merge(
        true[["day", "item_id", "ratio"]], on=["day", "item_id"]
    )


def by_item(slots: pd.DataFrame) -> pd.DataFrame:
    """Mean examination and true ratio over an item's impressions: as they are, and by the weights of popularity."""
    last = (FEED.end - DAY.length).date()
    age = (pd.Timestamp(last) - pd.to_datetime(slots["day"])).dt.days
    parts = []
    for name, weight in (
        ("", slots["impressions"]),
        ("_decayed", slots["impressions"] * 0.5 ** (age / HALF_LIFE_DAYS)),
    ):
        sums = pd.DataFrame(
            {
                "surface": slots["surface"],
                "item_id": slots["item_id"],
                "weight": weight,
                f"examination{name}": weight * slots["examination"],
                f"true{name}": weight * slots["ratio"],
            }
        )
        sums = sums.groupby(["surface", "item_id"]).sum()
        parts.append(sums.div(sums["weight"], axis=0).drop(columns="weight"))
    return pd.concat(parts, axis=1).reset_index()


def by_place(slots: pd.DataFrame, baseline: pd.DataFrame) -> pd.DataFrame:
    """Each place of a list: its true examination, and the rates that counting and that fitting finds."""
    reached = [slots["position"] <= last for _, last in POSITION_BUCKETS]
    bucket = np.select(reached, [name for name, _ in POSITION_BUCKETS], BUCKETS[-1])
    sums = slots.assign(
        position_bucket=bucket,
        examination=slots["examination"] * slots["impressions"],
        ratio=slots["ratio"] * slots["impressions"],
    )
    places = sums.groupby(["surface", "position_bucket"])[["impressions", "examination", "ratio"]].sum().reset_index()
    places["examination"] /= places["impressions"]
    places["ratio"] /= places["impressions"]
    rows = baseline[(baseline["category"] == "*") & ~baseline["position_bucket"].isin(["*", UNKNOWN])]
    rows = rows[["surface", "position_bucket", "rate", "position_rate"]]
    places = places.merge(rows, on=["surface", "position_bucket"])
    places["place"] = places["position_bucket"].map(BUCKETS.index)
    return places.sort_values(["surface", "place"]).reset_index(drop=True)


def agreement(page: Page, title: str, log: Log, surfaces: tuple[str, ...]) -> None:
    """Rank correlations with the truth, and their differences."""
    page.head(title)
    for surface in surfaces:
        items = log.items[log.items["surface"] == surface].reset_index(drop=True)
        methods, strength = estimates(items)
        shown = items["impressions"].to_numpy()
        groups = {label: (shown >= low) & (shown <= high) for label, (low, high) in GROUPS.items()}
        groups = {label: rows for label, rows in groups.items() if rows.sum() > FEW} | {"all": shown > 0}
        values = {label: correlations(methods, items["ratio"].to_numpy(), rows) for label, rows in groups.items()}
        columns = [f"{label} ({int(rows.sum()):,})" for label, rows in groups.items()]
        page.text(
            f"**Surface {surface}: Spearman's rank correlation with the truth**, by impressions in {FEED.days} days "
            f"(items in brackets). The smoothed CTR adds {strength:g} impressions of the average item, chosen in "
            "hindsight, in its favour.",
        )
        page.table(
            ["method", *columns],
            [[name, *(Interval.of(values[label][name]).text(3) for label in groups)] for name in methods],
        )
        page.text("Differences; above 0, Feedmill is better:")
        rows = []
        for own, others in ((POPULARITY, (CTR, SMOOTHED, WILSON)), (BOUND, (CTR, WILSON))):
            for other in others:
                cells = [
                    Interval.of(values[label][own] - values[label][other]).text(3, signed=True) for label in groups
                ]
                rows.append([f"{own.removeprefix('Feedmill: ')} − {other}", *cells])
        page.table(["difference", *columns], rows)


def estimates(items: pd.DataFrame) -> tuple[dict[str, Floats], float]:
    """Every method's estimate of each item, and what the smoothed CTR adds."""
    shown = items["impressions"].to_numpy(dtype=float)
    engaged = np.minimum(items["engaged"].to_numpy(dtype=float), shown)
    average = engaged.sum() / shown.sum()
    once = Resamples(np.ones((1, len(items))))
    number, truth = np.arange(len(items)), items["ratio"].to_numpy()
    smoothed = {k: (engaged + k * average) / (shown + k) for k in STRENGTHS}
    best = max(STRENGTHS, key=lambda k: float(spearman(smoothed[k], truth, number, len(items), once)[0]))
    return {
        POPULARITY: items["popularity"].to_numpy(),
        BOUND: items["lower_bound"].to_numpy(),
        CTR: engaged / shown,
        SMOOTHED: smoothed[best],
        WILSON: wilson(engaged, shown),
    }, best


def wilson(engaged: Floats, shown: Floats, z: float = 1.959964) -> Floats:
    """The lower end of Wilson's 95 % interval of a rate (Wilson 1927), by which lists are often sorted."""
    rate = engaged / shown
    centre = rate + z * z / (2 * shown)
    half = z * np.sqrt(rate * (1 - rate) / shown + z * z / (4 * shown * shown))
    return np.maximum(centre - half, 0) / (1 + z * z / shown)


def correlations(methods: Mapping[str, Floats], truth: Floats, rows: np.ndarray) -> dict[str, Floats]:
    """The correlation of each method, on the same resamples of the items that ``rows`` marks."""
    count = int(rows.sum())
    resamples = Resamples.draw(count, RESAMPLES, SEED)
    number = np.arange(count)
    return {name: spearman(values[rows], truth[rows], number, count, resamples) for name, values in methods.items()}


def positions(page: Page, logged: Log, explored: Log) -> None:
    """A place's rate beside its examination, and how far an item's rate follows its slots."""
    page.head("Position")
    page.text(
        "How likely users are to look at a slot, relative to the first slot. The table compares three "
        "values: the simulator's examination; the rate of engagement there (`rate` of "
        "features.engagement_baseline), which is higher if better items stand there; and the rate that "
        "popularity is measured against (`position_rate`), which compares places by the items that stood "
        "in both.",
    )
    rows = []
    for surface in SURFACES:
        places = logged.places[logged.places["surface"] == surface]
        first = places.iloc[0]
        for place in places.itertuples():
            rows.append(
                [
                    surface,
                    place.position_bucket,
                    f"{place.ratio:.2f}",
                    f"{place.examination / first.examination:.3f}",
                    f"{place.rate / first.rate:.3f}",
                    f"{place.position_rate / first.position_rate:.3f}",
                ]
            )
    page.table(["surface", "slots", "mean true ratio there", "examination", "rate", "position_rate"], rows)

    drawn = axes()
    places = logged.places[logged.places["surface"] == SURFACES[0]]
    for colour, (column, label) in zip(
        COLOURS,
        (("examination", "true examination"), ("rate", "rate of engagement"), ("position_rate", "position_rate")),
        strict=False,
    ):
        values = (places[column] / places[column].iloc[0]).to_list()
        drawn.plot(places["position_bucket"].to_list(), values, color=colour, marker="o", markersize=4, label=label)
    drawn.set_yscale("log")
    drawn.set_xlabel("slots of home")
    drawn.set_ylabel("relative to the first")
    drawn.legend(frameon=False)
    page.plot("places", drawn, "How much less is engaged with further down, relative to the first slot of home.")

    page.text(
        "How an item's rate follows the slots in which it happened to be shown: the exponent c of "
        "rate ~ truth^b · examination^c over items, where truth and examination are the means over the item's "
        "impressions. 0 is unbiased; 1 credits the item with all of its slots. O/E is what popularity shrinks; items "
        "weigh by E, and by impressions in the raw CTR.",
    )
    table = []
    for title, log, surfaces in (("whole", logged, SURFACES), ("random", explored, SURFACES[:1])):
        for surface in surfaces:
            items = log.items[(log.items["surface"] == surface) & (log.items["expected"] > 0)].reset_index(drop=True)
            resamples = Resamples.draw(len(items), RESAMPLES, SEED)
            cells = []
            for above, below, suffix in (("observed", "expected", "_decayed"), ("engaged", "impressions", "")):
                weight = items[below].to_numpy(dtype=float)
                _, slope = log_slopes(
                    items[above].to_numpy(dtype=float) / weight,
                    items[f"true{suffix}"].to_numpy(),
                    items[f"examination{suffix}"].to_numpy(),
                    weight,
                    resamples,
                )
                cells.append(Interval.of(slope).text(2, signed=True))
            table.append([title, surface, *cells])
    page.table(["log", "surface", "O/E", "raw CTR"], table)
