"""Metrics of predictions and rankings, written as sums over users, so that a bootstrap can weight the users.

A resample of users is a vector of whole weights, one for each user. A metric takes a matrix with one row for each
resample, and returns one value for each row. All methods use the same resamples, so differences are paired.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CLIP = 1e-6
"""Before we take its logarithm, a probability is kept at least this far from 0 and 1."""

_DIGITS = 10
"""Predictions that agree in this many digits are a tie. Sums of shares differ in the last digits by their order."""

_CHUNK = 20_000_000
"""How many numbers are held at once when resamples are multiplied with rows."""


@dataclass(frozen=True)
class Resamples:
    """Weights of users: the first row is the data as it is, the others are bootstrap resamples."""

    weights: Floats

    @classmethod
    def draw(cls, users: int, count: int, seed: int) -> Resamples:
        """``count`` resamples of ``users`` users with replacement."""
        generator = np.random.default_rng(seed)
        drawn = generator.multinomial(users, np.full(users, 1.0 / users), size=count).astype(np.float64)
        return cls(np.vstack([np.ones((1, users)), drawn]))


def ratio_of_sums(numerator: Floats, denominator: Floats, resamples: Resamples) -> Floats:
    """Σ numerator / Σ denominator over users, for each resample; one entry of the two vectors is one user's sum."""
    below = resamples.weights @ denominator
    return np.divide(resamples.weights @ numerator, below, out=np.full(len(below), np.nan), where=below > 0)


def by_user(values: Floats, user: Ints, users: int) -> Floats:
    """The sum of ``values`` of each user."""
    return np.bincount(user, weights=values, minlength=users)


def losses(engaged: Floats, predicted: Floats) -> Floats:
    """The log loss of each impression, in nats."""
    clipped = np.clip(predicted, CLIP, 1 - CLIP)
    return -(engaged * np.log(clipped) + (1 - engaged) * np.log1p(-clipped))


def log_loss(engaged: Floats, predicted: Floats, user: Ints, users: int, resamples: Resamples) -> Floats:
    """The mean log loss of an impression."""
    one = by_user(np.ones(len(engaged)), user, users)
    return ratio_of_sums(by_user(losses(engaged, predicted), user, users), one, resamples)


def auc(engaged: Floats, predicted: Floats, user: Ints, users: int, resamples: Resamples) -> Floats:  # noqa: ARG001
    """The share of pairs (one engaged, one not) that the prediction orders correctly; ties count half."""
    predicted = predicted.round(_DIGITS)
    order = np.argsort(predicted, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(predicted[order]) != 0]) if len(order) else order
    positive, owner = engaged[order], user[order]
    result = np.full(len(resamples.weights), np.nan)
    step = max(1, _CHUNK // max(1, len(order)))
    for first in range(0, len(result), step):
        weights = resamples.weights[first : first + step][:, owner]
        yes = np.add.reduceat(weights * positive, starts, axis=1)
        no = np.add.reduceat(weights * (1 - positive), starts, axis=1)
        below = np.cumsum(no, axis=1) - no / 2
        pairs = yes.sum(axis=1) * no.sum(axis=1)
        result[first : first + step] = np.divide(
            (yes * below).sum(axis=1), pairs, out=np.full(len(pairs), np.nan), where=pairs > 0
        )
    return result


def within_user_auc(engaged: Floats, predicted: Floats, user: Ints, users: int, resamples: Resamples) -> Floats:
    """The AUC of each user who has both kinds of impressions, averaged with the number of impressions as weight.

    This is GAUC (Zhu et al. 2017). It judges the order within each user; a user's level has no effect.
    """
    predicted = predicted.round(_DIGITS)
    order = np.argsort(user, kind="stable")
    sums = np.zeros(users)
    counts = np.zeros(users)
    bounds = np.flatnonzero(np.diff(user[order])) + 1
    for rows in np.split(order, bounds):
        yes = engaged[rows].sum()
        no = len(rows) - yes
        if yes and no:
            ranks = rankdata(predicted[rows])
            value = (ranks[engaged[rows] > 0].sum() - yes * (yes + 1) / 2) / (yes * no)
            sums[user[rows[0]]] = value * len(rows)
            counts[user[rows[0]]] = len(rows)
    return ratio_of_sums(sums, counts, resamples)


@dataclass(frozen=True)
class Interval:
    """A value, and the middle 95 % of its resamples."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Floats) -> Interval:
        """The interval of a metric's values, of which the first belongs to the data as it is."""
        finite = values[1:][np.isfinite(values[1:])]
        low, high = np.quantile(finite, [0.025, 0.975]) if len(finite) else (np.nan, np.nan)
        return cls(float(values[0]), float(low), float(high))

    def text(self, digits: int = 4, signed: bool = False) -> str:
        """``0.0123 [0.0101, 0.0144]``."""
        sign = "+" if signed else ""
        if not np.isfinite(self.value):
            return "–"
        return f"{self.value:{sign}.{digits}f} [{self.low:{sign}.{digits}f}, {self.high:{sign}.{digits}f}]"
