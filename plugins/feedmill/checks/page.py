"""The page of a check: what failed, why, who maintains the table, and what to do. It is one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feedmill.checks import words
from feedmill.checks.blocks import Block, blocks
from feedmill.checks.findings import Verdict
from feedmill.checks.query import Branch
from feedmill.checks.suite import Expectation, Suite
from feedmill.spec import Maintainer
from feedmill.timeline import Period, Range, runs

if TYPE_CHECKING:
    from jinja2 import Template

RANGES_SHOWN = 6
"""How many ranges of a block the page shows at once. It folds further ones."""


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

    @property
    def branch(self) -> Branch:
        """The branch that was judged."""
        return Branch(self.table, self.build, self.partition_column, self.range.period, self.catalog)


def sentence(verdicts: Sequence[Verdict], period: Period) -> str:
    """All verdicts in one sentence, for logs and alerts.

    ``167 of 168 partitions passed; 2026-05-01T13 is held: 17 rows have a negative duration_ms``. It names up to
    three held partitions, and mentions warnings only if nothing is held.
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
        parts.append("1 more is held" if len(held) == 4 else f"{len(held) - 3} more are held")
    if not held:
        more = "" if len(warned) == 1 else f" and {len(warned) - 1} more"
        parts.append(f"{period.name_of(warned[0].partition)}{more} with a warning: {_first(warned[0])}")
    return "; ".join(parts)


def render(report: Report) -> str:
    """The page. Text from the data is escaped."""
    period = report.range.period
    held = [verdict for verdict in report.verdicts if not verdict.passed]
    warned = [verdict for verdict in report.verdicts if verdict.passed and verdict.findings]
    found = blocks(report.suite, report.verdicts)
    return _template().render(
        report=report,
        sentence=sentence(report.verdicts, period),
        state="held" if held else "warned" if warned else "passed",
        held=[period.name_of(verdict.partition) for verdict in held],
        held_ranges=_ranges(held, period),
        blocks=[_block(report, block) for block in found],
        expectations=[_expectation(report, expectation) for expectation in report.suite.expectations],
        total=len(report.verdicts),
        passed=len(report.verdicts) - len(held),
        rows=sum(verdict.rows for verdict in report.verdicts),
        shown=RANGES_SHOWN,
        link=report.maintainer.link if report.maintainer.link.startswith(("https://", "http://", "mailto:")) else "",
        checked=f"{report.checked_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
    )


def _first(verdict: Verdict) -> str:
    """What is wrong with the partition: its first critical finding, and how many more there are."""
    critical = [finding for finding in verdict.findings if finding.severity == "critical"]
    findings = critical or list(verdict.findings)
    more = len(findings) - 1
    return findings[0].message + (f", and {more} more" if more else "")


def _ranges(verdicts: Sequence[Verdict], period: Period) -> list[str]:
    return [str(span) for span in runs([verdict.partition for verdict in verdicts], period)]


def _block(report: Report, block: Block) -> dict[str, Any]:
    period = report.range.period
    samples = block.samples
    columns = list(dict.fromkeys(name for sample in samples for name in sample))
    sql = block.expectation.kind.query(report.branch.rows([verdict.partition for verdict in block.verdicts]))
    return {
        "severity": block.severity,
        "ranges": _ranges(block.verdicts, period),
        "partitions": len(block.verdicts),
        "total": block.rows,
        "message": block.message[:1].upper() + block.message[1:],
        "expected": block.expectation.kind.describe(),
        "observed": _observed(block),
        "notes": block.notes,
        "examples": [
            (period.name_of(verdict.partition), verdict.rows, finding.message) for verdict, finding in block.examples
        ],
        "worst": block.failing is not None,
        "failing": block.failing,
        "columns": columns,
        "marked": block.expectation.columns,
        "rows": [
            [(_cell(sample.get(name)), name in block.expectation.columns) for name in columns] for sample in samples
        ],
        "numeric": {name for name in columns if _numeric(samples, name)},
        "query": sql,
        "command": report.branch.on_command_line(sql),
    }


def _observed(block: Block) -> str | None:
    observed = block.observed
    if observed in (None, []):
        return None
    if block.failing is None and isinstance(observed, list) and isinstance(block.findings[0].observed, int | float):
        return f"{words.value(observed[0])} to {words.value(observed[1])}"
    return words.value(observed)


def _expectation(report: Report, expectation: Expectation) -> dict[str, Any]:
    failed = sum(any(f.expectation == expectation.id for f in verdict.findings) for verdict in report.verdicts)
    return {"expectation": expectation, "words": expectation.kind.describe(), "failed": failed}


def _cell(value: Any) -> str | None:
    """A sample's value as in the row. Digits are not grouped, so that numbers can be copied into a query."""
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
