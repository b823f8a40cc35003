"""Expectation types: one class for each says all that Feedmill knows of it.

A class is named in a suite by its Great Expectations type. Its fields are the arguments that it takes. It says what
it judges (:data:`Scope`), how to describe it, what to say when it fails, and which query shows the failing rows. To
add a type, add a class here: suites, the judge, the page and the queries read :data:`KINDS`.

Every type must be judged alike in pandas and in Spark, so that a verdict does not depend on how many rows a partition
has. These are left out for that reason: column types (the DDL states them, and pandas and Spark name them differently),
LIKE and SQL patterns (Spark only), the order within a column (Spark has none), ``row_condition`` and ``ignore_row_if``
(the engines treat nulls differently; ``ignore_row_if`` is set here instead).
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import reduce
from itertools import combinations
from operator import or_
from typing import TYPE_CHECKING, Any, ClassVar, Literal, dataclass_transform

from feedmill.checks import words
from feedmill.checks.query import Rows, literal, literals, name, outside, text
from feedmill.errors import Exit, FeedmillError, Turn

if TYPE_CHECKING:
    import pandas as pd

Scope = Literal["row", "unique", "aggregate", "row count", "shape"]
"""What an expectation judges: each row by itself; rows against each other; one result of all rows of a partition;
how many rows there are; the table's columns."""

Bound = int | float | str
"""A number, or a time as text."""

_KINDS: dict[str, type[Kind]] = {}

KINDS: Mapping[str, type[Kind]] = _KINDS
"""The class of each expectation type, by the type."""


class ArgumentError(FeedmillError, ValueError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """An argument of an expectation is wrong; ``argument`` names it, and is empty where it is about several."""

    def __init__(self, argument: str, problem: str):
        super().__init__(problem)
        self.argument = argument


@dataclass_transform(kw_only_default=True, frozen_default=True)
@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind(ABC):
    """One expectation type; an object of it has the arguments of one expectation."""

    type: ClassVar[str]
    scope: ClassVar[Scope]
    ignore_row_if: ClassVar[str | None] = None
    """What Great Expectations is told about nulls, where its defaults differ between pandas and Spark."""
    # For pydantic, which checks the arguments when a suite is read. Nothing else here needs it.
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid", "strict": True}

    def __init_subclass__(cls, type: str = "", **kwargs: Any):  # noqa: A002 - as suites call it
        """Make the class a frozen dataclass, and register it under its type; classes without a type are bases."""
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)
        if type:
            cls.type = type
            _KINDS[type] = cls

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose values it reads."""
        return ()

    @property
    def by_row(self) -> bool:
        """Single rows fail it, so that they can be counted and shown."""
        return self.scope in ("row", "unique")

    @property
    def hereditary(self) -> bool:
        """What holds for all rows also holds for each part of them: one look at a range can clear its partitions."""
        return self.by_row

    @abstractmethod
    def describe(self) -> str:
        """What should hold, as a sentence without its full stop: ``duration_ms is 0 or more``."""

    @abstractmethod
    def deny(self) -> str:
        """That it does not hold, without details: ``the mean rate is not between 0.4 and 0.6``."""

    def complain(self, unexpected: int | None, observed: Any) -> str:  # noqa: ARG002 - for those that count rows
        """What is wrong, for a sentence after the partition's name: ``17 rows have a negative duration_ms``.

        ``unexpected`` counts the failing rows. It is None for an expectation about all rows together; ``observed`` is
        then the value that was found.
        """
        return self.deny() if observed is None else f"{self.deny()}; found {words.value(observed)}"

    @abstractmethod
    def query(self, rows: Rows) -> str:
        """A Trino query that shows the failing rows, or the value that fails."""

    def quick_positions(self, frame: pd.DataFrame) -> list[int] | None:  # noqa: ARG002 - for those that have a way
        """Positions of the failing rows in pandas, for a type that Great Expectations judges slowly; else None."""
        return None


# Bases: what several types share.


class _Row(Kind):
    """Each row passes or fails; ``mostly`` is the share of rows that must pass."""

    scope: ClassVar[Scope] = "row"
    mostly: float = 1

    def __post_init__(self) -> None:
        if not 0 < self.mostly <= 1:
            raise ArgumentError("mostly", f"{words.number(self.mostly)} is not a share above 0 and at most 1")

    @abstractmethod
    def rule(self) -> str:
        """What should hold for a row."""

    @abstractmethod
    def fault(self, rows: words.Count) -> str:
        """What is wrong with so many rows."""

    @abstractmethod
    def condition(self) -> str:
        """The SQL condition that a failing row meets. Nulls fail nothing but the expectations about nulls."""

    def describe(self) -> str:
        if self.mostly == 1:
            return self.rule()
        return f"{self.rule()}, in at least {words.number(self.mostly * 100)} % of the rows"

    def deny(self) -> str:
        return f"not true in every row: {self.rule()}"

    def complain(self, unexpected: int | None, observed: Any) -> str:
        if unexpected is None:
            return super().complain(unexpected, observed)
        fault = self.fault(words.Count(unexpected))
        return fault if self.mostly == 1 else f"{fault} (up to {words.number((1 - self.mostly) * 100)} % are allowed)"

    def query(self, rows: Rows) -> str:
        return rows.failing(self.condition())


class _RowOfColumn(_Row):
    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)


class _RowOfPair(_Row):
    ignore_row_if: ClassVar[str | None] = "either_value_is_missing"
    column_A: str  # noqa: N815 - Great Expectations' name
    column_B: str  # noqa: N815

    @property
    def columns(self) -> tuple[str, ...]:
        return self.column_A, self.column_B


class _RowOfColumns(_Row):
    ignore_row_if: ClassVar[str | None] = "any_value_is_missing"
    column_list: list[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_entries("column_list", self.column_list)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.column_list)


class _Between(Kind):
    """It compares with bounds, of which at least one is given."""

    min_value: Bound | None = None
    max_value: Bound | None = None

    def __post_init__(self) -> None:
        if callable(checked := getattr(super(), "__post_init__", None)):
            checked()
        low, high = self.min_value, self.max_value
        if low is None and high is None:
            raise ArgumentError("", "needs min_value or max_value")
        if low is None or high is None:
            return
        if isinstance(low, str) != isinstance(high, str):
            raise ArgumentError("", f"min_value {low!r} and max_value {high!r} are of different kinds")
        if low > high:  # type: ignore[operator]  # both are numbers, or both are texts
            raise ArgumentError("", f"min_value {low!r} is greater than max_value {high!r}")

    @property
    def interval(self) -> str:
        """The bounds in words."""
        return words.interval(self.min_value, self.max_value)


class _StrictBetween(_Between):
    """The bounds can also exclude themselves."""

    strict_min: bool = False
    strict_max: bool = False

    @property
    def interval(self) -> str:
        return words.interval(self.min_value, self.max_value, self.strict_min, self.strict_max)

    def outside(self, value: str) -> str:
        """The SQL condition that a value is not between the bounds."""
        return outside(value, self.min_value, self.max_value, self.strict_min, self.strict_max)


class _Aggregate(_StrictBetween):
    """A number of all rows of a partition must be between bounds."""

    scope: ClassVar[Scope] = "aggregate"
    noun: ClassVar[str]
    sql: ClassVar[str]
    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def describe(self) -> str:
        return f"the {self.noun} {self.column} is {self.interval}"

    def deny(self) -> str:
        return f"the {self.noun} {self.column} is not {self.interval}"

    def complain(self, unexpected: int | None, observed: Any) -> str:  # noqa: ARG002
        found = "unknown (no values)" if observed is None else words.value(observed)
        return f"the {self.noun} {self.column} is {found}, not {self.interval}"

    def query(self, rows: Rows) -> str:
        return rows.aggregate(self.sql.format(name(self.column)))


class _Distinct(Kind):
    """The different values of a column, over all rows of a partition, are compared with a set."""

    scope: ClassVar[Scope] = "aggregate"
    column: str
    value_set: list[Any]

    def __post_init__(self) -> None:
        _require_entries("value_set", self.value_set)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def query(self, rows: Rows) -> str:
        return rows.counted([name(self.column)])


class _RowCount(Kind):
    scope: ClassVar[Scope] = "row count"

    @property
    @abstractmethod
    def expected(self) -> str:
        """The number of rows that there should be."""

    def describe(self) -> str:
        return f"the number of rows is {self.expected}"

    def deny(self) -> str:
        return f"the number of rows is not {self.expected}"

    def complain(self, unexpected: int | None, observed: Any) -> str:
        if observed == 0:
            return "there are no rows"
        if observed is None:
            return super().complain(unexpected, observed)
        return f"there {'is 1 row' if observed == 1 else f'are {observed:,} rows'}, not {self.expected}"

    def query(self, rows: Rows) -> str:
        return rows.aggregate("count(*) AS row_count")


class _Shape(Kind):
    """It is about the table's columns, so its query shows rows as they are."""

    scope: ClassVar[Scope] = "shape"

    def query(self, rows: Rows) -> str:
        return rows.failing("")


def _require_entries(argument: str, entries: list[Any]) -> None:
    if not entries:
        raise ArgumentError(argument, "must be a list with at least one entry")


# Rows.


class NotNull(_RowOfColumn, type="expect_column_values_to_not_be_null"):
    """The column has a value."""

    def rule(self) -> str:
        return f"{self.column} is never null"

    def fault(self, rows: words.Count) -> str:
        return f"{rows.have} no {self.column}"

    def condition(self) -> str:
        return f"{name(self.column)} IS NULL"


class Null(_RowOfColumn, type="expect_column_values_to_be_null"):
    """The column has no value."""

    def rule(self) -> str:
        return f"{self.column} is always null"

    def fault(self, rows: words.Count) -> str:
        return f"{rows.have} {words.a(self.column)}, which should be null"

    def condition(self) -> str:
        return f"{name(self.column)} IS NOT NULL"


class ValuesBetween(_StrictBetween, _RowOfColumn, type="expect_column_values_to_be_between"):
    """The value is between bounds."""

    def rule(self) -> str:
        return f"{self.column} is {self.interval}"

    def fault(self, rows: words.Count) -> str:
        if self.min_value == 0 and self.max_value is None:
            return f"{rows.have} a {'zero or negative' if self.strict_min else 'negative'} {self.column}"
        return f"{rows.have} {words.a(self.column)} that is not {self.interval}"

    def condition(self) -> str:
        return self.outside(name(self.column))


class _RowOfSet(_RowOfColumn):
    value_set: list[Any]

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_entries("value_set", self.value_set)


class InSet(_RowOfSet, type="expect_column_values_to_be_in_set"):
    """The value is one of a set."""

    def rule(self) -> str:
        return f"{self.column} is {words.values(self.value_set)}"

    def fault(self, rows: words.Count) -> str:
        return f"{rows.have} {words.a(self.column)} other than {words.values(self.value_set)}"

    def condition(self) -> str:
        return f"{name(self.column)} NOT IN ({literals(self.value_set)})"


class NotInSet(_RowOfSet, type="expect_column_values_to_not_be_in_set"):
    """The value is none of a set."""

    def rule(self) -> str:
        return f"{self.column} is not {words.values(self.value_set)}"

    def fault(self, rows: words.Count) -> str:
        return f"{rows.have} the {self.column} {words.values(self.value_set)}"

    def condition(self) -> str:
        return f"{name(self.column)} IN ({literals(self.value_set)})"


class Matches(_RowOfColumn, type="expect_column_values_to_match_regex"):
    """The text matches a regular expression."""

    regex: str

    def rule(self) -> str:
        return f"{self.column} matches {self.regex}"

    def fault(self, rows: words.Count) -> str:
        return f"{rows.have} {words.a(self.column)} that does not match {self.regex}"

    def condition(self) -> str:
        return f"NOT regexp_like({name(self.column)}, {text(self.regex)})"


class MatchesNot(_RowOfColumn, type="expect_column_values_to_not_match_regex"):
    """The text does not match a regular expression."""

    regex: str

    def rule(self) -> str:
        return f"{self.column} does not match {self.regex}"

    def fault(self, rows: words.Count) -> str:
        return f"{rows.have} {words.a(self.column)} that matches {self.regex}"

    def condition(self) -> str:
        return f"regexp_like({name(self.column)}, {text(self.regex)})"


class LengthsBetween(_StrictBetween, _RowOfColumn, type="expect_column_value_lengths_to_be_between"):
    """The length of the text is between bounds."""

    def rule(self) -> str:
        return f"the length of {self.column} is {self.interval}"

    def fault(self, rows: words.Count) -> str:
        return f"{rows.have} {words.a(self.column)} whose length is not {self.interval}"

    def condition(self) -> str:
        return self.outside(f"length({name(self.column)})")


class LengthsEqual(_RowOfColumn, type="expect_column_value_lengths_to_equal"):
    """The text has one length."""

    value: int

    def rule(self) -> str:
        return f"the length of {self.column} is {self.value}"

    def fault(self, rows: words.Count) -> str:
        return f"{rows.have} {words.a(self.column)} whose length is not {self.value}"

    def condition(self) -> str:
        return f"length({name(self.column)}) <> {literal(self.value)}"


class PairGreater(_RowOfPair, type="expect_column_pair_values_a_to_be_greater_than_b"):
    """The value of one column is greater than that of another."""

    or_equal: bool = False

    def rule(self) -> str:
        return f"{self.column_A} is {'at least' if self.or_equal else 'greater than'} {self.column_B}"

    def fault(self, rows: words.Count) -> str:
        return f"{rows.have} {words.a(self.column_A)} {'below' if self.or_equal else 'not above'} {self.column_B}"

    def condition(self) -> str:
        return f"{name(self.column_A)} {'<' if self.or_equal else '<='} {name(self.column_B)}"


class PairEqual(_RowOfPair, type="expect_column_pair_values_to_be_equal"):
    """Two columns have the same value."""

    def rule(self) -> str:
        return f"{self.column_A} equals {self.column_B}"

    def fault(self, rows: words.Count) -> str:
        return f"{rows.have} {words.a(self.column_A)} that differs from {self.column_B}"

    def condition(self) -> str:
        return f"{name(self.column_A)} <> {name(self.column_B)}"


class DifferWithinRow(_RowOfColumns, type="expect_select_column_values_to_be_unique_within_record"):
    """Columns differ from each other within a row."""

    def rule(self) -> str:
        return f"{words.listed(self.column_list)} differ from each other in every row"

    def fault(self, rows: words.Count) -> str:
        return f"{rows.have} the same value twice in {words.listed(self.column_list)}"

    def condition(self) -> str:
        pairs = combinations([name(column) for column in self.column_list], 2)
        return "(" + " OR ".join(f"{one} = {other}" for one, other in pairs) + ")"

    def quick_positions(self, frame: pd.DataFrame) -> list[int]:
        """Rows in which two of the columns are equal; nulls are not.

        GX's own way in pandas is a Python call for each row: 9 of the 10 seconds of a check of 174,000 rows.
        """
        pairs = combinations([frame[column] for column in self.column_list], 2)
        alike = reduce(or_, [(one == other).fillna(False).astype(bool) for one, other in pairs])
        return [int(position) for position in alike.to_numpy().nonzero()[0]]


class SumEquals(_RowOfColumns, type="expect_multicolumn_sum_to_equal"):
    """The columns of a row add up to a number."""

    sum_total: float

    def rule(self) -> str:
        return f"{' + '.join(self.column_list)} is {words.number(self.sum_total)}"

    def fault(self, rows: words.Count) -> str:
        return f"in {rows} {' + '.join(self.column_list)} is not {words.number(self.sum_total)}"

    def condition(self) -> str:
        return f"{' + '.join(name(column) for column in self.column_list)} <> {literal(self.sum_total)}"


# Rows against each other.


class Unique(_RowOfColumn, type="expect_column_values_to_be_unique"):
    """No two rows share a value."""

    scope: ClassVar[Scope] = "unique"

    def rule(self) -> str:
        return f"no two rows share {words.a(self.column)}"

    def fault(self, rows: words.Count) -> str:
        return f"{rows.share} {self.column} with another row"

    def condition(self) -> str:
        raise NotImplementedError

    def query(self, rows: Rows) -> str:
        return rows.counted([name(self.column)], repeated=True)


class UniqueTogether(_RowOfColumns, type="expect_compound_columns_to_be_unique"):
    """No two rows share the values of several columns."""

    scope: ClassVar[Scope] = "unique"
    ignore_row_if: ClassVar[str | None] = None

    def rule(self) -> str:
        return f"{words.listed(self.column_list)} together are unique"

    def fault(self, rows: words.Count) -> str:
        return f"{rows.are} not unique in {words.listed(self.column_list)}"

    def condition(self) -> str:
        raise NotImplementedError

    def query(self, rows: Rows) -> str:
        return rows.counted([name(column) for column in self.column_list], repeated=True)


# All rows of a partition together.


class Max(_Aggregate, type="expect_column_max_to_be_between"):
    """The largest value."""

    noun = "largest"
    sql = "max({})"


class Mean(_Aggregate, type="expect_column_mean_to_be_between"):
    """The mean."""

    noun = "mean"
    sql = "avg({})"


class Min(_Aggregate, type="expect_column_min_to_be_between"):
    """The smallest value."""

    noun = "smallest"
    sql = "min({})"


class StandardDeviation(_Aggregate, type="expect_column_stdev_to_be_between"):
    """The standard deviation."""

    noun = "standard deviation of"
    sql = "stddev_samp({})"


class Sum(_Aggregate, type="expect_column_sum_to_be_between"):
    """The sum."""

    noun = "sum of"
    sql = "sum({})"


class DistinctCount(_Aggregate, type="expect_column_unique_value_count_to_be_between"):
    """How many different values there are."""

    noun = "number of different values of"
    sql = "count(DISTINCT {})"


class DistinctShare(_Aggregate, type="expect_column_proportion_of_unique_values_to_be_between"):
    """How many of the values are different."""

    noun = "share of different values of"
    sql = "CAST(count(DISTINCT {0}) AS double) / count({0})"


class DistinctInSet(_Distinct, type="expect_column_distinct_values_to_be_in_set"):
    """All values are of a set."""

    def describe(self) -> str:
        return f"the values of {self.column} are among {words.values(self.value_set, 'and')}"

    def deny(self) -> str:
        return f"the values of {self.column} are not all among {words.values(self.value_set, 'and')}"


class DistinctContain(_Distinct, type="expect_column_distinct_values_to_contain_set"):
    """All of a set occur."""

    def describe(self) -> str:
        return f"{words.values(self.value_set, 'and')} all occur in {self.column}"

    def deny(self) -> str:
        return f"not all of {words.values(self.value_set, 'and')} occur in {self.column}"


class DistinctEqual(_Distinct, type="expect_column_distinct_values_to_equal_set"):
    """The values are exactly a set."""

    def describe(self) -> str:
        return f"the values of {self.column} are exactly {words.values(self.value_set, 'and')}"

    def deny(self) -> str:
        return f"the values of {self.column} are not exactly {words.values(self.value_set, 'and')}"


# How many rows there are.


class RowCountBetween(_StrictBetween, _RowCount, type="expect_table_row_count_to_be_between"):
    """The number of rows is between bounds."""

    @property
    def expected(self) -> str:
        return self.interval


class RowCountEquals(_RowCount, type="expect_table_row_count_to_equal"):
    """The number of rows is one number."""

    value: int

    @property
    def expected(self) -> str:
        return f"{self.value:,}"


# The table's columns.


class ColumnCountEquals(_Shape, type="expect_table_column_count_to_equal"):
    """The number of columns is one number."""

    value: int

    def describe(self) -> str:
        return f"the number of columns is {self.value}"

    def deny(self) -> str:
        return f"the number of columns is not {self.value}"


class ColumnCountBetween(_Between, _Shape, type="expect_table_column_count_to_be_between"):
    """The number of columns is between bounds."""

    def describe(self) -> str:
        return f"the number of columns is {self.interval}"

    def deny(self) -> str:
        return f"the number of columns is not {self.interval}"


class ColumnsInOrder(_Shape, type="expect_table_columns_to_match_ordered_list"):
    """The columns are a list."""

    column_list: list[str]

    def __post_init__(self) -> None:
        _require_entries("column_list", self.column_list)

    def describe(self) -> str:
        return f"the columns are {words.listed(self.column_list)}, in this order"

    def deny(self) -> str:
        return f"the columns are not {words.listed(self.column_list)}, in this order"


class ColumnsOfSet(_Shape, type="expect_table_columns_to_match_set"):
    """The columns are a set, or at least a set."""

    column_set: list[str]
    exact_match: bool = True

    def __post_init__(self) -> None:
        _require_entries("column_set", self.column_set)

    def describe(self) -> str:
        return f"the columns are {self._expected}"

    def deny(self) -> str:
        return f"the columns are not {self._expected}"

    @property
    def _expected(self) -> str:
        return f"{'' if self.exact_match else 'at least '}{words.listed(self.column_set)}"


class ColumnExists(_Shape, type="expect_column_to_exist"):
    """There is a column of that name."""

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def describe(self) -> str:
        return f"there is a column {self.column}"

    def deny(self) -> str:
        return f"there is no column {self.column}"
