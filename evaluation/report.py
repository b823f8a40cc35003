"""Pages of docs/evaluation/: Markdown tables and SVG plots, written by the run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.data import PROJECT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDER = PROJECT / "docs" / "evaluation"

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's colours, which colour-blind readers can tell apart."""


class Page:
    """One page; ``write`` puts it below docs/evaluation."""

    def __init__(self, name: str, title: str) -> None:
        self.name = name
        self.parts = [f"# {title}", "Written by `make evaluate`; do not edit."]

    def text(self, *paragraphs: str) -> None:
        """Paragraphs of Markdown."""
        self.parts += paragraphs

    def head(self, title: str) -> None:
        """A heading of the second level."""
        self.parts.append(f"## {title}")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table of texts."""
        lines = [" | ".join(columns), " | ".join("---" for _ in columns), *(" | ".join(row) for row in rows)]
        self.parts.append("\n".join(f"| {line} |" for line in lines))

    def plot(self, name: str, axes: Axes, caption: str) -> None:
        """A figure beside the page, as SVG that is the same for the same numbers."""
        import matplotlib.pyplot as plt

        FOLDER.mkdir(parents=True, exist_ok=True)
        file = f"{self.name}-{name}.svg"
        figure = axes.get_figure()
        figure.savefig(FOLDER / file, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
        plt.close("all")
        path = FOLDER / file
        path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")
        self.parts.append(f"![{caption}]({file})\n\n{caption}")

    def write(self) -> Path:
        """Write it; the path."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        path = FOLDER / f"{self.name}.md"
        path.write_text("\n\n".join(self.parts) + "\n")
        return path


def axes(width: float = 6.0, height: float = 4.5) -> Axes:
    """Empty axes for a plot, without decoration."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "feedmill", "svg.fonttype": "none", "font.size": 10})
    import matplotlib.pyplot as plt

    _, drawn = plt.subplots(figsize=(width, height))
    for side in ("top", "right"):
        drawn.spines[side].set_visible(False)
    drawn.grid(alpha=0.3)
    return drawn
