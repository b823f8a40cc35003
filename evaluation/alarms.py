"""How well scores of items by the hour find trends: thresholds at a false-alarm rate, time to detection, precision.

Scores stand in an array series × hour; a series is an item on a surface. Higher is more of a trend; NaN is no score.
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
    """What trends when, and which hours say nothing of it."""

    trends: list[Trend]
    active: Bools
    """Series × hour: a trend runs."""
    quiet: Bools
    """Series × hour: none runs, and none did in the hours that a score still counts."""

    @classmethod
    def of(cls, trends: list[Trend], beside: list[Trend], shape: tuple[int, int], memory: int) -> Truth:
        """``memory``: hours before its own that a score counts. ``beside``: jumps that are no trends, nor nothing."""
        active, echo = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        for trend in trends:
            active[trend.series, trend.start : trend.end] = True
        for trend in (*trends, *beside):
            echo[trend.series, trend.start : trend.end + memory] = True
        return cls(trends, active, ~echo)


def threshold(scores: Floats, quiet: Bools, alarms: int) -> float:
    """The least threshold above which lie at most ``alarms`` of the scores where nothing trends."""
    found = np.sort(scores[quiet & np.isfinite(scores)])[::-1]
    return float(np.nextafter(found[alarms], np.inf)) if len(found) > alarms else -np.inf


def hours_to_alarm(scores: Floats, level: float, trends: list[Trend], most: int) -> tuple[Bools, Floats]:
    """Of each trend whether it was found while it ran, and after how many hours: ``most`` if it was not.

    The score of an hour is there at its end: the first hour's is a detection after one hour.
    """
    found = np.zeros(len(trends), dtype=bool)
    hours = np.full(len(trends), float(most))
    for number, trend in enumerate(trends):
        alarms = np.flatnonzero(scores[trend.series, trend.start : trend.end] >= level)
        if len(alarms):
            found[number], hours[number] = True, min(alarms[0] + 1, most)
    return found, hours


def precision_at(scores: Floats, active: Bools, k: int) -> float:
    """The share of true trends among the ``k`` highest scores; of equal ones, what a random order expects."""
    valid = np.isfinite(scores)
    values, true = scores[valid], active[valid]
    if len(values) == 0:
        return 0.0
    last = np.sort(values)[-min(k, len(values))]
    above, tied = values > last, values == last
    rest = k - above.sum()
    return float((true[above].sum() + rest * true[tied].mean()) / k)
