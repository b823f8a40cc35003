"""The item-to-item signal in SciPy, written independently of `include/spark/features/item_neighbours.py`: each checks
the other. Here its constants are also compared on validation splits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from evaluation.metrics import Floats
from include.spark.features.item_neighbours import HISTORY as PAIRED
from include.spark.features.item_neighbours import NEIGHBOURS
from include.spark.serving.user_recommendations import HALF_LIFE, HISTORY


@dataclass(frozen=True)
class Constants:
    """Constants of the product that an evaluation may vary."""

    paired: int = PAIRED
    """How many of a user's newest items form pairs."""
    history: int = HISTORY
    """How many of a user's newest items lead to candidates."""
    kept: int = NEIGHBOURS
    half_life: float = HALF_LIFE
    power: float = 0.5
    """The exponent of an item's engagements in its score."""


PRODUCT = Constants()

VARIANTS = {
    "the product's": PRODUCT,
    "no neighbours": replace(PRODUCT, kept=0),
    "20 neighbours": replace(PRODUCT, kept=20),
    "100 neighbours": replace(PRODUCT, kept=100),
    "pairs of the newest 20 items": replace(PRODUCT, paired=20),
    "pairs of the newest 100 items": replace(PRODUCT, paired=100),
    "neighbours of the newest 10 items": replace(PRODUCT, history=10),
    "neighbours of the newest 50 items": replace(PRODUCT, history=50),
    "half-life 2 items": replace(PRODUCT, half_life=2),
    "half-life 10 items": replace(PRODUCT, half_life=10),
    "no half-life": replace(PRODUCT, half_life=np.inf),
    "engagements to the power of 1/4": replace(PRODUCT, power=0.25),
    "engagements to the power of 1": replace(PRODUCT, power=1.0),
}
"""One constant changed at a time."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of items that have a common user, each in both orders."""

    item: NDArray[np.int64]
    other: NDArray[np.int64]
    together: Floats
    expected: Floats
    variance: float
    """The variance of the true O/E between all pairs, also those without a common user; not below 0."""

    @property
    def lift(self) -> Floats:
        """(τ² O + 1) / (τ² E + 1), which is z O/E + 1 − z."""
        return (self.variance * self.together + 1) / (self.variance * self.expected + 1)


def pairs(engaged: csr_matrix) -> Pairs:
    """The pairs of a matrix users × items that is 1 if the item is in the user's history."""
    users = np.asarray(engaged.sum(axis=0)).ravel().astype(float)
    joint = (engaged.T @ engaged).tocoo()
    other = joint.row != joint.col
    item, neighbour, together = joint.row[other], joint.col[other], joint.data[other].astype(float)
    per_pair = together.sum() / (users.sum() ** 2 - (users**2).sum())
    expected = per_pair * users[item] * users[neighbour]
    squares = per_pair**2 * ((users**2).sum() ** 2 - (users**4).sum())
    above = (together**2 - together).sum() - 2 * (together * expected).sum() + squares
    return Pairs(item, neighbour, together, expected, max(above / squares, 0.0))


def strongest(found: Pairs, users: Floats, kept: int) -> csr_matrix:
    """Items × neighbours: the lifts of the ``kept`` strongest of each item."""
    strength = found.lift * np.sqrt(users[found.other])
    order = np.lexsort((found.other, -strength, found.item))
    item = found.item[order]
    place = np.arange(len(item)) - np.searchsorted(item, item)
    order = order[place < kept]
    cells = (found.item[order], found.other[order])
    return csr_matrix((found.lift[order], cells), shape=(len(users), len(users)))


def scores(
    train: pd.DataFrame, users: pd.Index, items: pd.Index, constants: Constants = PRODUCT
) -> NDArray[np.float32]:
    """``users`` × ``items``: engagements^power × (1 + evidence). ``train``: impressions in order of time."""
    engaged = train[train["engaged"] == 1]
    count = np.bincount(items.get_indexer(engaged["item"]), minlength=len(items)).astype(float)
    histories = engaged.drop_duplicates(["user", "item"], keep="last")
    place = histories.groupby("user").cumcount(ascending=False).to_numpy()
    lately = max(constants.paired, constants.history)
    histories, place = histories[place < lately], place[place < lately]
    everyone = pd.Index(histories["user"].unique())
    column = items.get_indexer(histories["item"])

    def matrix(values: Floats, rows: pd.Index) -> csr_matrix:
        row = rows.get_indexer(histories["user"])
        found = csr_matrix((values[row >= 0], (row[row >= 0], column[row >= 0])), shape=(len(rows), len(items)))
        found.eliminate_zeros()
        return found

    whole = matrix((place < constants.paired).astype(float), everyone)
    lifts = strongest(pairs(whole), np.asarray(whole.sum(axis=0)).ravel(), constants.kept)
    weight = np.where(place < constants.history, 0.5 ** (place / constants.half_life), 0.0)
    evidence = (matrix(weight, users) @ lifts).toarray()
    return (count**constants.power * (1 + evidence)).astype(np.float32)
