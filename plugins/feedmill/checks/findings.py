"""Verdicts and findings: what a check says about each partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from feedmill.checks.suite import Expectation, Severity
from feedmill.printable import printable

SAMPLES = 20
"""Failing rows kept per finding."""

_CANNOT = "cannot judge"


@dataclass(frozen=True)
class Finding:
    """One expectation that one partition does not meet. Everything in it is JSON-safe and printable."""

    expectation: str
    """The expectation's id in its suite."""
    type: str
    severity: Severity
    """The expectation's own, or critical where judging it raised an error."""
    columns: tuple[str, ...]
    message: str
    """What is wrong, for a sentence after the partition's name: ``17 rows have a negative duration_ms``."""
    observed: Any
    """The aggregate found, or up to five different failing values."""
    unexpected_count: int | None
    """Failing rows; None where the expectation is about all rows together, or raised an error."""
    samples: tuple[dict[str, Any], ...]
    """Up to :data:`SAMPLES` failing rows, the expectation's columns first."""
    notes: str
    """What to do, from the suite."""

    @property
    def is_error(self) -> bool:
        """The expectation could not be judged."""
        return self.message.startswith(_CANNOT)


@dataclass(frozen=True)
class Verdict:
    """Whether one partition of a build may be published."""

    partition: datetime
    passed: bool
    """No finding is critical."""
    rows: int
    findings: tuple[Finding, ...]


def about_rows(expectation: Expectation, count: int, samples: tuple[dict[str, Any], ...]) -> Finding:
    """So many rows fail it; some of them are the samples."""
    values = different([_value(sample, expectation) for sample in samples])
    return _finding(expectation, expectation.kind.complain(count, values), values, count, samples)


def about_all(expectation: Expectation, observed: Any) -> Finding:
    """All rows together fail it."""
    return _finding(expectation, expectation.kind.complain(None, observed), observed, None, ())


def about_error(expectation: Expectation, error: str) -> Finding:
    """It cannot be judged; this is critical, whatever the suite says."""
    return _finding(expectation, f"{_CANNOT} {expectation.id}: {error}", None, None, (), "critical")


def different(values: Sequence[Any]) -> list[Any]:
    """Up to five different values, without null."""
    found: list[Any] = []
    for value in values:
        if value is not None and value not in found and len(found) < 5:
            found.append(value)
    return found


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list | tuple):
        return type(value)(map(_printable, value))
    if isinstance(value, dict):
        return {printable(key): _printable(entry) for key, entry in value.items()}
    return value


def _value(sample: dict[str, Any], expectation: Expectation) -> Any:
    found = [sample.get(name) for name in expectation.columns]
    return found[0] if len(found) == 1 else found


def _finding(
    expectation: Expectation,
    message: str,
    observed: Any,
    count: int | None,
    samples: tuple[dict[str, Any], ...],
    severity: Severity | None = None,
) -> Finding:
    return Finding(
        expectation=expectation.id,
        type=expectation.type,
        severity=severity or expectation.severity,
        columns=expectation.columns,
        message=printable(message),
        observed=_printable(observed),
        unexpected_count=count,
        samples=_printable(samples),
        notes=expectation.notes,
    )
