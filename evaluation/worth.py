"""The worth of lists in the simulated feed. Its truth is known, so no log limits the items that can be engaged with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evaluation import product, served, simulated
from evaluation.metrics import Floats
from evaluation.spark import Lake
from feedmill.timeline import DAY
from include.tables import TABLES

TOP = 10
HORIZON = "long"


@dataclass(frozen=True)
class Worth:
    """For each user, the mean true worth of a method's first items; 1 is the average user with the average item."""

    of_method: dict[str, Floats]
    listed: float
    """How many of Feedmill's first items a user has on average, of those that live."""


def worths(tables: Lake) -> Worth:
    """The product's list at the end of the simulated feed, beside other ways to rank by its tables.

    The worth of an item to a user: the user's true ratio for its categories, by its weights, times the item's own true
    ratio. What has ended is not shown: each method's first items are those that live, and were not shown to the user.
    """
    from feedmill.simulate import truth

    feed, folder = simulated.FEED, simulated.folder()
    last = feed.end - DAY.length
    tables.empty()
    tables.land(folder, feed.start, feed.end)
    served.build_recommendations(tables, feed.start, last, feed.end)
    mine = product.of_day(tables, "serving.user_recommendations", last)
    items = truth.read(folder, "item_days").to_pandas()
    items = items[items["day"] == last.date()].set_index("item_id")["ratio"]
    users = pd.Index(sorted(mine["user_id"].unique()))
    catalogue = product.of_day(tables, "catalog.items", last).set_index("item_id")["categories"]
    ratios = truth.affinity(folder, last).to_pandas().pivot(index="user_id", columns="category", values="ratio")
    shares = _shares(catalogue, items.index, ratios.columns)
    worth = ratios.reindex(users).to_numpy() @ shares.T * items.to_numpy()

    popularity = product.of_day(tables, "features.item_popularity_daily", last)
    # Over surfaces by expected engagements plus one: an item that was shown nowhere has the mean of its priors.
    weight = popularity["expected"].astype(float) + 1
    sums = (
        pd.DataFrame({"weight": weight, "rate": weight * popularity["popularity"]}).groupby(popularity["item_id"]).sum()
    )
    rate = (sums["rate"] / sums["weight"]).reindex(items.index).fillna(0).to_numpy()
    engaged = popularity.groupby("item_id")["engaged_decayed"].sum().astype(float).reindex(items.index).fillna(0)
    affinity = product.of_day(tables, "features.user_category_affinity", last)
    affinity = affinity[affinity["horizon"] == HORIZON]
    mean = affinity.groupby("user_id")["user_affinity"].first().reindex(users).to_numpy()
    own = affinity.pivot(index="user_id", columns="category", values="affinity").reindex(index=users)
    liked = own.reindex(columns=ratios.columns).to_numpy()
    liked = np.where(np.isnan(liked), mean[:, None], liked) @ shares.T
    seen = np.zeros(worth.shape, dtype=bool)
    met = tables.rows(TABLES["rollups.user_items_daily"]).select("user_id", "item_id").distinct().toPandas()
    row, column = users.get_indexer(met["user_id"]), items.index.get_indexer(met["item_id"])
    seen[row[(row >= 0) & (column >= 0)], column[(row >= 0) & (column >= 0)]] = True

    def first(scores: Floats) -> Floats:
        best = np.argsort(np.where(seen, np.inf, -scores), axis=1, kind="stable")[:, :TOP]
        return np.take_along_axis(worth, best, axis=1).mean(axis=1)

    def alike(scores: Floats) -> Floats:
        return np.broadcast_to(scores, worth.shape)

    listed = _listed(mine, users, items.index)
    # A user without an item that lives is shown nothing of worth.
    own_worth = np.where(listed >= 0, np.take_along_axis(worth, np.maximum(listed, 0), axis=1), 0).sum(axis=1)
    generator = np.random.default_rng(simulated.FEED.seed)
    return Worth(
        {
            "Feedmill": own_worth / np.maximum((listed >= 0).sum(axis=1), 1),
            "affinity × popularity (O/E)": first(liked * rate),
            "affinity × √engaged": first(liked * np.sqrt(engaged.to_numpy())),
            "popularity (O/E)": first(alike(rate)),
            "most engaged": first(alike(engaged.to_numpy())),
            "by lot": first(generator.random(worth.shape)),
            "the truth": first(worth),
        },
        float((listed >= 0).sum(axis=1).mean()),
    )


def _shares(catalogue: pd.Series, items: pd.Index, categories: pd.Index) -> Floats:
    """Items × categories: weights."""
    shares = np.zeros((len(items), len(categories)))
    for number, item in enumerate(items):
        for entry in catalogue.get(item, ()):
            shares[number, categories.get_loc(entry["category"])] = entry["weight"]
    return shares


def _listed(rows: pd.DataFrame, users: pd.Index, items: pd.Index) -> NDArray[np.int64]:
    """Users × places: the first items that live; −1 where there is none."""
    rows = rows.assign(item=items.get_indexer(rows["item_id"]), user=users.get_indexer(rows["user_id"]))
    rows = rows[rows["item"] >= 0].sort_values(["user", "rank"])
    place = rows.groupby("user").cumcount().to_numpy()
    found = np.full((len(users), TOP), -1)
    kept = place < TOP
    found[rows["user"].to_numpy()[kept], place[kept]] = rows["item"].to_numpy()[kept]
    return found
