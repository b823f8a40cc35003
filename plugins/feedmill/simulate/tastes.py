"""Users: who they are, how active they are, and what they like on each day.

Tastes deliberately follow no distribution that an estimator of the project assumes. They are mixtures of archetypes
with correlated categories, heavy tails, drift and abrupt switches.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from feedmill.simulate.draws import Stream, generator
from feedmill.simulate.product import COUNTRIES, SURFACES
from feedmill.simulate.settings import Settings

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

CATEGORIES = 24
ARCHETYPES = 6
FACTORS = 4
KNOT = 7
"""Days between the knots of the drift; in between it is linear."""

SPARSE = 0.4
"""The share of users who come about once, if at all."""

SWITCHERS = 0.05
"""The share of users whose tastes change completely on one day."""

NEVER = np.iinfo(np.int32).max
_GROUP = 1 << 16


@dataclass(frozen=True)
class Archetypes:
    """The archetypes that users are mixtures of, and how categories belong together."""

    means: Doubles
    """Archetype × category: logits."""
    loadings: Doubles
    """Category × factor: how tastes for categories move together."""
    supply: Doubles
    """Category: its share of the items, which falls as a power of its rank."""
    neighbours: Doubles
    """Category × category: how often an item of one also has the other; rows sum to 1."""
    mixes: Doubles
    """Country × archetype: Dirichlet parameters of its users."""


def archetypes(seed: int) -> Archetypes:
    """The archetypes of a seed."""
    random = generator(seed, Stream.ARCHETYPES)
    loadings = random.standard_normal((CATEGORIES, FACTORS)) * 0.5
    means = random.standard_normal((ARCHETYPES, FACTORS)) @ loadings.T * 0.7
    for archetype in range(ARCHETYPES):
        means[archetype, random.choice(CATEGORIES, 3, replace=False)] += 0.9
    means -= means.mean()
    supply = 1.0 / (1.0 + random.permutation(CATEGORIES)) ** 0.7
    near = np.exp(2.0 * loadings @ loadings.T)
    np.fill_diagonal(near, 0)
    mixes = 0.08 + 0.6 * random.random((len(COUNTRIES), ARCHETYPES)) ** 3
    return Archetypes(means, loadings, supply / supply.sum(), near / near.sum(axis=1, keepdims=True), mixes)


@dataclass
class Users:
    """One element (row) per user, sorted by country."""

    country: npt.NDArray[np.int8]
    sparse: npt.NDArray[np.bool_]
    activity: Doubles
    """Expected requests in the whole simulation, before rhythm."""
    level: Floats
    """Added to the user's logit of every category."""
    mixture: Floats
    """User × archetype."""
    switch_day: npt.NDArray[np.int32]
    """From this day on ``mixture_after`` and ``base_after`` hold; NEVER for most."""
    mixture_after: Floats
    """User × archetype; equal to ``mixture`` for users who never switch."""
    device: npt.NDArray[np.int8]
    in_experiment: npt.NDArray[np.float32]
    """A uniform number. A user whose number is below an experiment's share takes part."""
    arm: npt.NDArray[np.int8]
    """User × experiment: 0 or 1."""
    base: Floats = field(repr=False)
    """User × category: logits on day 0, without drift, with level."""

    def __len__(self) -> int:
        return len(self.country)


def draw(settings: Settings, kinds: Archetypes) -> Users:
    """All users, in groups of bounded size."""
    count = settings.users
    country = np.repeat(
        np.arange(len(COUNTRIES), dtype=np.int8),
        np.diff(np.round(np.cumsum([0.0, *(c.share for c in COUNTRIES)]) * count).astype(int)),
    )
    groups = [_group(settings, kinds, country, first) for first in range(0, count, _GROUP)]
    joined = {name: np.concatenate([group[name] for group in groups]) for name in groups[0]}
    sparse = joined["sparse"]
    impressions = settings.days * settings.events_per_day
    rare = joined.pop("rare") * sparse
    # In a very small feed regular users would be rare too, so sparse ones take at most a tenth of it.
    rare *= min(1.0, 0.1 * impressions / mean_shown(1) / max(float(rare.sum()), 1e-9))
    regular = joined.pop("often") * ~sparse
    regular *= (impressions - rare.sum() * mean_shown(1)) / mean_shown(0) / regular.sum()
    return Users(country=country, activity=rare + regular, **joined)


def mean_shown(kind: int) -> float:
    """Expected impressions of a request of a regular (0) or a sparse (1) user."""
    return sum(surface.mean_shown * surface.shares[kind] for surface in SURFACES)


def _group(
    settings: Settings, kinds: Archetypes, country: npt.NDArray[np.int8], first: int
) -> dict[str, npt.NDArray[np.generic]]:
    random = generator(settings.seed, Stream.USERS, first // _GROUP)
    mine = country[first : first + _GROUP]
    count = len(mine)
    # Clickers are a second population with another level, so the distribution of levels has two modes.
    clicker = random.random(count) < 0.15
    level = (random.laplace(0, 0.35, count) + 0.9 * clicker - 0.135).clip(-3, 3)
    mixture, after = _mixture(random, kinds, mine), _mixture(random, kinds, mine)
    switches = (random.random(count) < SWITCHERS) & (settings.days > 1)
    day = np.where(switches, 1 + (random.random(count) * (settings.days - 1)).astype(np.int32), NEVER)
    after = np.where(switches[:, None], after, mixture)
    own = (0.3 * random.standard_t(3, (count, CATEGORIES))).clip(-2.5, 2.5).astype(np.float32)
    own += level[:, None].astype(np.float32)
    return {
        "sparse": random.random(count) < SPARSE,
        "rare": random.exponential(1.0, count),
        "often": np.exp(1.3 * random.standard_normal(count)),
        "level": level.astype(np.float32),
        "mixture": mixture,
        "mixture_after": after,
        "switch_day": day.astype(np.int32),
        "device": random.choice(3, size=count, p=(0.7, 0.08, 0.22)).astype(np.int8),
        "in_experiment": random.random(count).astype(np.float32),
        "arm": (random.random((count, 2)) < 0.5).astype(np.int8),
        "base": own + (mixture @ kinds.means.astype(np.float32)),
    }


def _mixture(random: np.random.Generator, kinds: Archetypes, country: npt.NDArray[np.int8]) -> Floats:
    # A Dirichlet draw is a normalised vector of gamma draws. The floor prevents 0/0 if all of them are tiny.
    gammas = random.standard_gamma(kinds.mixes[country]) + 1e-9
    return np.asarray(gammas / gammas.sum(axis=1, keepdims=True), dtype=np.float32)


class Tastes:
    """User × category logits of any day: mixture, the user's own, level and drift.

    Days are cheapest in ascending order: the drift is a random walk.
    """

    def __init__(self, settings: Settings, kinds: Archetypes, users: Users):
        self._settings, self._kinds, self._users = settings, kinds, users
        self._knot = -1
        self._before: Floats = np.zeros((0, FACTORS), dtype=np.float32)
        self._after: Floats = self._before
        self._day = -1
        self._tastes: Floats = self._before

    def on(self, day: int) -> Floats:
        """The day's logits, to be read only."""
        if day == self._day:
            return self._tastes
        self._walk_to(day // KNOT)
        share = np.float32(day % KNOT / KNOT)
        walked = self._before + share * (self._after - self._before)
        tastes = walked @ self._kinds.loadings.T.astype(np.float32)
        tastes += self._users.base
        switched = np.flatnonzero(self._users.switch_day <= day)
        if len(switched):
            change = self._users.mixture_after[switched] - self._users.mixture[switched]
            tastes[switched] += change @ self._kinds.means.astype(np.float32)
        self._day, self._tastes = day, tastes
        return tastes

    def _walk_to(self, knot: int) -> None:
        if knot < self._knot or self._knot < 0:
            self._knot = 0
            self._before = np.zeros((len(self._users), FACTORS), dtype=np.float32)
            self._after = self._step(1)
        while self._knot < knot:
            self._knot += 1
            self._before, self._after = self._after, self._after + self._step(self._knot + 1)

    def _step(self, knot: int) -> Floats:
        parts = []
        for first in range(0, len(self._users), _GROUP):
            random = generator(self._settings.seed, Stream.DRIFT, knot, first // _GROUP)
            count = min(_GROUP, len(self._users) - first)
            parts.append((0.22 * random.standard_t(5, (count, FACTORS))).astype(np.float32))
        return np.concatenate(parts)
