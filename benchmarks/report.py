"""docs/benchmarks.md and the README's table, from the JSON files of the last measurements."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

from benchmarks import QUESTIONS, measure
from benchmarks.measure import PROJECT, Result, Row

DOCUMENT = PROJECT / "docs" / "benchmarks.md"
README = PROJECT / "README.md"
BEGIN, END = "<!-- benchmarks -->", "<!-- /benchmarks -->"

IN_README = ("parse", "build", "transforms", "ranges", "latency")
"""The questions whose headline the README shows. There are only five rows, so that people read them."""

HEAD = """# Benchmarks

Written by `make bench`; do not edit. `make bench ONLY=parse` measures one question again.

A value is the median of at least seven samples. The brackets hold the distribution-free 95 % interval of the median
(with seven samples: the smallest and the largest). Compared things were measured in turns, A B A B …, and a ratio is
the median of the ratios of neighbours. Read ratios rather than seconds: the seconds belong to this machine.
"""


def document(small: bool = False) -> str:
    """The whole page; a question that was never measured is named as such."""
    parts = [HEAD, "## Goals\n\n" + _table([row for name in QUESTIONS for row in _goals(name, small)], goals=True)]
    for name in QUESTIONS:
        module, result = _module(name), measure.load(name, small)
        title, _, text = (module.__doc__ or "").strip().partition("\n")
        parts.append(f"## {title.rstrip('.')}\n{text}\n")
        if result is None:
            parts.append(f"Not measured: `make bench ONLY={name}`.\n")
            continue
        parts.append(_table(module.rows(result)) + f"\n{_when(result)}\n")
    return "\n".join(parts)


def readme(text: str, small: bool = False) -> str:
    """The README with a new table between the markers.

    Raises:
        ValueError: the markers are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md lacks the markers {BEGIN} and {END}")
    rows = [row for name in IN_README for row in _headlines(name, small)]
    return f"{before}{BEGIN}\n{_table(rows)}{END}{after}"


def write() -> None:
    """Both files."""
    DOCUMENT.write_text(document())
    README.write_text(readme(README.read_text()))


def _headlines(name: str, small: bool) -> list[Row]:
    result = measure.load(name, small)
    if result is None:
        return [Row(f"{name}: `make bench ONLY={name}`", "not measured")]
    return [row for row in _module(name).rows(result) if row.headline]


def _goals(name: str, small: bool) -> list[Row]:
    result = measure.load(name, small)
    if result is None:
        return [Row(f"{name}: `make bench ONLY={name}`", "not measured")]
    return [row for row in _module(name).rows(result) if row.goal]


def _table(rows: list[Row], goals: bool = False) -> str:
    goals = goals or any(row.goal for row in rows)
    lines = ["| | measured |" + (" goal | met |" if goals else ""), "|---|---|" + ("---|---|" if goals else "")]
    for row in rows:
        met = "" if row.met is None else "yes" if row.met else "**no**"
        lines.append(f"| {row.what} | {row.value} |" + (f" {row.goal} | {met} |" if goals else ""))
    return "\n".join(lines) + "\n"


def _when(result: Result) -> str:
    facts = ", ".join(
        f"{value}" if name in ("memory", "system") else f"{name} {value}" for name, value in result.machine.items()
    )
    stolen = f"The hypervisor gave {result.stolen:.0%} of the processors' time to others."
    return f"Measured {result.measured_at[:10]}: {facts}. {stolen}"


def _module(name: str) -> ModuleType:
    return import_module(f"benchmarks.{name}")


if __name__ == "__main__":
    write()
    sys.stdout.write(f"{DOCUMENT.relative_to(PROJECT)} and the table in {README.name}\n")
