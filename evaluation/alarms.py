"""How well hourly scores of items find trends: thresholds at a false-alarm rate, time to detection, precision.

Scores are an array series × hour; a series is an item on a surface. A higher score means a trend more surely; NaN means
that there is no score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import Floats

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Trend:
    """A series that truly trends in the hours ``[start, end)``."""

    series: int
    start: int
    end: int


@dataclass(frozen=True)
class Truth:
    """Which series trends in which hours, and which hours say nothing about it."""

    trends: list[Trend]
    active: Bools
    """Series × hour: a trend runs."""
    quiet: Bools
    """Series × hour: no trend runs, and none ran in the earlier hours that a score counts."""

    @classmethod
    def of(cls, trends: list[Trend], beside: list[Trend], shape: tuple[int, int], memory: int) -> Truth:
        """``memory``: how many hours before its own a score counts. ``beside``: jumps that count neither as trends nor
        as quiet hours."""
        active, echo = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        for trend in trends:
            active[trend.series, trend.start : trend.end] = True
        for trend in (*trends, *beside):
            echo[trend.series, trend.start : trend.end + memory] = True
        return cls(trends, active, ~echo)


def threshold(scores: Floats, quiet: Bools, alarms: int) -> float:
    """The least threshold such that at most ``alarms`` scores of quiet hours lie above it."""
    found = np.sort(scores[quiet & np.isfinite(scores)])[::-1]
    return float(np.nextafter(found[alarms], np.inf)) if len(found) > alarms else -np.inf


def hours_to_alarm(scores: Floats, level: float, trends: list[Trend], most: int) -> tuple[Bools, Floats]:
    """For each trend, whether it was found while it ran, and after how many hours (``most`` if it was not found).

    An hour's score exists at the hour's end, so a detection by the first hour's score takes one hour.
    """
    found = np.zeros(len(trends), dtype=bool)
    hours = np.full(len(trends), float(most))
    for number, trend in enumerate(trends):
        alarms = np.flatnonzero(scores[trend.series, trend.start : trend.end] >= level)
        if len(alarms):
            found[number], hours[number] = True, min(alarms[0] + 1, most)
    return found, hours


def precision_at(scores: Floats, active: Bools, k: int) -> float:
    """The share of true trends among the ``k`` highest scores. Equal scores count as in a random order, on average."""
    valid = np.isfinite(scores)
    values, true = scores[valid], active[valid]
    if len(values) == 0:
        return 0.0
    last = np.sort(values)[-min(k, len(values))]
    above, tied = values > last, values == last
    rest = k - above.sum()
    return float((true[above].sum() + rest * true[tied].mean()) / k)
