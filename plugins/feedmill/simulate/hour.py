"""The events of one hour, in blocks of bounded size; NumPy arrays, one element per request or per impression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feedmill.simulate import product
from feedmill.simulate.draws import Stream, generator
from feedmill.simulate.product import COUNTRIES, EXPERIMENTS, MODELS, POPULAR, RANDOM, SURFACES, Type
from feedmill.simulate.tastes import CATEGORIES
from feedmill.simulate.world import World

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BLOCK = 1 << 14
"""The number of requests in a block. It is part of the simulation: another size gives other rows."""

ORDERS = 2
"""How many orders of the items a policy has in an hour."""

SLOTS = max(surface.slots for surface in SURFACES)
MOST_SHARE = 0.9 / SLOTS
"""The largest share of an item: no request can then show it twice."""

LIKELIEST = 0.95
"""The largest probability of engagement."""

LAST_REQUEST_US = 3_550 * 1_000_000
"""The latest begin of a request within its hour: its impressions, 2 s apart, must end in that hour."""

SECONDS_APART_US = 2_000_000

EXAMINATION = np.ones((len(SURFACES), SLOTS), dtype=np.float32)
for _number, _surface in enumerate(SURFACES):
    EXAMINATION[_number, : _surface.slots] = _surface.examination


@dataclass(frozen=True)
class Requests:
    """One element per request. Requests that arrive in their own hour come first, then the others by delay."""

    user: Ints
    country: Ints
    surface: Ints
    model: Ints
    experiment: Ints
    """-1 for none."""
    arm: Ints
    device: Ints
    anonymous: Bools
    time_us: Ints
    """Microseconds since the start of the hour."""
    delay: Ints
    """How many hours after its own hour it arrives."""
    shown: Ints

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True)
class Block:
    """Requests and their impressions. Arrays have one element per impression, unless their docstring says otherwise."""

    hour: int
    number: int
    requests: Requests
    request: Ints
    """The impression's place in ``requests``."""
    position: Ints
    item: Ints
    bits: npt.NDArray[np.uint16]
    """The types that the impression's own record reports."""
    duration_ms: Ints
    """-1 for none."""
    revenue_micros: Ints
    """-1 for none."""
    records: Records
    """Engagement that separate records report."""
    copies: Copies

    def __len__(self) -> int:
        return len(self.item)


@dataclass(frozen=True)
class Records:
    """One element per record that follows an impression, by its request."""

    row: Ints
    """The impression's place in the block."""
    bits: npt.NDArray[np.uint16]
    after_us: Ints
    """Microseconds after the impression."""
    duration_ms: Ints
    revenue_micros: Ints


@dataclass(frozen=True)
class Copies:
    """One element per second copy of an impression's record."""

    row: Ints
    delay: Ints
    """Hours after the first copy's arrival."""
    disagrees: Bools
    """Whether its duration differs from that of the first copy."""


class Hour:
    """One hour of a world: how often each item is shown, and the events that follow."""

    def __init__(self, world: World, hour: int):
        self.world, self.number = world, hour
        settings, items = world.settings, world.items
        random = generator(settings.seed, Stream.HOUR, hour)
        self.expected = world.requests(hour)
        self.requests = int(random.poisson(self.expected.sum()))
        self.appeal = items.appeal(hour).astype(np.float32)
        self.live = items.live(hour)
        active = [trend for trend in world.trends if trend.start <= hour < trend.end]
        self.boost: Floats | None = None
        more = np.ones(len(items))
        if active:
            self.boost = np.ones((len(SURFACES), len(items)), dtype=np.float32)
            for trend in active:
                self.boost[trend.surface, trend.item] *= trend.engagement
                more[trend.item] *= trend.exposure
        self.size = 1 << max(15, int(np.ceil(np.log2(len(self.live) * 8))))
        self._orders = self._tables(random, more)
        self._moods = product.MOOD[world.hour_of_week(hour)]

    def blocks(self) -> Iterator[Block]:
        """All blocks of the hour, in order."""
        for number in range(-(-self.requests // BLOCK)):
            yield self.block(number)

    def weights(self, policy: str, more: Doubles | None = None) -> Doubles:
        """The live items' shares of a policy's impressions, before the items are ordered."""
        if policy == "random":
            return np.full(len(self.live), 1 / len(self.live))
        weight = self.world.items.popularity(self.number, self.live)
        if more is not None:
            weight = weight * more[self.live]
        for _ in range(20):
            weight = np.minimum(weight, MOST_SHARE * weight.sum())
        return np.asarray(weight / weight.sum())

    def _tables(self, random: np.random.Generator, more: Doubles) -> Ints:
        """For each policy and order, items on a line of ``size`` places, twice; each has its share of the places.

        A request takes places at equal distances (systematic sampling), so that no item is shown twice in it.
        """
        lines = np.empty((2 * ORDERS, 2, self.size), dtype=np.int64)
        for number, policy in enumerate(("popular", "random")):
            weight = self.weights(policy, more)
            for which in range(ORDERS):
                # Popular: best first, with Gumbel noise; so good items get the first slots more often.
                score = random.gumbel(size=len(weight)) * 2.0
                if policy == "popular":
                    score += np.log(weight)
                order = np.argsort(-score, kind="stable")
                edges = np.round(np.cumsum(weight[order]) * self.size).astype(np.int64)
                lines[number * ORDERS + which] = np.repeat(self.live[order], np.diff(edges, prepend=0))
        return lines.ravel()

    def block(self, number: int) -> Block:
        """One block, whatever was generated before."""
        random = generator(self.world.settings.seed, Stream.BLOCK, self.number, number)
        requests = self._requests(random, min(BLOCK, self.requests - number * BLOCK))
        place = np.repeat(np.arange(len(requests)), requests.shown)
        count = len(place)
        first = np.cumsum(requests.shown) - requests.shown
        position = np.arange(count) - first.take(place)
        item = self._shown(random, requests, place, position)
        chance = self._chance(requests, place, position, item)
        luck = random.random(count, dtype=np.float32)

        bits = np.ones(count, dtype=np.uint16)
        duration = np.full(count, -1, dtype=np.int64)
        revenue = np.full(count, -1, dtype=np.int64)
        clicked = np.flatnonzero(luck < chance)
        said, lasted, paid = self._clicks(random, item[clicked], requests.model[place[clicked]])
        detached = random.random(len(clicked)) < product.DETACHED
        here, there = clicked[~detached], clicked[detached]
        bits[here] |= said[~detached]
        duration[here], revenue[here] = lasted[~detached], paid[~detached]
        # No probability is above LIKELIEST, so none of these was clicked.
        hidden = np.flatnonzero(luck > 1 - product.HIDE)
        bits[hidden] |= Type.HIDE.bit
        left = hidden[random.random(len(hidden)) < product.OPT_OUT_GIVEN_HIDE]
        records = Records(
            row=np.concatenate([there, left]),
            bits=np.concatenate([said[detached], np.full(len(left), Type.OPT_OUT.bit, dtype=np.uint16)]),
            after_us=((3 + 90 * random.standard_exponential(len(there) + len(left))) * 1e6).astype(np.int64),
            duration_ms=np.concatenate([lasted[detached], np.full(len(left), -1)]),
            revenue_micros=np.concatenate([paid[detached], np.full(len(left), -1)]),
        )
        copies = self._copies(random, count)
        return Block(self.number, number, requests, place, position, item, bits, duration, revenue, records, copies)

    def _requests(self, random: np.random.Generator, count: int) -> Requests:
        world, users = self.world, self.world.users
        # Ascending, so that the search below walks through memory once; requests have no order otherwise.
        drawn = np.sort(random.random(count))
        edges = np.concatenate([[0.0], np.cumsum(self.expected) / self.expected.sum()])
        country = np.searchsorted(edges, drawn, side="right") - 1
        country = np.minimum(country, len(COUNTRIES) - 1)
        within = (drawn - edges[country]) / (edges[country + 1] - edges[country])
        low, high = world.country_edges[country], world.country_edges[country + 1]
        user = np.searchsorted(world.activity, low + within * (high - low), side="right") - 1
        user = np.minimum(user, len(users) - 1)

        late = random.random(count) < product.LATE
        delay = np.zeros(count, dtype=np.int64)
        tail = (1 - random.random(int(late.sum()))) ** (-1 / 0.8)
        delay[late] = np.minimum(tail, product.LATEST).astype(np.int64)
        user = user[order := np.argsort(delay, kind="stable")]
        delay = delay[order]

        shares = np.cumsum([surface.shares for surface in SURFACES], axis=0)
        mix = users.sparse[user].astype(np.int64)
        surface = (random.random(count) >= shares[:-1, mix]).sum(axis=0)
        least = np.array([s.least for s in SURFACES])[surface]
        slots = np.array([s.slots for s in SURFACES])[surface]
        explored = (random.random(count) < product.EXPLORATION) & (slots > 1)
        model = np.where(explored, RANDOM, POPULAR)
        experiment, arm = np.full(count, -1), np.zeros(count, dtype=np.int64)
        for number, trial in enumerate(EXPERIMENTS):
            inside = (surface == trial.surface) & ~explored & (users.in_experiment[user] < trial.share)
            experiment[inside] = number
            arm[inside] = users.arm[user[inside], number]
            model[inside] = np.array(trial.models)[arm[inside]]
        elsewhere = random.random(count) < 0.08
        device = np.where(elsewhere, (random.random(count) * 3).astype(np.int64), users.device[user])
        return Requests(
            user=user,
            country=users.country[user].astype(np.int64),
            surface=surface,
            model=model,
            experiment=experiment,
            arm=arm,
            device=device,
            anonymous=random.random(count) < product.ANONYMOUS,
            time_us=(random.random(count) * LAST_REQUEST_US).astype(np.int64),
            delay=delay,
            shown=least + (random.random(count) * (slots - least + 1)).astype(np.int64),
        )

    def _shown(self, random: np.random.Generator, requests: Requests, place: Ints, position: Ints) -> Ints:
        explored = requests.model == RANDOM
        step = self.size // np.array([surface.slots for surface in SURFACES])[requests.surface]
        # Popular goes down the line from the best; random begins anywhere and goes round.
        begin = (random.random(len(requests)) * np.where(explored, self.size, step)).astype(np.int64)
        line = explored * ORDERS + (random.random(len(requests)) * ORDERS).astype(np.int64)
        begin += line * (2 * self.size)
        return np.asarray(self._orders.take(begin.take(place) + position * step.take(place)))

    def _chance(self, requests: Requests, place: Ints, position: Ints, item: Ints) -> Floats:
        """The probability of engagement; the formula stands in docs/simulator.md."""
        tastes = self.world.tastes.on(self.number // 24).ravel()
        items = self.world.items
        row = (requests.user * CATEGORIES).take(place)
        logit = self.appeal.take(item)
        intercepts = np.array([product.INTERCEPT + s.intercept for s in SURFACES], dtype=np.float32)
        logit += intercepts[requests.surface].take(place)
        logit += tastes.take(row + items.category[:, 0].take(item)) * items.weight[:, 0].take(item)
        # Four items in ten have a second category, and about one a third.
        for number in (1, 2):
            several = np.flatnonzero(items.weight[:, number].take(item))
            which = item[several]
            more = tastes.take(row[several] + items.category[which, number])
            logit[several] += more * items.weight[which, number]
        factor = np.array([model.engagement for model in MODELS])[requests.model] * self._moods[requests.country]
        chance = EXAMINATION.ravel().take((requests.surface * SLOTS).take(place) + position)
        chance *= factor.astype(np.float32).take(place)
        if self.boost is not None:
            chance *= self.boost.ravel().take((requests.surface * len(items)).take(place) + item)
        np.negative(logit, out=logit)
        np.exp(logit, out=logit)
        logit += 1
        chance /= logit
        return np.minimum(chance, np.float32(LIKELIEST), out=chance)

    def _clicks(
        self, random: np.random.Generator, item: Ints, model: Ints
    ) -> tuple[npt.NDArray[np.uint16], Ints, Ints]:
        """Types, duration and revenue of clicked impressions."""
        count, items = len(item), self.world.items
        bits = np.full(count, Type.CLICK.bit, dtype=np.uint16)
        for kind, share in product.TYPE_GIVEN_CLICK.items():
            bits[random.random(count, dtype=np.float32) < share] |= kind.bit
        watched = np.minimum(np.exp(0.8 * random.standard_normal(count, dtype=np.float32) - 0.7), 1.5)
        played = bits & Type.PLAY.bit > 0
        duration = np.where(played, (items.duration_ms[item] * watched).astype(np.int64), -1)
        worth = 60_000 * np.exp(0.7 * random.standard_normal(count, dtype=np.float32))
        worth *= np.array([m.revenue for m in MODELS], dtype=np.float32)[model]
        return bits, duration, np.where(items.sponsored[item], worth.astype(np.int64), -1)

    def _copies(self, random: np.random.Generator, rows: int) -> Copies:
        count = min(int(random.poisson(rows * product.DUPLICATES)), rows)
        row = np.unique((random.random(count) * rows).astype(np.int64))
        disagrees = random.random(len(row)) < product.DISAGREE
        later = disagrees | (random.random(len(row)) < 0.3)
        # A copy that disagrees arrives in a later hour, so that it is clear which copy came first.
        delay = np.where(later, 1 + (random.random(len(row)) * 6).astype(np.int64), 0)
        return Copies(row, delay, disagrees)
