"""The page of a check: what failed, why, whose it is, and what to do next; one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feedmill.checks import query, words
from feedmill.checks.judge import Finding, Verdict
from feedmill.checks.suite import Suite
from feedmill.spec import Maintainer
from feedmill.timeline import Period, Range

if TYPE_CHECKING:
    from jinja2 import Template

PARTITIONS_SHOWN = 50
"""Partitions that are written out with their rows; of further ones the page gives the sentence only."""


@dataclass(frozen=True)
class Report:
    """One check of one build, as the page shows it."""

    table: str
    build: str
    """The build's id, without ``build_``."""
    range: Range
    partition_column: str
    maintainer: Maintainer
    suite: Suite
    verdicts: Sequence[Verdict]
    engine: str
    """``pandas`` or ``Spark``."""
    seconds: float
    """How long the check took."""
    checked_at: datetime
    catalog: str = "feedmill"


def sentence(verdicts: Sequence[Verdict], period: Period) -> str:
    """All verdicts in one sentence, for logs and alerts.

    ``167 of 168 partitions passed; 2026-05-01T13 is held: 17 rows have a negative duration_ms``. Up to three
    held partitions are named; warnings are mentioned only where nothing is held.
    """
    held = [verdict for verdict in verdicts if not verdict.passed]
    warned = [verdict for verdict in verdicts if verdict.passed and verdict.findings]
    total, passed = len(verdicts), len(verdicts) - len(held)
    head = f"{passed} of {total} partitions passed" if total != 1 else ("passed" if passed else "")
    if not held and not warned:
        return head if total == 1 else f"all {total} partitions passed"
    parts = [head] if head else []
    for verdict in held[:3]:
        parts.append(f"{period.name_of(verdict.partition)} is held: {_first(verdict)}")
    if len(held) > 3:
        parts.append(f"{len(held) - 3} more are held")
    if not held:
        more = "" if len(warned) == 1 else f" and {len(warned) - 1} more"
        parts.append(f"{period.name_of(warned[0].partition)}{more} with a warning: {_first(warned[0])}")
    return "; ".join(parts)


def render(report: Report) -> str:
    """The page. Whatever stands in the data is escaped."""
    held = [verdict for verdict in report.verdicts if not verdict.passed]
    warned = [verdict for verdict in report.verdicts if verdict.passed and verdict.findings]
    failed = held + warned
    return _template().render(
        report=report,
        sentence=sentence(report.verdicts, report.range.period),
        state="held" if held else "warned" if warned else "passed",
        held=[report.range.period.name_of(verdict.partition) for verdict in held],
        partitions=[_partition(report, verdict) for verdict in failed[:PARTITIONS_SHOWN]],
        rest=[
            (report.range.period.name_of(verdict.partition), _first(verdict)) for verdict in failed[PARTITIONS_SHOWN:]
        ],
        expectations=[_expectation(report, expectation.id) for expectation in report.suite.expectations],
        total=len(report.verdicts),
        passed=len(report.verdicts) - len(held),
        rows=sum(verdict.rows for verdict in report.verdicts),
        link=report.maintainer.link if report.maintainer.link.startswith(("https://", "http://", "mailto:")) else "",
        checked=f"{report.checked_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
    )


def _first(verdict: Verdict) -> str:
    """What is wrong with it: its first critical finding, and how many more there are."""
    critical = [finding for finding in verdict.findings if finding.severity == "critical"]
    findings = critical or list(verdict.findings)
    more = len(findings) - 1
    return findings[0].message + (f", and {more} more" if more else "")


def _partition(report: Report, verdict: Verdict) -> dict[str, Any]:
    findings = sorted(verdict.findings, key=lambda finding: finding.severity != "critical")
    return {
        "name": report.range.period.name_of(verdict.partition),
        "passed": verdict.passed,
        "rows": verdict.rows,
        "findings": [_finding(report, verdict, finding) for finding in findings],
    }


def _finding(report: Report, verdict: Verdict, finding: Finding) -> dict[str, Any]:
    expectation = report.suite[finding.expectation]
    columns = list(dict.fromkeys(name for sample in finding.samples for name in sample))
    sql = query.failing_rows(
        expectation,
        report.table,
        report.build,
        verdict.partition,
        report.partition_column,
        report.range.period,
        report.catalog,
    )
    return {
        "finding": finding,
        "message": finding.message[:1].upper() + finding.message[1:],
        "expected": words.describe(expectation),
        "observed": None if finding.observed in (None, []) else words.value(finding.observed),
        "columns": columns,
        "rows": [
            [(_cell(sample.get(name)), name in finding.columns) for name in columns] for sample in finding.samples
        ],
        "numeric": {name for name in columns if _numeric(finding.samples, name)},
        "query": sql,
        "command": query.on_command_line(sql, report.table, report.build, report.catalog),
    }


def _expectation(report: Report, expectation_id: str) -> dict[str, Any]:
    expectation = report.suite[expectation_id]
    failed = sum(any(f.expectation == expectation_id for f in verdict.findings) for verdict in report.verdicts)
    return {"expectation": expectation, "words": words.describe(expectation), "failed": failed}


def _cell(value: Any) -> str | None:
    """A sample's value as it stands in the row: numbers ungrouped, so that they can be copied into a query."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return words.value(value) if isinstance(value, list | dict) else str(value)


def _numeric(samples: Sequence[dict[str, Any]], name: str) -> bool:
    values = [sample[name] for sample in samples if sample.get(name) is not None]
    return bool(values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html")
