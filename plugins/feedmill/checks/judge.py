"""Verdicts: each partition of a build judged by its table's suite, with Great Expectations.

Both engines judge alike: small ranges in pandas, large ones in Spark. On both:

- NaN counts as null. Expectations on values pass over nulls, and those on pairs and sums over rows where one
  of the columns is null: only ``expect_column_values_to_not_be_null`` says whether nulls are allowed.
- A partition without rows has nothing to judge but the table's columns and its row count.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from feedmill.checks.engine import Rows
from feedmill.checks.engine_pandas import PandasRows
from feedmill.checks.engine_spark import SparkRows
from feedmill.checks.findings import Finding, Verdict, about_error
from feedmill.checks.gx import Gx, quiet
from feedmill.checks.suite import Expectation, Suite

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame as SparkFrame


def judge(
    suite: Suite, frame: pd.DataFrame | SparkFrame, partitions: Sequence[datetime], partition_column: str
) -> list[Verdict]:
    """One verdict per partition, in the order given; partitions without rows included.

    ``frame`` is a pandas frame (see :func:`~feedmill.checks.engine_pandas.frame_from_arrow`) or a Spark one; rows of
    other partitions are left out. The partition column holds timestamps (naive ones are UTC) or dates. An expectation
    that cannot be judged, for a missing column for example, becomes a critical finding.

    Raises:
        ValueError: the frame has no partition column, so that no row can be assigned.
    """
    if partition_column not in frame.columns:
        raise ValueError(f"the rows have no partition column {partition_column}; they have {', '.join(frame.columns)}")
    import pandas as pd

    with quiet():
        rows: Rows
        if isinstance(frame, pd.DataFrame):
            rows = PandasRows(frame, partitions, partition_column)
        else:
            rows = SparkRows(frame, partitions, partition_column)
        return _judge(suite, rows, partitions)


def _judge(suite: Suite, rows: Rows, partitions: Sequence[datetime]) -> list[Verdict]:
    findings: dict[str, dict[datetime, Finding]] = {e.id: {} for e in suite.expectations}
    values: list[Expectation] = []
    engine = Gx.pandas()
    for expectation in suite.expectations:
        if expectation.kind.scope == "row count":
            by_count = _by_count(engine, expectation, sorted({rows.counts[partition] for partition in partitions}))
            found = {partition: by_count[rows.counts[partition]] for partition in partitions}
            findings[expectation.id] = {p: finding for p, finding in found.items() if finding is not None}
        elif expectation.kind.scope == "shape":
            if (finding := _by_columns(engine, expectation, rows.columns)) is not None:
                findings[expectation.id] = dict.fromkeys(partitions, finding)
        elif missing := [name for name in expectation.columns if name not in rows.columns]:
            error = about_error(expectation, f"there is no column {', '.join(missing)}")
            findings[expectation.id] = dict.fromkeys(partitions, error)
        else:
            values.append(expectation)

    everywhere = {partition: values for partition, count in rows.counts.items() if count}
    for partition, found_here in rows.each(rows.doubtful(values) if len(partitions) > 1 else everywhere):
        for finding in found_here:
            findings[finding.expectation][partition] = finding

    verdicts = []
    for partition in partitions:
        own = tuple(findings[e.id][partition] for e in suite.expectations if partition in findings[e.id])
        passed = all(finding.severity != "critical" for finding in own)
        verdicts.append(Verdict(partition, passed, rows.counts[partition], own))
    return verdicts


def _by_columns(engine: Gx, expectation: Expectation, columns: Sequence[str]) -> Finding | None:
    """What is wrong with the columns; a frame without rows shows them."""
    import pandas as pd

    return engine.finding(pd.DataFrame(columns=list(columns)), expectation)


def _by_count(engine: Gx, expectation: Expectation, counts: Sequence[int]) -> dict[int, Finding | None]:
    """What is wrong with each number of rows; between two that meet an expectation, all do."""
    import pandas as pd

    # Counted already: GX judges the number on a frame that has that many rows and no columns.
    ends = {n: engine.finding(pd.DataFrame(index=pd.RangeIndex(n)), expectation) for n in {*counts[:1], *counts[-1:]}}
    if len(counts) <= 2 or not any(ends.values()):
        return dict.fromkeys(counts) | ends
    middle = len(counts) // 2
    halves = counts[: middle + 1], counts[middle:]
    return ends | {n: finding for half in halves for n, finding in _by_count(engine, expectation, half).items()}
