"""Samples, their medians and intervals, and the JSON files that hold them."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
RUNS = 7
"""Each arm has at least this many samples."""
CONFIDENCE = 0.95


@dataclass
class Result:
    """What one question's run measured."""

    name: str
    samples: dict[str, list[float]]
    """The samples by measurement, in the order in which they were taken. They are seconds, unless the question's
    ``rows`` says otherwise. Samples with the same index were taken next to each other."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Sizes: rows, partitions, files."""
    small: bool = False
    measured_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    machine: dict[str, str] = field(default_factory=lambda: machine())
    stolen: float = 0.0
    """The share of the processors' time that the hypervisor gave to others meanwhile."""


@dataclass(frozen=True)
class Row:
    """One line of a table: the measurement, its value with its interval, the goal, and whether it is met."""

    what: str
    value: str
    goal: str = ""
    met: bool | None = None
    headline: bool = False
    """Whether the README shows it too."""


def machine() -> dict[str, str]:
    """The facts about the machine that the figures depend on, without names."""
    import psutil

    found = {
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GB",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
    }
    packages = ("apache-airflow", "pyspark", "pyiceberg", "great-expectations", "duckdb", "polars")
    for package in packages:
        with suppress(ImportError):
            found[package] = version(package)
    return found


_deadline = float("inf")


def rounds(small: bool, warm: int = 1) -> Iterator[int]:
    """Numbers of rounds: negative for the ``warm`` ones, which do not count; a small run has one. Ends early where
    --minutes are over.
    """
    for number in range(1) if small else range(-warm, RUNS):
        if number > 0 and time.monotonic() > _deadline:
            say(f"  stopped before round {number + 1} of {RUNS}; --more adds to what was measured")
            return
        yield number


def interleaved(
    arms: Mapping[str, Callable[[], Any]], small: bool, processor: Callable[[], float] | None = None
) -> dict[str, list[float]]:
    """Seconds of each arm, taken in turns, A B A B …, so that other work of the machine slows all arms alike.

    An arm that returns a float has timed itself. If ``processor`` is given, it reads processor seconds, and each arm's
    are in ``<arm>: CPU``.
    """
    samples: dict[str, list[float]] = {name: [] for name in arms}
    for number in rounds(small):
        for name, work in arms.items():
            clock, used = time.perf_counter(), processor() if processor else 0.0
            own = work()
            taken = {name: own if isinstance(own, float) else time.perf_counter() - clock}
            if processor:
                taken[f"{name}: CPU"] = processor() - used
            say(f"  {number + 1} " + ", ".join(f"{what}: {seconds:.3f} s" for what, seconds in taken.items()))
            for what, seconds in taken.items() if number >= 0 else ():
                samples.setdefault(what, []).append(seconds)
    return samples


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """The ratios of samples that were taken next to each other."""
    return [a / b for a, b in zip(above, below, strict=True)]


def interval(samples: Sequence[float]) -> tuple[float, float] | None:
    """The distribution-free interval of the median, from order statistics; None if there are fewer than six samples."""
    from scipy.stats import quantile_test

    found = quantile_test(samples, q=0, p=0.5).confidence_interval(CONFIDENCE)
    return None if found.low != found.low else (float(found.low), float(found.high))


def shown(samples: Sequence[float], unit: str = "s", scale: float = 1.0) -> str:
    """The median with its interval: ``3.1 s [2.9, 3.4]``."""
    values = [sample * scale for sample in samples]
    digits = _digits(median(values))
    found = interval(values)
    text = f"{median(values):,.{digits}f}" + (f" {unit}" if unit else "")
    return text if found is None else f"{text} [{found[0]:,.{digits}f}, {found[1]:,.{digits}f}]"


def _digits(value: float) -> int:
    """The value with three significant digits; such samples justify no more."""
    return 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2


def folder(small: bool = False) -> Path:
    """The folder of the JSON files. The project keeps them, so that one question can be measured again alone."""
    own = PROJECT / ".feedmill" / "benchmarks" if small else PROJECT / "benchmarks" / "results"
    return Path(os.environ.get("FEEDMILL_BENCHMARKS") or own)


def save(result: Result) -> Path:
    """Write the result's file; a small one never replaces a measurement."""
    path = folder(result.small) / f"{'small-' if result.small else ''}{result.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(result), indent=1) + "\n")
    return path


def load(name: str, small: bool = False) -> Result | None:
    """The newest result of a question, or None if it was never measured."""
    path = folder(small) / f"{'small-' if small else ''}{name}.json"
    return Result(**json.loads(path.read_text())) if path.exists() else None


def say(line: str) -> None:
    """One line of progress."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def command(name: str, measure: Callable[[bool], Result], rows: Callable[[Result], list[Row]]) -> None:
    """``python -m benchmarks.<name>``: measure, save, and print what it means."""
    global _deadline
    import psutil

    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--small", action="store_true", help="tiny sizes, seconds: shows that it runs")
    parser.add_argument("--minutes", type=float, help="begin no further round after so many")
    parser.add_argument("--more", action="store_true", help="add the samples to those of the same sizes and machine")
    given = parser.parse_args()
    # The signal of a time-out must stop the servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    clock, before = time.monotonic(), psutil.cpu_times()
    if given.minutes:
        _deadline = clock + 60 * given.minutes
    result = measure(given.small)
    after = psutil.cpu_times()
    spent = {field: getattr(after, field) - getattr(before, field) for field in after._fields}
    result.stolen = spent.get("steal", 0.0) / sum(spent.values())
    earlier = load(name, given.small) if given.more else None
    if earlier is not None:
        result = merged(earlier, result)
    path = save(result)
    for row in rows(result):
        say(f"{row.what}: {row.value}" + (f"  (goal: {row.goal})" if row.goal else ""))
    say(f"{path.name}: {time.monotonic() - clock:.0f} s, {result.stolen:.0%} stolen")


def merged(earlier: Result, later: Result) -> Result:
    """The samples of both.

    Raises:
        ValueError: they are not of the same sizes and machine.
    """
    if (earlier.facts, earlier.machine) != (later.facts, later.machine):
        raise ValueError(f"{later.name}: sizes or machine are not those of the earlier samples; measure without --more")
    shares = [(sum(map(len, r.samples.values())), r.stolen) for r in (earlier, later)]
    later.stolen = sum(count * share for count, share in shares) / sum(count for count, _ in shares)
    later.samples = {name: earlier.samples.get(name, []) + taken for name, taken in later.samples.items()}
    return later
