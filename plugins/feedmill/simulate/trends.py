"""Items whose engagement jumps for some hours. A trend detector must find them, and soon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feedmill.simulate.draws import Stream, generator
from feedmill.simulate.items import Items
from feedmill.simulate.settings import Settings

PER_DAY = 2
HISTORY = 3
"""No trend begins in this many first days, because there is no history to compare it with."""

SHOWN_MORE = 4.0


@dataclass(frozen=True)
class Trend:
    """An item's jump on a surface in the hours ``[start, end)`` from the simulation's start."""

    item: int
    surface: int
    start: int
    end: int
    engagement: float
    """Factor of the probability of engagement."""
    exposure: float
    """Factor of the item's weight in the policy ``popular``; 1 if the policy has not noticed the jump."""


def draw(settings: Settings, items: Items) -> list[Trend]:
    """The trends of a simulation, by start; none in one of :data:`HISTORY` days or less."""
    random = generator(settings.seed, Stream.TRENDS)
    trends: list[Trend] = []
    for day in range(HISTORY, settings.days):
        for _ in range(PER_DAY):
            start = day * 24 + int(random.integers(24))
            length = int(random.integers(3, 13))
            live = items.live(start)
            # Drawn by popularity, because a jump of an item that hardly anybody sees could not be found.
            weight = items.popularity(start, live)
            weight[np.isin(live, [trend.item for trend in trends if trend.end > start - 24])] = 0
            item = int(random.choice(live, p=weight / weight.sum()))
            surface = 0 if random.random() < 0.8 else 1
            engagement = float(random.choice((1.5, 2.0, 3.0, 5.0)))
            exposure = SHOWN_MORE if random.random() < 0.6 else 1.0
            trends.append(Trend(item, surface, start, min(start + length, settings.hours), engagement, exposure))
    return sorted(trends, key=lambda trend: (trend.start, trend.item))
