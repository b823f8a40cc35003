"""Everything that is drawn once: users, items, trends. The events follow from it, hour by hour."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from feedmill.simulate import items, tastes, trends
from feedmill.simulate.product import COUNTRIES, RHYTHM
from feedmill.simulate.settings import Settings


@dataclass(frozen=True)
class World:
    """A simulation's causes."""

    settings: Settings
    archetypes: tastes.Archetypes
    users: tastes.Users
    items: items.Items
    trends: list[trends.Trend]

    @classmethod
    def of(cls, settings: Settings) -> World:
        """The world of a seed."""
        kinds = tastes.archetypes(settings.seed)
        catalogue = items.draw(settings, kinds)
        return cls(settings, kinds, tastes.draw(settings, kinds), catalogue, trends.draw(settings, catalogue))

    @cached_property
    def tastes(self) -> tastes.Tastes:
        """The users' tastes by day."""
        return tastes.Tastes(self.settings, self.archetypes, self.users)

    @cached_property
    def activity(self) -> npt.NDArray[np.float64]:
        """Cumulated activity of the users before each, and of all; users are sorted by country."""
        return np.concatenate([[0.0], np.cumsum(self.users.activity)])

    @cached_property
    def country_edges(self) -> npt.NDArray[np.float64]:
        """Cumulated activity at the countries' first users, and of all."""
        firsts = np.searchsorted(self.users.country, np.arange(len(COUNTRIES) + 1))
        return np.asarray(self.activity[firsts])

    def requests(self, hour: int) -> npt.NDArray[np.float64]:
        """Expected requests of an hour, by country."""
        rhythm = RHYTHM[self.hour_of_week(hour)]
        return np.asarray(np.diff(self.country_edges) / self.settings.hours * rhythm)

    def hour_of_week(self, hour: int) -> int:
        """Hours since Monday 0 h UTC."""
        return (self.settings.start.weekday() * 24 + hour) % 168
