"""The catalogue: the items, how good they are, and how long they stay interesting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feedmill.simulate.draws import Stream, generator
from feedmill.simulate.settings import Settings
from feedmill.simulate.tastes import CATEGORIES, Archetypes

Doubles = npt.NDArray[np.float64]

EVERGREEN = np.inf
LEAST_EVERGREEN = 40
"""This many of the first items never end, so that a slate always finds enough different items."""

LIVES = 5.0
"""An item is shown until its age is this many lifetimes."""

DECAY = 0.25
"""How much the logit of engagement falls in one lifetime, up to four of them."""

DIVISIONS = np.array([[1.0, 0.0, 0.0], [0.7, 0.3, 0.0], [0.5, 0.3, 0.2]])
"""The weights of an item's categories; the index is their number less one."""


@dataclass(frozen=True)
class Items:
    """One element (row) per item; times are hours from the simulation's start."""

    published: Doubles
    lifetime: Doubles
    """Hours in which interest falls by :data:`DECAY`; infinite if it never falls."""
    quality: Doubles
    """Added to the logit of engagement while the item is new."""
    category: npt.NDArray[np.int32]
    """Item × 3: categories, the main one first."""
    weight: npt.NDArray[np.float32]
    """Item × 3: their weights, which sum to 1; 0 where there are fewer."""
    author: npt.NDArray[np.int64]
    duration_ms: npt.NDArray[np.int64]
    sponsored: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.quality)

    @property
    def ends(self) -> Doubles:
        """When each item is no longer shown."""
        return self.published + LIVES * self.lifetime

    def live(self, hour: float) -> npt.NDArray[np.int32]:
        """The items that are shown in the hour, ascending."""
        return np.flatnonzero((self.published <= hour) & (hour < self.ends)).astype(np.int32)

    def ages(self, hour: float) -> Doubles:
        """Age in lifetimes; 0 for items that do not age."""
        return np.maximum(hour - self.published, 0) / self.lifetime

    def popularity(self, hour: float, among: npt.NDArray[np.int32]) -> Doubles:
        """Weights by which the popular policy shows some items in an hour."""
        return np.asarray(np.exp(0.9 * self.quality[among] - 0.5 * np.minimum(self.ages(hour)[among], 4.0)))

    def appeal(self, hour: float) -> Doubles:
        """The part of an item in the logit of engagement in an hour: its quality, less its age."""
        return self.quality - DECAY * np.minimum(self.ages(hour), 4.0)


def draw(settings: Settings, archetypes: Archetypes) -> Items:
    """The whole catalogue: half of it from before the start, the others published evenly over the days."""
    random = generator(settings.seed, Stream.ITEMS)
    count = settings.items
    old = count // 2
    lifetime = np.exp(np.log(60.0) + 0.8 * random.standard_normal(count))
    lifetime[random.random(count) < 0.06] = EVERGREEN
    lifetime[:LEAST_EVERGREEN] = EVERGREEN
    finite = np.where(np.isfinite(lifetime), lifetime, 500.0)
    published = np.empty(count)
    published[:old] = -random.random(old) * LIVES * finite[:old]
    published[old:] = np.sort(random.random(count - old)) * settings.hours
    # Gumbel: skewed to the right, as popularity is; most items are a little worse than the mean.
    quality = 0.55 * (random.gumbel(size=count) - np.euler_gamma)
    category = np.empty((count, 3), dtype=np.int32)
    category[:, 0] = random.choice(CATEGORIES, size=count, p=archetypes.supply)
    for place in (1, 2):
        odds = archetypes.neighbours[category[:, 0]].copy()
        for earlier in range(place):
            odds[np.arange(count), category[:, earlier]] = 0
        edges = np.cumsum(odds, axis=1)
        drawn = random.random(count) * edges[:, -1]
        category[:, place] = np.minimum((edges < drawn[:, None]).sum(axis=1), CATEGORIES - 1)
    weight = DIVISIONS[random.choice(3, size=count, p=(0.6, 0.28, 0.12))].astype(np.float32)
    return Items(
        published=published,
        lifetime=lifetime,
        quality=quality,
        category=category,
        weight=weight,
        author=(random.pareto(1.2, count) * 3).astype(np.int64) % max(count // 4, 1),
        duration_ms=(15_000 * np.exp(0.9 * random.standard_normal(count))).astype(np.int64),
        sponsored=random.random(count) < 0.1,
    )
