"""Judging in pandas: the rows of a range, one frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from feedmill.checks.engine import Doubtful
from feedmill.checks.findings import Finding
from feedmill.checks.gx import Gx
from feedmill.checks.suite import Expectation

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class PandasRows:
    """Rows in a pandas frame (see :func:`frame_from_arrow`); those of other partitions are left out."""

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
        self._gx = Gx.pandas()

    def doubtful(self, expectations: Sequence[Expectation]) -> Doubtful:
        """Where failing rows are looked up, the partitions that have some; else all partitions."""
        failing: dict[str, list[int] | None] = {}
        for expectation in expectations:
            if (positions := expectation.kind.quick_positions(self._frame)) is not None:
                failing[expectation.id] = positions
        asked = [e for e in expectations if e.id not in failing]
        held = self._gx.holds(self._frame, asked)
        failing |= self._gx.failing(self._frame, [e for e in asked if e.id not in held])
        left: dict[datetime, list[Expectation]] = {}
        for expectation in expectations:
            for moment in self._moments(failing.get(expectation.id, [])):
                left.setdefault(moment, []).append(expectation)
        return left

    def each(self, doubtful: Doubtful) -> Iterator[tuple[datetime, list[Finding]]]:
        """Great Expectations over one partition after the other."""
        for partition, expectations in doubtful.items():
            part = self._frame.iloc[self._positions[partition]].reset_index(drop=True)
            yield partition, self._gx.findings(part, expectations, self._column)

    def _moments(self, positions: list[int] | None) -> list[datetime]:
        """The partitions of these rows, or those of all rows."""
        if positions is None:
            return list(self._positions)
        return [moment.to_pydatetime() for moment in self._keys.iloc[positions].unique()]


def frame_from_arrow(table: pa.Table) -> pd.DataFrame:
    """A frame to judge from what PyIceberg's ``scan.to_arrow()`` returns, without loss.

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


def _is_naive(dtype: Any) -> bool:
    return getattr(dtype, "kind", "") == "M" and getattr(dtype, "tz", None) is None


def _hashable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_hashable(item) for item in value)
    if isinstance(value, dict):
        return tuple((key, _hashable(item)) for key, item in value.items())
    return value
