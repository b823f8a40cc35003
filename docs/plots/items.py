"""Draws the plots of docs/popularity.md and docs/trending.md: `.venv/bin/python docs/plots/items.py`.

Plain SVG, so that a change of a constant shows as a small difference, and no plotting library is needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from math import log10
from pathlib import Path

from scipy.stats import gamma

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from include.spark.features.item_trending import PROBABILITY, SCORE, SPREAD  # noqa: E402

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 320, 56, 44, 30, 130
COLOURS = ("#4063d8", "#389826", "#cb3c33")

Curve = tuple[str, Callable[[float], float], str]


def popularity(impressions: float, ratio: float = 2.0, rate: float = 0.1, variance: float = 0.1) -> tuple[float, float]:
    """Popularity and its bound of an item with that O/E, in a category whose mean is 1 and known."""
    expected = impressions * rate
    noise = expected * (1 - rate)
    z = variance * expected**2 / (variance * expected**2 + noise)
    estimate = z * ratio + 1 - z
    spread = (1 - z) * variance
    return estimate, float(gamma.ppf(PROBABILITY, estimate**2 / spread, scale=spread / estimate))


def score(ratio: float, expected: float, variance: float = SPREAD) -> float:
    """The exact 5 % quantile for that ratio of observed to expected."""
    return float(gamma.ppf(PROBABILITY, 1 / variance + ratio * expected, scale=1 / (1 / variance + expected)))


def chart(title: str, x_label: str, x: tuple[float, float], y_max: float, curves: Sequence[Curve], mark: float) -> str:
    """Curves over a logarithmic axis; ``mark`` is a dashed level."""

    def place(value: float, level: float) -> tuple[float, float]:
        share = (log10(value) - log10(x[0])) / (log10(x[1]) - log10(x[0]))
        return (
            LEFT + share * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - level / y_max * (HEIGHT - BOTTOM - TOP),
        )

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="18" font-weight="bold">{title}</text>',
    ]
    for level in range(int(y_max) + 1):
        (left, y), (right, _) = place(x[0], level), place(x[1], level)
        lines.append(f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="#ddd"/>')
        lines.append(f'<text x="{left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{level}</text>')
    tick = x[0]
    while tick <= x[1] * 1.001:
        across, down = place(tick, 0)
        lines.append(f'<text x="{across:.1f}" y="{down + 18:.1f}" text-anchor="middle">{tick:g}</text>')
        tick *= 10
    lines.append(f'<text x="{LEFT}" y="{HEIGHT - 8}">{x_label}</text>')
    (left, y), (right, _) = place(x[0], mark), place(x[1], mark)
    lines.append(f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="#888" stroke-dasharray="4 3"/>')
    for number, (name, curve, style) in enumerate(curves):
        values = [x[0] * (x[1] / x[0]) ** (step / 120) for step in range(121)]
        points = [place(value, min(curve(value), y_max)) for value in values]
        path = "L".join(f"{across:.1f} {down:.1f}" for across, down in points)
        colour = COLOURS[number % len(COLOURS)]
        lines.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2" {style}/>')
        lines.append(f'<text x="{points[-1][0] + 6:.1f}" y="{points[-1][1] + 4:.1f}" fill="{colour}">{name}</text>')
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    """Write both plots beside this file."""
    (HERE / "popularity.svg").write_text(
        chart(
            "Popularity of an item engaged with twice as often as expected",
            "impressions (expected rate 0.1, variance between items 0.1)",
            (1, 10_000),
            2,
            [
                ("popularity", lambda n: popularity(n)[0], ""),
                ("5 % bound", lambda n: popularity(n)[1], 'stroke-dasharray="6 3"'),
            ],
            1,
        )
    )
    (HERE / "trending.svg").write_text(
        chart(
            "Trend score (EB05) by observed/expected",
            f"observed/expected (prior variance {SPREAD:g}; dashed: the threshold)",
            (1, 10),
            6,
            [(f"expected {e}", lambda ratio, e=e: score(ratio, e), "") for e in (1, 10, 100)],
            SCORE,
        )
    )


if __name__ == "__main__":
    main()
