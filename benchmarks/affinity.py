"""The affinity estimator on simulated users whose true affinities are known.

    .venv/bin/python benchmarks/affinity.py

prints the tables of docs/affinity.md and draws docs/affinity.svg. It starts from impressions, uses only NumPy, and
shares no code with include/spark/credibility.py. The same seed gives the same picture.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

USER_VARIANCE, CATEGORY_VARIANCE = 0.3, 0.2
CATEGORIES = 5
PICTURE = Path(__file__).resolve().parents[1] / "docs/affinity.svg"


def say(line: str) -> None:
    """A line of the tables."""
    sys.stdout.write(f"{line}\n")


@dataclass(frozen=True)
class World:
    """Sums by user and category, and the truth."""

    affinity: Array
    observed: Array
    expected: Array
    variance: Array
    own_residuals: Array
    own_expected: Array


def simulate(rng: np.random.Generator, users: int, impressions: float) -> World:
    """Users whose number of impressions is geometric around a mean, with rates from 2 to 20 %."""
    level = rng.gamma(1 / USER_VARIANCE, USER_VARIANCE, (users, 1))
    taste = rng.gamma(1 / CATEGORY_VARIANCE, CATEGORY_VARIANCE, (users, CATEGORIES)) - 1
    affinity = np.maximum(level + taste, 0)
    shown = rng.geometric(1 / (1 + impressions), (users, CATEGORIES)) - 1
    user, category = (np.repeat(index.ravel(), shown.ravel()) for index in np.indices(shown.shape))
    rate = rng.uniform(0.02, 0.2, user.size)
    engaged = rng.uniform(size=user.size) < np.minimum(rate * affinity[user, category], 1)
    residual = engaged - rate

    def summed(values: Array) -> Array:
        flat = np.bincount(user * CATEGORIES + category, values, users * CATEGORIES)
        return flat.reshape(users, CATEGORIES).astype(float)

    return World(
        affinity,
        summed(engaged.astype(float)),
        summed(rate),
        summed(rate * (1 - rate)),
        summed(residual**2),
        summed(rate**2),
    )


def variances(world: World, own: bool = True) -> tuple[float, float]:
    """User and category variance: with an impression's own products taken out, or with V in their place."""
    residual, expected = world.observed - world.expected, world.expected
    between = ((residual.sum(1) ** 2).sum() - (residual**2).sum()) / (
        (expected.sum(1) ** 2).sum() - (expected**2).sum()
    )
    if own:
        both = ((residual**2).sum() - world.own_residuals.sum()) / ((expected**2).sum() - world.own_expected.sum())
    else:
        both = ((residual**2).sum() - world.variance.sum()) / (expected**2).sum()
    user = max(between, 0.0)
    return user, max(both - user, 0.0)


def estimates(world: World, user: float, category: float) -> tuple[Array, Array]:
    """Affinities and their lower bounds."""
    expected = world.expected
    below = category * expected**2 + world.variance
    precision = np.divide(expected**2, below, out=np.zeros_like(below), where=below > 0)
    measured = np.divide(expected * world.observed, below, out=np.zeros_like(below), where=below > 0)
    sums = precision.sum(1, keepdims=True)
    mean = np.divide(measured.sum(1, keepdims=True), sums, out=np.ones_like(sums), where=sums > 0)
    believed = user * sums / (user * sums + 1)
    z = category * precision
    affinity = category * measured + (1 - z) * (1 + believed * (mean - 1))
    ninth = (category * (1 - z) + (1 - z) ** 2 * user * (1 - believed)) / (9 * affinity**2)
    return affinity, affinity * np.maximum(1 - ninth - 1.6448536269514722 * np.sqrt(ninth), 0) ** 3


def precision_table(rng: np.random.Generator) -> None:
    """The errors of the fitted variances, by number of users and by the term that is taken out."""
    say("users  impressions  own: user  category      V: user  category   (root mean square error, 200 worlds)")
    for users in (20, 100, 1000):
        for impressions in (3.0, 20.0):
            errors = []
            for _ in range(200):
                world = simulate(rng, users, impressions)
                truth = np.array([USER_VARIANCE, CATEGORY_VARIANCE] * 2)
                errors.append([*variances(world), *variances(world, own=False)] - truth)
            rms = np.sqrt(np.mean(np.square(errors), axis=0))
            bias = np.mean(errors, axis=0)
            say(
                f"{users:5d}  {impressions:11.0f}  "
                + "  ".join(f"{r:.3f} ({b:+.3f})" for r, b in zip(rms, bias, strict=True))
            )


def error_curves(rng: np.random.Generator) -> list[tuple[float, float, float, float, float]]:
    """By expected engagements: the errors of the raw ratio, "average" and the estimate, and the misses of the bound."""
    world = simulate(rng, 50_000, 20.0)
    user, category = variances(world)
    affinity, bound = estimates(world, user, category)
    say(f"\nvariances found of {len(affinity):,} users: {user:.3f}, {category:.3f}")
    say("expected  pairs    raw    average  estimate  below the bound")
    edges = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8]
    curves = []
    for low, high in pairwise(edges):
        of = (world.expected >= low) & (world.expected < high)
        truth = world.affinity[of]

        def rms(guess: Array | float, truth: Array = truth) -> float:
            return float(np.sqrt(np.mean((guess - truth) ** 2)))

        middle = float(world.expected[of].mean())
        row = (middle, rms(world.observed[of] / world.expected[of]), rms(1.0), rms(affinity[of]))
        missed = float((truth < bound[of]).mean())
        say(f"{middle:8.2f}  {of.sum():6d}  {row[1]:5.2f}  {row[2]:7.2f}  {row[3]:8.2f}  {missed:8.1%}")
        curves.append((*row, missed))
    return curves


def draw(curves: list[tuple[float, float, float, float, float]], path: Path) -> None:
    """Root mean square errors over expected engagements, as SVG."""
    width, height, left, bottom, top, right = 640, 360, 60, 50, 20, 150
    low, high, most = np.log10(curves[0][0]), np.log10(curves[-1][0]), 2.5

    def x(value: float) -> float:
        return left + float((np.log10(value) - low) / (high - low)) * (width - left - right)

    def y(value: float) -> float:
        return height - bottom - min(value, most) / most * (height - bottom - top)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-labelledby="title" font-family="sans-serif" font-size="12">',
        '<title id="title">Error of three estimates of affinity by expected engagements</title>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for tick in (0.0, 0.5, 1.0, 1.5, 2.0, 2.5):
        lines.append(
            f'<path d="M{left} {y(tick):.1f}H{width - right}" stroke="#ddd"/>'
            f'<text x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    for tick in (0.1, 0.3, 1.0, 3.0):
        lines.append(f'<text x="{x(tick):.1f}" y="{height - bottom + 18}" text-anchor="middle">{tick:g}</text>')
    middle = (left + width - right) / 2
    lines.append(f'<text x="{middle}" y="{height - 10}" text-anchor="middle">expected engagements E (log scale)</text>')
    lines.append(
        f'<text transform="translate(16 {height / 2}) rotate(-90)" text-anchor="middle">root mean square error</text>'
    )
    for column, name, colour in (
        (1, "raw ratio O/E", "#b33"),
        (2, "everybody average", "#888"),
        (3, "affinity", "#157"),
    ):
        points = " ".join(f"{x(row[0]):.1f},{y(row[column]):.1f}" for row in curves if row[column] <= most)
        last = curves[-1]
        lines.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        shift = {1: -6, 2: 4, 3: 12}[column]
        lines.append(f'<text x="{x(last[0]) + 8:.1f}" y="{y(last[column]) + shift:.1f}" fill="{colour}">{name}</text>')
    path.write_text("\n".join([*lines, "</svg>", ""]))


if __name__ == "__main__":
    generator = np.random.default_rng(2026)
    precision_table(generator)
    draw(error_curves(generator), PICTURE)
    say(f"\nwrote {PICTURE.name}")
