"""Verdicts: each partition of a build judged by its table's suite, with Great Expectations.

Both engines judge alike: small ranges in pandas, large ones in Spark, where only the passes over all rows
run in Spark and whatever must be looked at partition by partition comes to pandas in packs. On both:

- NaN counts as null. Expectations on values pass over nulls, and those on pairs and sums over rows where one
  of the columns is null: whether nulls are allowed is said by ``expect_column_values_to_not_be_null`` alone.
- A partition without rows has nothing to judge but the table's columns and its row count.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import reduce
from itertools import combinations
from operator import and_, or_
from typing import TYPE_CHECKING, Any, Literal

from feedmill.checks import words
from feedmill.checks.suite import BOUNDS, Expectation, Severity, Suite

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyspark.sql import Column
    from pyspark.sql import DataFrame as SparkFrame

PANDAS_ROWS = 2_000_000
"""At most this many rows are judged in pandas at a time; larger ranges are handed in as Spark frames."""

SAMPLES = 20
"""Failing rows kept per finding."""

_FEW = 10_000
"""Failing rows of a range that are looked up, to judge their partitions alone; of more, all partitions are."""

_SAMPLE_COLUMNS = 14
_TEXT = 200

_UNIQUE = frozenset({"expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique"})

_WITHIN = "expect_select_column_values_to_be_unique_within_record"

# GX's own defaults judge rows with one null differently (pandas: the comparison is false, Spark: unknown).
_NULLS = {
    "expect_column_pair_values_a_to_be_greater_than_b": "either_value_is_missing",
    "expect_column_pair_values_to_be_equal": "either_value_is_missing",
    _WITHIN: "any_value_is_missing",
    "expect_multicolumn_sum_to_equal": "any_value_is_missing",
}


@dataclass(frozen=True)
class Finding:
    """One expectation that one partition does not meet. Everything in it is JSON-safe."""

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


@dataclass(frozen=True)
class Verdict:
    """Whether one partition of a build may be published."""

    partition: datetime
    passed: bool
    """No finding is critical."""
    rows: int
    findings: tuple[Finding, ...]


def judge(
    suite: Suite, frame: pd.DataFrame | SparkFrame, partitions: Sequence[datetime], partition_column: str
) -> list[Verdict]:
    """One verdict per partition, in the order given; partitions without rows included.

    ``frame`` is a pandas frame (see :func:`frame_from_arrow`) or a Spark one; rows of other partitions are
    left out. The partition column holds timestamps (naive ones are UTC) or dates. An expectation
    that cannot be judged, for a missing column for example, becomes a critical finding.

    Raises:
        ValueError: the frame has no partition column, so that no row can be assigned.
    """
    if partition_column not in frame.columns:
        raise ValueError(f"the rows have no partition column {partition_column}; they have {', '.join(frame.columns)}")
    import pandas as pd

    with _quiet():
        rows: _Rows
        if isinstance(frame, pd.DataFrame):
            rows = _PandasRows(frame, partitions, partition_column)
        else:
            rows = _SparkRows(frame, partitions, partition_column)
        return _judge(suite, rows, partitions)


def frame_from_arrow(table: pa.Table) -> pd.DataFrame:
    """Rows for :func:`judge` from what PyIceberg's ``scan.to_arrow()`` returns, without loss.

    pandas' own conversion would turn integers with nulls into floats, so that large ids collide. Nested
    values become tuples, which can be compared.
    """
    import pandas as pd
    import pyarrow as pa

    def convert(column: pa.ChunkedArray) -> Any:
        kind = column.type
        if pa.types.is_signed_integer(kind):
            # numpy's int64 where possible: GX judges any other integer type value by value in Python.
            dtype = {pa.int64(): pd.Int64Dtype()} if column.null_count else {}
            return column.cast(pa.int64()).to_pandas(types_mapper=dtype.get)
        if pa.types.is_boolean(kind) and column.null_count:
            return column.to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get)
        if pa.types.is_floating(kind):
            return column.cast(pa.float64()).to_pandas()
        if pa.types.is_decimal(kind) and kind.precision <= 15:
            # Exact as a float up to 15 digits, and compared with a suite's floats as Spark does:
            # Decimal("0.10") is below the float 0.1.
            # By way of text: Arrow's direct cast makes 5.10 the float next to 5.1.
            return column.cast(pa.string()).cast(pa.float64()).to_pandas()
        if pa.types.is_nested(kind):
            return pd.Series([_hashable(value) for value in column.to_pylist()], dtype=object)
        return column.to_pandas()

    columns = {name: convert(table.column(name)) for name in table.column_names}
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows), copy=False)


_Doubtful = dict[datetime, list[Expectation]]
"""By partition that has rows, the expectations that must be judged there."""


class _Rows:
    """The rows of all partitions, on one engine."""

    columns: list[str]
    counts: dict[datetime, int]

    def doubtful(self, expectations: Sequence[Expectation]) -> _Doubtful:
        """What is left to judge once all rows were looked at together; a range of one partition is not asked."""
        raise NotImplementedError

    def each(self, doubtful: _Doubtful) -> Iterator[tuple[datetime, list[Finding]]]:
        """What partitions do not meet of what they are doubted to; all expectations read columns that exist."""
        raise NotImplementedError


def _judge(suite: Suite, rows: _Rows, partitions: Sequence[datetime]) -> list[Verdict]:
    import pandas as pd

    findings: dict[str, dict[datetime, Finding]] = {e.id: {} for e in suite.expectations}
    values: list[Expectation] = []
    engine = _Gx.pandas()
    for expectation in suite.expectations:
        if expectation.type.startswith("expect_table_row_count"):
            by_count = _by_count(engine, expectation, sorted({rows.counts[partition] for partition in partitions}))
            for partition in partitions:
                if (finding := by_count[rows.counts[partition]]) is not None:
                    findings[expectation.id][partition] = finding
        elif expectation.type.startswith("expect_table_") or expectation.type == "expect_column_to_exist":
            if (finding := engine.finding(pd.DataFrame(columns=rows.columns), expectation)) is not None:
                findings[expectation.id] = dict.fromkeys(partitions, finding)
        elif missing := [name for name in expectation.columns if name not in rows.columns]:
            findings[expectation.id] = dict.fromkeys(
                partitions, _error(expectation, f"there is no column {', '.join(missing)}")
            )
        else:
            values.append(expectation)

    everywhere = {partition: values for partition, count in rows.counts.items() if count}
    for partition, found in rows.each(rows.doubtful(values) if len(partitions) > 1 else everywhere):
        for finding in found:
            findings[finding.expectation][partition] = finding

    verdicts = []
    for partition in partitions:
        own = tuple(findings[e.id][partition] for e in suite.expectations if partition in findings[e.id])
        passed = all(finding.severity != "critical" for finding in own)
        verdicts.append(Verdict(partition, passed, rows.counts[partition], own))
    return verdicts


def _by_count(engine: _Gx, expectation: Expectation, counts: Sequence[int]) -> dict[int, Finding | None]:
    """What is wrong with each number of rows; between two that meet an expectation, all do."""
    import pandas as pd

    # Counted already: GX judges the number on a frame that has that many rows and no columns.
    ends = {n: engine.finding(pd.DataFrame(index=pd.RangeIndex(n)), expectation) for n in {*counts[:1], *counts[-1:]}}
    if len(counts) <= 2 or not any(ends.values()):
        return dict.fromkeys(counts) | ends
    middle = len(counts) // 2
    halves = counts[: middle + 1], counts[middle:]
    return ends | {n: finding for half in halves for n, finding in _by_count(engine, expectation, half).items()}


class _PandasRows(_Rows):
    def __init__(self, frame: pd.DataFrame, partitions: Sequence[datetime], column: str):
        import pandas as pd
        import pyarrow as pa

        if any(isinstance(dtype, pd.ArrowDtype) for dtype in frame.dtypes):
            frame = frame_from_arrow(pa.Table.from_pandas(frame, preserve_index=False))
        # GX compares naive times value by value in Python, aware ones at once.
        naive = {name: frame[name].dt.tz_localize(UTC) for name in frame.columns if _is_naive(frame[name].dtype)}
        frame = frame.assign(**naive) if naive else frame
        # Dates and timestamps both become UTC moments; a date is its midnight.
        keys = pd.to_datetime(frame[column], utc=True).reset_index(drop=True)
        wanted = keys.isin(list(partitions)).to_numpy()
        self._frame = frame[wanted].reset_index(drop=True)
        self._column = column
        self._keys = keys[wanted].reset_index(drop=True)
        positions = self._frame.groupby(self._keys, sort=False).indices
        self._positions = {pd.Timestamp(str(key)).to_pydatetime(): index for key, index in positions.items()}
        self.columns = list(frame.columns)
        self.counts = {p: len(self._positions.get(p, ())) for p in partitions}
        self._gx = _Gx.pandas()

    def doubtful(self, expectations: Sequence[Expectation]) -> _Doubtful:
        held = self._gx.holds(self._frame, [e for e in expectations if e.type != _WITHIN])
        failing = self._gx.failing(self._frame, [e for e in expectations if e.id not in held and e.type != _WITHIN])
        failing |= {e.id: _alike(self._frame, e) for e in expectations if e.type == _WITHIN}
        left: _Doubtful = {}
        for expectation in expectations:
            for moment in self._moments(failing.get(expectation.id, [])):
                left.setdefault(moment, []).append(expectation)
        return left

    def each(self, doubtful: _Doubtful) -> Iterator[tuple[datetime, list[Finding]]]:
        for partition, expectations in doubtful.items():
            part = self._frame.iloc[self._positions[partition]].reset_index(drop=True)
            yield partition, self._gx.findings(part, expectations, self._column)

    def _moments(self, positions: list[int] | None) -> list[datetime]:
        """The partitions of these rows, or those of all rows."""
        if positions is None:
            return list(self._positions)
        return [moment.to_pydatetime() for moment in self._keys.iloc[positions].unique()]


class _SparkRows(_Rows):
    def __init__(self, frame: SparkFrame, partitions: Sequence[datetime], column: str):
        from pyspark.sql import functions as sf

        self._raw = frame
        self._column = column
        self._kind = frame.schema[column].dataType.typeName()
        self.columns = list(frame.columns)
        self._frame = self._only(partitions)
        counted = self._frame.groupBy(_quoted(column)).agg(sf.count(sf.lit(1)).alias("rows")).toArrow().to_pylist()
        found = {_moment(row[column]): int(row["rows"]) for row in counted}
        self.counts = {p: found.get(p, 0) for p in partitions}
        self._gx = _Gx.spark()

    def doubtful(self, expectations: Sequence[Expectation]) -> _Doubtful:
        frame = _normalized(self._frame)
        held = {e.id for e in expectations if e.type in _UNIQUE and not _shared(frame, e).limit(1).toArrow().num_rows}
        held |= self._gx.holds(frame, [e for e in expectations if e.type not in _UNIQUE])
        left = [e for e in expectations if e.id not in held]
        return {partition: left for partition, count in self.counts.items() if count and left}

    def each(self, doubtful: _Doubtful) -> Iterator[tuple[datetime, list[Finding]]]:
        expectations = list({e.id: e for some in doubtful.values() for e in some}.values())
        needed = self._needed(expectations)
        for pack in _packs({partition: self.counts[partition] for partition in doubtful}):
            part = self._only(pack)
            if len(pack) == 1 and self.counts[pack[0]] > PANDAS_ROWS:
                yield pack[0], self._large(_normalized(part), expectations)
            else:
                rows = _PandasRows(frame_from_arrow(part.select(needed).toArrow()), pack, self._column)
                yield from rows.each(rows.doubtful(expectations) if len(pack) > 1 else {pack[0]: expectations})

    def _large(self, part: SparkFrame, expectations: Sequence[Expectation]) -> list[Finding]:
        unique = [_unique_finding(part, e, self._column) for e in expectations if e.type in _UNIQUE]
        rest = [e for e in expectations if e.type not in _UNIQUE]
        return [f for f in unique if f is not None] + self._gx.findings(part, rest, self._column)

    def _only(self, partitions: Sequence[datetime]) -> SparkFrame:
        """The rows of these partitions; a filter on the bare column, which Iceberg prunes files by."""
        from pyspark.sql import functions as sf

        moments: list[Any] = list(partitions)
        if self._kind == "date":
            moments = [moment.date() for moment in partitions]
        elif self._kind == "timestamp_ntz":
            moments = [moment.replace(tzinfo=None) for moment in partitions]
        return self._raw.where(sf.col(_quoted(self._column)).isin(moments))

    def _needed(self, expectations: Sequence[Expectation]) -> list[str]:
        names = {self._column}.union(*(e.columns for e in expectations))
        if any(e.kind.rows for e in expectations):
            # As many as a sample can show, whatever columns its expectation puts first.
            names.update(_scalar_columns(self._raw)[:_SAMPLE_COLUMNS])
        return [_quoted(name) for name in self.columns if name in names]


class _Gx:
    """Great Expectations over frames of one engine, in memory: no project, no files, no progress bars."""

    def __init__(self, add: Callable[[Any], Any]):
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._batches = add(context).add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")

    @classmethod
    def pandas(cls) -> _Gx:
        return cls(lambda context: context.data_sources.add_pandas("pandas"))

    @classmethod
    def spark(cls) -> _Gx:
        # persist=True, the default, caches every row first: 8.8 against 6.3 roll-ups when it was measured.
        return cls(lambda context: context.data_sources.add_spark("spark", persist=False))

    def holds(self, frame: Any, expectations: Sequence[Expectation]) -> set[str]:
        """Ids of those that every row meets, and so every part of the rows, also where a share of them would do."""
        strict = [_strict(e) for e in expectations if e.kind.hereditary]
        results = self._validate(frame, strict, {"result_format": "BOOLEAN_ONLY"})
        return {name for name, result in results.items() if not isinstance(result, Exception) and result.success}

    def failing(self, frame: pd.DataFrame, expectations: Sequence[Expectation]) -> dict[str, list[int] | None]:
        """By id, the positions of the rows that do not meet it; None where it is about no single row, or of many."""
        strict = [_strict(e) for e in expectations if e.kind.rows]
        columns = list(dict.fromkeys(name for e in strict for name in e.columns))
        wanted = {"result_format": "SUMMARY", "partial_unexpected_count": _FEW}
        found: dict[str, list[int] | None] = {e.id: None for e in expectations}
        # Those columns alone: GX hashes whatever it is given, twice.
        for name, result in self._validate(frame[columns], strict, wanted).items():
            details = {} if isinstance(result, Exception) else result.result
            count = details.get("unexpected_count")
            if count is not None and count < _FEW:
                found[name] = details.get("partial_unexpected_index_list")
        return found

    def finding(self, frame: pd.DataFrame, expectation: Expectation) -> Finding | None:
        """What is wrong with one expectation on the shape of a frame."""
        found = self.findings(frame, [expectation], None)
        return found[0] if found else None

    def findings(self, frame: Any, expectations: Sequence[Expectation], partition_column: str | None) -> list[Finding]:
        """What these rows, all of one partition, do not meet."""
        import pandas as pd

        wanted: dict[str, Any] = {"result_format": "SUMMARY", "partial_unexpected_count": SAMPLES}
        if not isinstance(frame, pd.DataFrame):
            read = [column for expectation in expectations for column in expectation.columns]
            wanted["unexpected_index_column_names"] = list(dict.fromkeys([*read, *_scalar_columns(frame)]))
        results = self._validate(frame, expectations, wanted)
        found = []
        for expectation in expectations:
            result = results[expectation.id]
            if isinstance(result, Exception):
                found.append(_error(expectation, str(result)))
            elif not result.success:
                found.append(_finding(expectation, result, frame, partition_column))
        return found

    def _validate(
        self, frame: Any, expectations: Sequence[Expectation], result_format: dict[str, Any]
    ) -> dict[str, Any]:
        """GX's result of each expectation by id, or the exception that kept it from being asked."""
        from great_expectations.core import ExpectationSuite
        from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

        kinds = _kinds(frame)
        results: dict[str, Any] = {}
        asked = []
        for expectation in expectations:
            try:
                kwargs, meta = _arguments(expectation, kinds), {"feedmill": expectation.id}
                asked.append(ExpectationConfiguration(type=expectation.type, kwargs=kwargs, meta=meta).to_domain_obj())
            except ValueError as error:  # a bound that is no time on a column of times, for example
                results[expectation.id] = error
        if asked:
            suite = ExpectationSuite(name="suite", expectations=asked)
            validated = self._batches.get_batch({"dataframe": frame}).validate(suite, result_format=result_format)
            results.update({r.expectation_config.meta["feedmill"]: r for r in validated.results})
        return results


def _strict(expectation: Expectation) -> Expectation:
    return replace(expectation, kwargs={k: v for k, v in expectation.kwargs.items() if k != "mostly"})


def _alike(frame: pd.DataFrame, expectation: Expectation) -> list[int]:
    """Positions of the rows in which two of the columns are equal; nulls are not.

    GX's own way in pandas is a Python call for each row: 9 of the 10 seconds of a check of 174,000 rows.
    """
    pairs = combinations([frame[name] for name in expectation.columns], 2)
    alike = reduce(or_, [(one == other).fillna(False).astype(bool) for one, other in pairs])
    return [int(position) for position in alike.to_numpy().nonzero()[0]]


def _finding(expectation: Expectation, result: Any, frame: Any, partition_column: str | None) -> Finding:
    if (error := _exception(result)) is not None:
        return _error(expectation, error)
    details = result.result
    count = details.get("unexpected_count") if expectation.kind.rows else None
    if count is None:
        observed = _json(details.get("observed_value"))
        if observed is None:  # where values lie outside a set, GX names those instead
            observed = _json(details.get("partial_unexpected_list")) or None
        message = words.complain(expectation, None, observed)
        return _found(expectation, message, observed, None, ())
    samples = _samples(details.get("partial_unexpected_index_list") or [], frame, expectation, partition_column)
    return _failing_rows(expectation, int(count), samples)


def _failing_rows(expectation: Expectation, count: int, samples: tuple[dict[str, Any], ...]) -> Finding:
    values: list[Any] = []
    for sample in samples:
        found = [sample.get(name) for name in expectation.columns]
        value = found[0] if len(found) == 1 else found
        if value is not None and value not in values and len(values) < 5:
            values.append(value)
    return _found(expectation, words.complain(expectation, count, values), values, count, samples)


def _samples(
    index: Sequence[Any], frame: Any, expectation: Expectation, partition_column: str | None
) -> tuple[dict[str, Any], ...]:
    index = index[:SAMPLES]
    names = _sample_columns(_scalar_columns(frame), expectation.columns, partition_column)
    if index and isinstance(index[0], dict):
        return tuple({name: _json(row.get(name)) for name in names if name in row} for row in index)
    return tuple({name: _json(frame[name].iloc[position]) for name in names} for position in index)


def _sample_columns(scalars: Sequence[str], first: Sequence[str], partition_column: str | None) -> list[str]:
    """The expectation's columns, the partition, then the other columns from the left, where ids stand."""
    names = [*first, *([partition_column] if partition_column else []), *scalars]
    return list(dict.fromkeys(names))[:_SAMPLE_COLUMNS]


def _scalar_columns(frame: Any) -> list[str]:
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        return [
            field.name
            for field in frame.schema.fields
            if field.dataType.typeName() not in {"array", "map", "struct", "binary", "variant"}
        ]
    return [str(name) for name in frame.columns if not isinstance(_first(frame[name]), bytes | tuple)]


def _first(column: pd.Series[Any]) -> Any:
    """The first value of a column of Python objects; None for other columns."""
    if column.dtype != object:
        return None
    return next(iter(column.dropna().head(1)), None)


def _unique_finding(part: SparkFrame, expectation: Expectation, partition_column: str) -> Finding | None:
    """Uniqueness in Spark by grouping; GX's window function sorts all rows of all columns."""
    from pyspark.sql import functions as sf

    shared = _shared(part, expectation)
    total = shared.agg(sf.sum("__rows")).toArrow().column(0)[0].as_py()
    count = int(total or 0)
    judged = part.where(_judged(expectation)).count() if expectation.kwargs.get("mostly", 1) != 1 else count
    if not count or 1 - count / judged >= expectation.kwargs.get("mostly", 2):
        return None
    names = _sample_columns(_scalar_columns(part), expectation.columns, partition_column)
    groups = shared.limit(SAMPLES).toArrow().to_pylist()
    match = reduce(
        or_,
        [
            reduce(and_, [sf.col(_quoted(c)).eqNullSafe(sf.lit(group[c])) for c in expectation.columns])
            for group in groups
        ],
    )
    rows = part.where(match).select([_quoted(name) for name in names]).limit(SAMPLES).toArrow().to_pylist()
    samples = tuple({name: _json(value) for name, value in row.items()} for row in rows)
    return _failing_rows(expectation, count, samples)


def _shared(frame: SparkFrame, expectation: Expectation) -> SparkFrame:
    """Groups of rows that share the columns of a uniqueness, with their number of rows in ``__rows``."""
    from pyspark.sql import functions as sf

    columns = [sf.col(_quoted(name)) for name in expectation.columns]
    groups = frame.where(_judged(expectation)).groupBy(columns).agg(sf.count(sf.lit(1)).alias("__rows"))
    return groups.where(sf.col("__rows") > 1)


def _judged(expectation: Expectation) -> Column:
    """Rows where at least one of the columns has a value; as in GX, rows of nulls alone are not compared."""
    from pyspark.sql import functions as sf

    return reduce(or_, [sf.col(_quoted(name)).isNotNull() for name in expectation.columns])


def _normalized(frame: SparkFrame) -> SparkFrame:
    """NaN as null, as in pandas, and times as naive UTC, since GX compares what it collects in Python."""
    from pyspark.sql import functions as sf

    columns = []
    for field in frame.schema.fields:
        column = sf.col(_quoted(field.name))
        match field.dataType.typeName():
            case "float" | "double":
                column = sf.when(~sf.isnan(column), column)
            case "timestamp":
                column = sf.to_utc_timestamp(column, sf.current_timezone()).cast("timestamp_ntz")
        columns.append(column.alias(field.name))
    return frame.select(columns)


def _packs(counts: Mapping[datetime, int]) -> Iterator[list[datetime]]:
    """Partitions that have rows, in groups of at most :data:`PANDAS_ROWS`; a larger one stands alone."""
    pack: list[datetime] = []
    size = 0
    for partition, count in counts.items():
        if not count:
            continue
        if pack and size + count > PANDAS_ROWS:
            yield pack
            pack, size = [], 0
        pack.append(partition)
        size += count
    if pack:
        yield pack


def _kinds(frame: Any) -> dict[str, Literal["aware", "naive", "date"]]:
    """How the values of the columns of times and dates look to Python on this engine."""
    import pandas as pd

    kinds: dict[str, Literal["aware", "naive", "date"]] = {}
    if not isinstance(frame, pd.DataFrame):
        for field in frame.schema.fields:
            name = field.dataType.typeName()
            if name in {"timestamp_ntz", "date"}:
                kinds[field.name] = "date" if name == "date" else "naive"
        return kinds
    for column, dtype in frame.dtypes.items():
        if isinstance(dtype, pd.DatetimeTZDtype):
            kinds[str(column)] = "aware"
        elif isinstance(first := _first(frame[column]), date) and not isinstance(first, datetime):
            kinds[str(column)] = "date"
    return kinds


def _arguments(expectation: Expectation, kinds: Mapping[str, str]) -> dict[str, Any]:
    """The arguments for GX; texts become times or dates where the column holds such, since JSON has none."""
    kwargs = dict(expectation.kwargs)
    if expectation.type in _NULLS:
        kwargs["ignore_row_if"] = _NULLS[expectation.type]
    if kind := kinds.get(kwargs.get("column", "")):
        for key in BOUNDS & kwargs.keys():
            kwargs[key] = _typed(kwargs[key], kind)
        if "value_set" in kwargs:
            kwargs["value_set"] = [_typed(value, kind) for value in kwargs["value_set"]]
    return kwargs


def _typed(value: Any, kind: str) -> Any:
    if not isinstance(value, str):
        return value
    moment = datetime.fromisoformat(value)
    if kind == "date":
        return moment.date()
    moment = _moment(moment)
    return moment.replace(tzinfo=None) if kind == "naive" else moment


def _error(expectation: Expectation, error: str) -> Finding:
    message = f"cannot judge {expectation.id}: {error}"
    return replace(_found(expectation, message, None, None, ()), severity="critical")


def _found(
    expectation: Expectation,
    message: str,
    observed: Any,
    count: int | None,
    samples: tuple[dict[str, Any], ...],
) -> Finding:
    return Finding(
        expectation=expectation.id,
        type=expectation.type,
        severity=expectation.severity,
        columns=expectation.columns,
        message=message,
        observed=observed,
        unexpected_count=count,
        samples=samples,
        notes=expectation.notes,
    )


def _exception(result: Any) -> str | None:
    """The message of the first error; GX nests them by metric, or not, depending on where it was raised."""
    info = result.exception_info or {}
    for entry in [info, *(value for value in info.values() if isinstance(value, dict))]:
        if entry.get("raised_exception"):
            return str(entry.get("exception_message") or "unknown error").removeprefix("Error: ").strip()
    return None


def _moment(value: date | datetime) -> datetime:
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _is_naive(dtype: Any) -> bool:
    return getattr(dtype, "kind", "") == "M" and getattr(dtype, "tz", None) is None


def _hashable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_hashable(item) for item in value)
    if isinstance(value, dict):
        return tuple((key, _hashable(item)) for key, item in value.items())
    return value


def _json(value: Any) -> Any:
    """A value that JSON can hold; long texts and bytes are cut."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value if len(value) <= _TEXT else value[: _TEXT - 1] + "…"
    if isinstance(value, bytes | bytearray):
        return "0x" + value[:16].hex() + ("…" if len(value) > 16 else "")
    if isinstance(value, list | tuple | set | frozenset):
        return [_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if type(value).__name__ in {"NAType", "NaTType"}:
        return None
    if isinstance(value, datetime):
        return _moment(value).isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return float(value) if len(value.as_tuple().digits) <= 15 else str(value)
    return str(value)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Great Expectations' own logging and deprecation warnings out of a task's log."""
    import great_expectations  # noqa: F401  first, since importing it sets the levels of its loggers

    logger, null = logging.getLogger("great_expectations"), logging.NullHandler()
    propagate = logger.propagate
    logger.addHandler(null)
    logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.propagate = propagate
        logger.removeHandler(null)
