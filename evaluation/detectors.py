"""The methods that trending is compared with: z-score, growth ratio and a Poisson test, over engagements of some hours.

Each takes counts series × hour and judges the last :data:`HOURS` of them against the same series' earlier hours, as the
product does. If there is too little history, there is no score (NaN).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import poisson

from evaluation.metrics import Floats, Ints
from include.spark.features.item_trending import HOURS

DAY = 24

ADDED = (1.0, 5.0, 10.0)
"""Engagements that are added to both sides of a growth ratio."""


@dataclass(frozen=True)
class Past:
    """A series before the judged hours, as totals of the same number of hours."""

    now: Floats
    """The total of the hours that are judged."""
    mean: Floats
    """The mean of such totals before."""
    deviation: Floats
    """Their standard deviation."""

    @classmethod
    def of_days(cls, counts: Floats, first: Ints, days: int, least: int) -> Past:
        """Over the ``days`` before. A series has history from its hour ``first`` on, and needs ``least`` hours."""
        now = rolling(counts, HOURS)
        length = days * DAY
        hours = np.clip(_age(counts, first) - HOURS + 1, 0, length).astype(float)
        hours[hours < max(least, 1)] = np.nan
        mean = _before(rolling(now, length)) / hours
        square = _before(rolling(now * now, length)) / hours
        return cls(now, mean, np.sqrt(np.maximum(square - mean * mean, 0)))

    @classmethod
    def same_hours(cls, counts: Floats, first: Ints, days: int, least: int) -> Past:
        """Over the same hours of the ``days`` before."""
        now = rolling(counts, HOURS)
        each = np.stack([_shifted(now, DAY * day) for day in range(1, days + 1)])
        seen = np.minimum(_age(counts, first) // DAY, days).astype(float)
        seen[seen * DAY < max(least, 1)] = np.nan
        mean = each.sum(axis=0) / seen
        square = (each * each).sum(axis=0) / seen
        return cls(now, mean, np.sqrt(np.maximum(square - mean * mean, 0)))


def z_score(past: Past) -> Floats:
    """Standard deviations above the mean; a deviation below one engagement counts as one."""
    return (past.now - past.mean) / np.maximum(past.deviation, 1)


def growth(past: Past, added: float) -> Floats:
    """The ratio to the mean, with ``added`` engagements on both sides."""
    return (past.now + added) / (past.mean + added)


def poisson_test(past: Past) -> Floats:
    """Minus the logarithm of the probability of as many engagements or more, by the mean; half one where it is 0."""
    return -np.asarray(poisson.logsf(past.now - 1, np.maximum(past.mean, 0.5 / DAY)))


def variants(counts: Floats, first: Ints, every_item: bool) -> Iterator[tuple[str, str, Floats]]:
    """(method, variant, scores): every method against every past; of ``every_item``, or of those of a day or more.

    On an item's first day there are no same hours of earlier days, so that past does not exist for every item.
    ``first`` is the hour of each series' first impression or engagement.
    """
    pasts = (
        ("the day before", Past.of_days, 1),
        ("7 days before", Past.of_days, 7),
        ("28 days before", Past.of_days, 28),
        ("the same hours of 7 days", Past.same_hours, 7),
    )
    for name, make, days in pasts[: -1 if every_item else None]:
        past = make(counts, first, days, 0 if every_item else DAY)
        yield "z-score", name, z_score(past)
        for added in ADDED:
            yield "growth ratio", f"{name}, {added:g} added", growth(past, added)
        yield "Poisson test", name, poisson_test(past)


def rolling(values: Floats, hours: int) -> Floats:
    """The sum of each hour and those before it, ``hours`` of them."""
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    end = np.arange(1, values.shape[1] + 1)
    return sums[:, end] - sums[:, np.maximum(end - hours, 0)]


def _before(values: Floats) -> Floats:
    """The values that were known before the judged hours began."""
    return _shifted(values, HOURS)


def _shifted(values: Floats, hours: int) -> Floats:
    return np.concatenate([np.zeros((len(values), min(hours, values.shape[1]))), values[:, :-hours]], axis=1)


def _age(counts: Floats, first: Ints) -> Ints:
    """Hours since a series' first, by hour."""
    return np.arange(counts.shape[1])[None, :] - first[:, None]
