"""What an engine does for the judge: it counts rows, doubts expectations, and judges partitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from feedmill.checks.findings import Finding
from feedmill.checks.suite import Expectation

PANDAS_ROWS = 2_000_000
"""At most this many rows are judged in pandas at a time; larger ranges are handed in as Spark frames."""

Doubtful = Mapping[datetime, list[Expectation]]
"""By partition that has rows, the expectations that must be judged there."""


class Rows(Protocol):
    """The rows of all partitions, on one engine."""

    columns: list[str]
    counts: dict[datetime, int]

    def doubtful(self, expectations: Sequence[Expectation]) -> Doubtful:
        """What is left to judge once all rows were looked at together; a range of one partition is not asked."""

    def each(self, doubtful: Doubtful) -> Iterator[tuple[datetime, list[Finding]]]:
        """For each partition, which of its doubtful expectations it does not meet; their columns must all exist."""
