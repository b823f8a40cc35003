"""The simulated product: surfaces, policies, models, experiments, countries, devices and rhythm.

These are constants, not options: evaluations are comparable only if they stay the same. Formulas: docs/simulator.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

TYPES = ("impression", "click", "like", "share", "comment", "follow", "save", "hide", "opt_out", "play")
"""The event types of the contract, in the order of a row's bits and of its list."""


class Type(IntEnum):
    """A type's place in :data:`TYPES`."""

    IMPRESSION = 0
    CLICK = 1
    LIKE = 2
    SHARE = 3
    COMMENT = 4
    FOLLOW = 5
    SAVE = 6
    HIDE = 7
    OPT_OUT = 8
    PLAY = 9

    @property
    def bit(self) -> int:
        """The bit of a row that reports this type."""
        return 1 << int(self)


@dataclass(frozen=True)
class Surface:
    """A place in the product. A request shows ``least`` to ``slots`` items; examination falls with the slot."""

    name: str
    least: int
    slots: int
    decay: float
    """Examination of slot p: (1 + p) ** -decay."""
    intercept: float
    """Added to the logit of engagement."""
    shares: tuple[float, float]
    """Shares of the requests: of regular and of sparse users."""

    @property
    def examination(self) -> Doubles:
        """The probability that a user looks at each slot."""
        return np.asarray((1.0 + np.arange(self.slots)) ** -self.decay, dtype=np.float64)

    @property
    def mean_shown(self) -> float:
        """Expected impressions of a request."""
        return (self.least + self.slots) / 2


SURFACES = (
    Surface("home", 4, 20, 0.55, 0.0, (0.70, 0.25)),
    Surface("related", 2, 8, 0.35, 0.3, (0.20, 0.15)),
    Surface("push", 1, 1, 0.0, -0.6, (0.10, 0.60)),
)

INTERCEPT = -2.3
"""The logit of engagement of taste 0 and quality 0 on the first slot of home."""


@dataclass(frozen=True)
class Model:
    """The model that chose the items. Its factors multiply the probability of engagement and the revenue of a click."""

    name: str
    policy: str
    engagement: float = 1.0
    revenue: float = 1.0


MODELS = (
    Model("popular-1", "popular"),
    Model("random-1", "random"),
    Model("popular-2", "popular", engagement=1.08, revenue=0.95),
)
POPULAR, RANDOM, TREATED = range(3)

EXPLORATION = 0.10
"""The share of requests on home and related that the random policy serves."""


@dataclass(frozen=True)
class Experiment:
    """An experiment on one surface, with two arms of equal size by user. ``share`` of the users take part."""

    name: str
    surface: int
    variants: tuple[str, str]
    models: tuple[int, int]
    share: float


EXPERIMENTS = (
    Experiment("ranker-2", 0, ("control", "treatment"), (POPULAR, TREATED), 0.6),
    Experiment("ids-aa", 1, ("a", "b"), (POPULAR, POPULAR), 1.0),
)


@dataclass(frozen=True)
class Country:
    """A segment of users: where, how many, and how its weekend differs."""

    code: str
    share: float
    offset: int
    """Hours that its clock is ahead of UTC."""
    weekend: float


COUNTRIES = (
    Country("US", 0.34, -5, 1.15),
    Country("IN", 0.24, 5, 1.30),
    Country("DE", 0.18, 1, 1.05),
    Country("BR", 0.16, -3, 1.20),
    Country("NZ", 0.08, 12, 0.90),
)

DEVICES = ("phone", "tablet", "desktop")

TYPE_GIVEN_CLICK = {
    Type.LIKE: 0.12,
    Type.SHARE: 0.03,
    Type.COMMENT: 0.02,
    Type.FOLLOW: 0.015,
    Type.SAVE: 0.04,
    Type.PLAY: 0.5,
}
"""How often a clicked impression has a further type."""

HIDE = 0.003
"""How often an impression that was not clicked is hidden."""

OPT_OUT_GIVEN_HIDE = 0.1

DETACHED = 0.10
"""The share of clicked impressions whose engagement is a separate, later record."""

LATE = 0.025
"""The share of requests whose records arrive in a later hour than their own."""

LATEST = 72
"""The longest delay, in hours."""

DUPLICATES = 0.005
"""Second copies per record."""

DISAGREE = 0.08
"""The share of second copies that differ from the first."""

ANONYMOUS = 0.01
"""The share of requests without a user_id."""


def activity(hour: int, weekday: int, country: Country) -> float:
    """The factor by which a country has more requests at a UTC hour of the week than in its average hour.

    ``hour`` is the hour of the day in UTC, ``weekday`` the UTC day of the week, Monday 0.
    """
    local = hour + country.offset
    day = (weekday + local // 24) % 7
    angle = 2 * np.pi * (local % 24) / 24
    wave = 1 + 0.65 * np.cos(angle - 2 * np.pi * 20 / 24) + 0.2 * np.cos(2 * angle - 4 * np.pi * 12.5 / 24)
    return float(max(wave, 0.08) * (country.weekend if day >= 5 else 1.0))


def mood(hour: int, weekday: int, country: Country) -> float:
    """The factor of engagement at a UTC hour of a week: a little more in the evening and at the weekend."""
    local = hour + country.offset
    day = (weekday + local // 24) % 7
    wave = 1 + 0.12 * np.cos(2 * np.pi * ((local % 24) - 21) / 24)
    return float(wave * (1.06 if day >= 5 else 1.0))


_HOURS_OF_WEEK = range(168)
_REQUESTS = np.array([[activity(hour % 24, hour // 24, country) for country in COUNTRIES] for hour in _HOURS_OF_WEEK])

RHYTHM: Doubles = np.asarray(_REQUESTS / _REQUESTS.mean(axis=0))
"""Requests by hour of the week (from Monday 0 h UTC) and country, as factors of the country's average hour."""

MOOD: Doubles = np.array([[mood(hour % 24, hour // 24, country) for country in COUNTRIES] for hour in _HOURS_OF_WEEK])
""":func:`mood` by hour of the week and country."""
