"""Groups findings: partitions that fail the same expectation in the same way are one block.

If all 720 hours of a build fail in the same way, the reader sees one block with one range, not 720 findings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from feedmill.checks.findings import SAMPLES, Finding, Verdict, different
from feedmill.checks.suite import Expectation, Severity, Suite

_SAMPLES_TOGETHER = 8
"""How many failing rows a block of several partitions shows."""

EXAMPLES = 5
"""How many partitions of a block are named with their own numbers."""


@dataclass(frozen=True)
class Block:
    """One expectation, and the partitions that fail it in the same way, in the order of time."""

    expectation: Expectation
    verdicts: tuple[Verdict, ...]
    findings: tuple[Finding, ...]
    """One for each of the verdicts."""

    @property
    def severity(self) -> Severity:
        """That of all its findings."""
        return self.findings[0].severity

    @property
    def notes(self) -> str:
        """What to do, from the suite."""
        return self.findings[0].notes

    @property
    def rows(self) -> int:
        """Rows of its partitions, failing or not."""
        return sum(verdict.rows for verdict in self.verdicts)

    @property
    def failing(self) -> int | None:
        """Failing rows in all of its partitions; None if the expectation is not about single rows."""
        return sum(f.unexpected_count or 0 for f in self.findings) if self._by_rows else None

    @property
    def message(self) -> str:
        """What is wrong with all of them: ``12,240 rows have a negative duration_ms``."""
        if len({finding.message for finding in self.findings}) == 1 and (len(self.findings) == 1 or not self._by_rows):
            return self.findings[0].message
        if self._by_rows:
            return self.expectation.kind.complain(self.failing, None)
        return self.findings[0].message if self.findings[0].is_error else self.expectation.kind.deny()

    @property
    def observed(self) -> Any:
        """The found value, as in a finding; of several numbers, the smallest and the largest. None if neither fits."""
        if len(self.findings) == 1:
            return self.findings[0].observed
        if self._by_rows:
            return different(list(chain.from_iterable(f.observed or [] for f in self.findings)))
        found = [finding.observed for finding in self.findings]
        if all(value == found[0] for value in found):
            return found[0]
        if all(isinstance(value, int | float) for value in found):
            return [min(found), max(found)]
        return None

    @property
    def samples(self) -> list[dict[str, Any]]:
        """Some failing rows, of different partitions where there are several."""
        if len(self.findings) == 1:
            return list(self.findings[0].samples)
        # In turns: one row of each partition first.
        turns = zip_longest(*(finding.samples for finding in self.findings[:SAMPLES]))
        return [sample for sample in chain.from_iterable(turns) if sample is not None][:_SAMPLES_TOGETHER]

    @property
    def examples(self) -> list[tuple[Verdict, Finding]]:
        """The partitions with the most failing rows, or the first ones; none if all have the same message."""
        if len({finding.message for finding in self.findings}) == 1:
            return []
        pairs = list(zip(self.verdicts, self.findings, strict=True))
        pairs.sort(key=lambda pair: -(pair[1].unexpected_count or 0))
        return pairs[:EXAMPLES]

    @property
    def _by_rows(self) -> bool:
        return self.findings[0].unexpected_count is not None


def blocks(suite: Suite, verdicts: Sequence[Verdict]) -> list[Block]:
    """All findings of these verdicts, in as few blocks as there are different ones; critical ones first."""
    found: dict[tuple[str, str, str], list[tuple[Verdict, Finding]]] = {}
    for verdict in sorted(verdicts, key=lambda verdict: verdict.partition):
        for finding in verdict.findings:
            found.setdefault((finding.expectation, finding.severity, _shape(finding)), []).append((verdict, finding))
    order = [expectation.id for expectation in suite.expectations]
    made = [
        Block(suite[expectation], tuple(v for v, _ in pairs), tuple(f for _, f in pairs))
        for (expectation, _, _), pairs in found.items()
    ]
    # In the order of the suite, not of time, because a reader compares the blocks with the suite's file.
    return sorted(made, key=lambda block: (block.severity != "critical", order.index(block.expectation.id)))


def _shape(finding: Finding) -> str:
    """What two findings of one expectation have in common, if they say the same with other numbers."""
    if finding.is_error:
        return re.sub(r"\d+", "#", finding.message)
    if finding.unexpected_count is not None:
        return "rows"
    # Nothing at all (no rows, or no values for a mean) is a different failure than too little.
    return "a value" if finding.observed else "nothing"
