"""docs/evaluation/trending.md: how soon, and how surely, features.item_trending finds the simulator's trends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from evaluation import simulated
from evaluation.alarms import Bools, Trend, Truth, hours_to_alarm, precision_at, threshold
from evaluation.detectors import variants
from evaluation.metrics import Floats, Interval, Ints, Resamples, ratio_of_sums
from evaluation.report import COLOURS, Page, axes
from evaluation.spark import Lake, lake
from feedmill.simulate import truth as simulator
from feedmill.simulate.settings import Settings
from feedmill.timeline import DAY
from include.spark.features.item_trending import HOURS, OBSERVED, SCORE
from include.tables import TABLES

FEED = Settings(datetime(2026, 1, 5, tzinfo=UTC), days=35, users=5000, events_per_day=60_000, items=500, seed=23)
"""Few items with much traffic, because nobody could see a trend of an item that is clicked once an hour. Its seed was
used for nothing else."""

FIRST_DAY = 7
"""The first judged day: every method has a week to look back to."""

RATES = (1, 5)
"""False alarms a day: item-hours above the threshold that no trend explains, all surfaces together."""

LONGEST = 12
"""Hours of the longest trend. An undetected trend counts as found after this long."""

RESAMPLES, SEED = 1000, 20260501

FEEDMILL = "Feedmill"
EVERY = ", every item"
"""Marks a method that judges newcomers too; otherwise it leaves out items of less than a day."""


@dataclass(frozen=True)
class Scene:
    """The events by series (an item on a surface) and hour."""

    series: pd.MultiIndex
    counts: Floats
    """Engagements."""
    first: Ints
    """The first hour with an impression or engagement."""
    judged: Bools
    """Whether the item was shown or engaged with in the last hours, on the judged days. These are the table's rows."""
    truth: Truth
    newcomer: Bools
    """In the first 24 hours after the item was published."""
    strength: pd.DataFrame
    """engagement_factor and exposure_factor of each trend of ``truth``."""

    @property
    def days(self) -> int:
        """Days that are judged."""
        return self.counts.shape[1] // 24 - FIRST_DAY

    @property
    def quiet(self) -> Bools:
        """The judged hours in which nothing trends."""
        return self.judged & self.truth.quiet


@dataclass(frozen=True)
class Method:
    """A method's scores on the judged days, and its full name."""

    scores: Floats
    variant: str


def run() -> None:
    """Measure and write the page."""
    print("trending on the simulator …", flush=True)
    folder = simulated.folder(FEED)
    with lake() as tables:
        build(tables, folder)
        evidence = tables.rows(TABLES["rollups.item_evidence_hourly"])
        hours = evidence.select("hour", "item_id", "surface", "impressions", "engaged").toPandas()
        columns = ("hour", "item_id", "surface", "score", "observed", "is_trending")
        trending = tables.rows(TABLES["features.item_trending"]).select(*columns).toPandas()
    seen = scene(hours, folder)
    score = on_grid(trending, trending["score"], seen, np.nan)
    own = Method(np.where(seen.judged, score, np.nan), "features.item_trending, `score`, of every item")
    methods = {FEEDMILL: own, **rivals(seen, every_item=False)}
    everyone = {FEEDMILL: own, **rivals(seen, every_item=True)}
    page = Page("trending", "Trending: finding what jumps")
    _introduction(page, seen)
    _detection(page, seen, methods, everyone)
    _precision(page, seen, methods)
    _false_alarms(page, seen, methods, everyone)
    _rule(page, seen, on_grid(trending, trending["is_trending"].astype(float), seen, 0.0) > 0)
    print(page.write())


def build(tables: Lake, folder: Path) -> None:
    """The product's tables, up to trending of the days that are judged."""
    start, end = FEED.start, FEED.end
    tables.land(folder, start, end)
    for name in (
        "rollups.position_engagement_daily",
        "features.engagement_baseline",
        "rollups.item_evidence_hourly",
        "rollups.item_evidence_daily",
        "rollups.surface_evidence_hourly",
        "features.item_popularity_daily",
    ):
        tables.build(TABLES[name], start, end)
    judged = start + FIRST_DAY * DAY.length
    tables.build(TABLES["features.item_popularity_hourly"], judged - timedelta(hours=HOURS), end)
    tables.build(TABLES["features.item_trending"], judged, end)


def scene(hours: pd.DataFrame, folder: Path) -> Scene:
    """From the hours' counts and the simulator's truth."""
    series = pd.MultiIndex.from_frame(
        hours[["item_id", "surface"]].drop_duplicates().sort_values(["item_id", "surface"])
    )
    shape = (len(series), FEED.hours)
    at = (series.get_indexer(pd.MultiIndex.from_frame(hours[["item_id", "surface"]])), _hour(hours["hour"]))
    counts, alive = np.zeros(shape), np.zeros(shape)
    counts[at] = hours["engaged"]
    alive[at] = hours["impressions"] + hours["engaged"]
    recent = np.stack([np.pad(alive, ((0, 0), (ago, 0)))[:, : shape[1]] for ago in range(HOURS)]).sum(axis=0) > 0
    recent[:, : FIRST_DAY * 24] = False

    injected = simulator.read(folder, "trends").to_pandas()
    injected["series"] = series.get_indexer(pd.MultiIndex.from_frame(injected[["item_id", "surface"]]))
    injected["first"], injected["last"] = _hour(injected["start"]), _hour(injected["end"])
    every = [Trend(*map(int, row)) for row in injected[["series", "first", "last"]].to_numpy() if row[0] >= 0]
    beside = [
        Trend(int(other), row.first, row.last)
        for row in injected.itertuples()
        for other in np.flatnonzero(series.get_level_values("item_id") == row.item_id)
    ]
    truth = Truth.of(every, beside, shape, HOURS)
    counted = injected[(injected["first"] >= FIRST_DAY * 24) & (injected["series"] >= 0)].reset_index(drop=True)
    trends = [Trend(*map(int, row)) for row in counted[["series", "first", "last"]].to_numpy()]

    items = simulator.read(folder, "items").to_pandas().set_index("item_id")
    published = _hour(items["published_at"].reindex(series.get_level_values("item_id")))
    age = np.arange(shape[1])[None, :] - published[:, None]
    return Scene(
        series=series,
        counts=counts,
        first=np.argmax(alive > 0, axis=1),
        judged=recent,
        truth=replace(truth, trends=trends),
        newcomer=(age < 24) & (published >= 0)[:, None],
        strength=counted[["engagement_factor", "exposure_factor"]],
    )


def on_grid(rows: pd.DataFrame, values: pd.Series, seen: Scene, otherwise: float) -> Floats:
    """Values of rows (hour, item_id, surface), by series and hour."""
    grid = np.full(seen.counts.shape, otherwise)
    grid[seen.series.get_indexer(pd.MultiIndex.from_frame(rows[["item_id", "surface"]])), _hour(rows["hour"])] = values
    return grid


def rivals(seen: Scene, every_item: bool) -> dict[str, Method]:
    """For each method, the variant that finds the trends soonest at the first of the rates; this favours the method."""
    best: dict[str, tuple[float, Method]] = {}
    for method, variant, scores in variants(seen.counts, seen.first, every_item):
        judged = np.where(seen.judged, scores, np.nan)
        hours = hours_to_alarm(judged, _level(seen, judged, RATES[0]), seen.truth.trends, LONGEST)[1].mean()
        if method not in best or hours < best[method][0]:
            best[method] = (hours, Method(judged, variant))
    return {f"{name}{EVERY if every_item else ''}": method for name, (_, method) in best.items()}


def _level(seen: Scene, scores: Floats, a_day: float) -> float:
    return threshold(scores, seen.quiet, int(a_day * seen.days))


def _introduction(page: Page, seen: Scene) -> None:
    trends = len(seen.truth.trends)
    page.text(
        f"A simulated feed of {FEED.days} days, {FEED.events_per_day:,} impressions a day and {FEED.items} items (seed "
        f"{FEED.seed}; docs/simulator.md), with two trends a day from the fourth day on: engagement with an item on a "
        "surface × 1.5, 2, 3 or 5 for 3 to 12 hours, and for six in ten of them four times the impressions. We judge "
        f"the days from the eighth on: {trends} trends, and {int(seen.quiet.sum()):,} item-hours in which nothing "
        f"trends, nor did in the {HOURS} hours before (an item that is shown more on one surface is so on the others "
        "too, where it counts as neither). Feedmill's scores are made by the product's transforms in Spark.",
        f"Every method judges the engagements of the same {HOURS} hours, each hour anew. Its threshold is the one that "
        "gives it the stated number of false alarms a day, item-hours above it in which nothing trends, on the same "
        f"hours. A trend is found if the item is above the threshold in an hour while it runs; the score of an hour is "
        f"there when it ends, so one hour is the least. Intervals: bootstrap of trends or days, {RESAMPLES} resamples; "
        "differences are paired.",
    )


def _detection(page: Page, seen: Scene, of_a_day: Mapping[str, Method], everyone: Mapping[str, Method]) -> None:
    methods = {**of_a_day, **everyone}
    resamples = Resamples.draw(len(seen.truth.trends), RESAMPLES, SEED)
    one = np.ones(len(seen.truth.trends))
    exposed = seen.strength["exposure_factor"].to_numpy() > 1
    page.head("Hours to detection")
    page.text(
        "For each compared method the table shows the variant that finds the trends soonest. It is chosen "
        "in hindsight, in the method's favour, among its pasts (a day, 7, 28, the same hours of 7 days) "
        "and the engagements that are added to both sides of a ratio. The compared methods know too little "
        "about items of less than a day. They leave these items out and find none of their trends; "
        f"*{EVERY.removeprefix(', ')}* has them too.",
    )
    page.table(["method", "compares with"], [[name, method.variant] for name, method in methods.items()])
    for rate in RATES:
        found, hours = {}, {}
        for name, method in methods.items():
            level = _level(seen, method.scores, rate)
            found[name], hours[name] = hours_to_alarm(method.scores, level, seen.truth.trends, LONGEST)

        def share(values: Floats, of: Floats = one) -> Floats:
            return ratio_of_sums(values * of, of, resamples)

        page.text(
            f"**At {rate} false alarm{'s' if rate > 1 else ''} a day.** Hours: {LONGEST} where a trend is not found. "
            f"Differences: the method minus {FEEDMILL}; above 0, {FEEDMILL} is sooner."
        )
        page.table(
            ["method", "found", "of those shown more", "of the others", "median hours", "mean hours", "difference"],
            [
                [
                    name,
                    Interval.of(share(found[name].astype(float))).text(2),
                    Interval.of(share(found[name].astype(float), exposed.astype(float))).text(2),
                    Interval.of(share(found[name].astype(float), (~exposed).astype(float))).text(2),
                    f"{np.median(np.where(found[name], hours[name], np.inf)):g}".replace("inf", "not found"),
                    Interval.of(share(hours[name])).text(2),
                    "" if name == FEEDMILL else Interval.of(share(hours[name] - hours[FEEDMILL])).text(2, signed=True),
                ]
                for name in methods
            ],
        )
        if rate == RATES[0]:
            factors = seen.strength["engagement_factor"].to_numpy()
            levels = sorted(set(factors))
            page.text("The same by how much engagement rises (trends in brackets):")
            page.table(
                ["found", *(f"× {factor:g} ({int((factors == factor).sum())})" for factor in levels)],
                [[name, *(f"{found[name][factors == factor].mean():.2f}" for factor in levels)] for name in methods],
            )
            _plot_found(page, of_a_day, hours, found, rate)


def _plot_found(
    page: Page, methods: Mapping[str, Method], hours: Mapping[str, Floats], found: Mapping[str, Bools], rate: float
) -> None:
    drawn = axes()
    at = np.arange(LONGEST + 1)
    for colour, name in zip(COLOURS, methods, strict=False):
        share = [float((found[name] & (hours[name] <= hour)).mean()) for hour in at]
        drawn.step(at, share, where="post", color=colour, label=name)
    drawn.set_xlabel("hours since the trend began")
    drawn.set_ylabel("share of trends found")
    drawn.set_ylim(0, 1)
    drawn.legend(frameon=False)
    page.plot("found", drawn, f"Share of the trends that are found within so many hours, at {rate} false alarm a day.")


def _precision(page: Page, seen: Scene, methods: Mapping[str, Method]) -> None:
    spans = [slice(day * 24, day * 24 + 24) for day in range(FIRST_DAY, FEED.days)]
    running = seen.truth.active.any(axis=0)
    running[: FIRST_DAY * 24] = False
    settled = seen.quiet | (seen.truth.active & seen.judged)
    resamples = Resamples.draw(len(spans), RESAMPLES, SEED)
    values: dict[str, dict[str, Floats]] = {}
    for name, method in methods.items():
        scores = np.where(settled, method.scores, np.nan)
        values[name] = {}
        for k in (5, 10):
            daily = np.array([precision_at(scores[:, span], seen.truth.active[:, span], k) for span in spans])
            values[name][f"{k} a day"] = ratio_of_sums(daily, np.ones(len(spans)), resamples)
        hourly = np.array(
            [
                precision_at(scores[:, [hour]], seen.truth.active[:, [hour]], 1) if running[hour] else 0.0
                for hour in range(len(running))
            ]
        )
        sums = (np.array([part[span].sum() for span in spans]) for part in (hourly, running.astype(float)))
        values[name]["1 an hour"] = ratio_of_sums(*sums, resamples)
    columns = list(values[FEEDMILL])
    page.head("Precision at k")
    page.text(
        "The share of true trends among the highest scores: among the 5 and 10 highest item-hours of each day, and of "
        "the first item of each hour in which a trend runs. The hours in which a trend has just ended are left out.",
    )
    page.table(
        ["method", *columns],
        [[name, *(Interval.of(of[column]).text(2) for column in columns)] for name, of in values.items()],
    )
    page.text(f"The method minus {FEEDMILL}; below 0, {FEEDMILL} is better:")
    page.table(
        ["method", *columns],
        [
            [name, *(Interval.of(of[column] - values[FEEDMILL][column]).text(2, signed=True) for column in columns)]
            for name, of in values.items()
            if name != FEEDMILL
        ],
    )


def _false_alarms(page: Page, seen: Scene, of_a_day: Mapping[str, Method], everyone: Mapping[str, Method]) -> None:
    methods = {**of_a_day, **everyone}
    rate = RATES[-1]
    hour_of_day = np.arange(seen.counts.shape[1]) % 24
    items = len(seen.series)
    by_series = Resamples.draw(items, RESAMPLES, SEED)
    by_day = Resamples.draw(seen.days, RESAMPLES, SEED)
    traffic = np.array([seen.counts[:, hour_of_day == hour].sum() for hour in range(24)])
    busy = np.isin(hour_of_day, np.argsort(traffic)[-8:])
    alarms = {
        name: (method.scores >= _level(seen, method.scores, rate)) & seen.quiet for name, method in methods.items()
    }

    def rates(of: Bools, where: Bools) -> Floats:
        """False alarms per 1,000 item-hours of ``where``, resampled by series."""
        return 1000 * ratio_of_sums((of & where).sum(axis=1) * 1.0, (seen.quiet & where).sum(axis=1) * 1.0, by_series)

    def daily(values: Bools) -> Floats:
        return values.sum(axis=0)[FIRST_DAY * 24 :].reshape(seen.days, 24).sum(axis=1).astype(float)

    page.head("False alarms: newcomers and the rhythm of the day")
    page.text(
        f"At {rate} false alarms a day, so that there are enough to count. Newcomers are items in the 24 hours after "
        f"they were published: {int((seen.quiet & seen.newcomer).sum()):,} of the item-hours. False alarms per 1,000 "
        "item-hours; intervals by series.",
    )
    page.table(
        ["method", "newcomers", "others"],
        [
            [name, Interval.of(rates(of, seen.newcomer)).text(2), Interval.of(rates(of, ~seen.newcomer)).text(2)]
            for name, of in alarms.items()
            if name in everyone
        ],
    )
    on_busy = np.broadcast_to(busy, seen.quiet.shape)
    expected = traffic[np.argsort(traffic)[-8:]].sum() / traffic.sum()
    page.text(
        f"The share of false alarms that fall in the eight busiest hours of the day, {expected:.0%} of the engagements "
        "and a third of the hours. "
        "If more happens, chance alone leads further from the mean, and so does a rhythm that a method "
        "does not know. "
        "Intervals by day.",
    )
    page.table(
        ["method", "in the eight busiest hours"],
        [
            [name, Interval.of(ratio_of_sums(daily(of & on_busy), daily(of), by_day)).text(2)]
            for name, of in alarms.items()
            if name in of_a_day
        ],
    )
    drawn = axes()
    for colour, (name, of) in zip(COLOURS, alarms.items(), strict=False):
        if name not in of_a_day:
            continue
        each = [
            1000 * of[:, hour_of_day == hour].sum() / seen.quiet[:, hour_of_day == hour].sum() for hour in range(24)
        ]
        drawn.plot(range(24), each, color=colour, marker="o", markersize=3, linewidth=1.2, label=name)
    drawn.plot(
        range(24),
        traffic / traffic.mean() * 1000 * rate * seen.days / seen.quiet.sum(),
        color="grey",
        linestyle="--",
        linewidth=1,
        label="engagements, scaled",
    )
    drawn.set_xlabel("hour of the day (UTC)")
    drawn.set_ylabel("false alarms per 1,000 item-hours")
    drawn.legend(frameon=False)
    page.plot("rhythm", drawn, f"False alarms by hour of the day, at {rate} a day.")


def _rule(page: Page, seen: Scene, flagged: Bools) -> None:
    alarms = flagged & seen.quiet
    found, hours = hours_to_alarm(flagged.astype(float), 0.5, seen.truth.trends, LONGEST)
    resamples = Resamples.draw(len(found), RESAMPLES, SEED)
    one = np.ones(len(found))
    page.head("The rule `is_trending`")
    page.text(
        f"With the threshold that the table has, a score of {SCORE:g} and {OBSERVED} engagements: "
        f"{alarms.sum() / seen.days:.2f} false alarms a day, {int((alarms & seen.newcomer).sum())} of all "
        f"{int(alarms.sum())} by newcomers. It finds "
        f"{Interval.of(ratio_of_sums(found.astype(float), one, resamples)).text(2)} of the trends, "
        f"in {np.median(hours[found]) if found.any() else np.nan:g} hours in the median.",
    )


def _hour(moments: pd.Series) -> Ints:
    """Hours since the feed's start, rounded down."""
    stamps = pd.to_datetime(moments, utc=True)
    return np.floor((stamps - pd.Timestamp(FEED.start)) / pd.Timedelta(hours=1)).to_numpy().astype(np.int64)
