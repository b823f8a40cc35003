"""Suites: the expectations of a table, read from ``expectations/<schema>/<table>.json``.

A suite holds only what both engines judge alike (:data:`KINDS`), so that a verdict does not depend on
how many rows a partition has. Loading one does not import Great Expectations, which costs seconds.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from feedmill.errors import Exit, FeedmillError, Turn

Severity = Literal["critical", "warning"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)

BOUNDS = frozenset({"min_value", "max_value"})
_STRICT = BOUNDS | {"strict_min", "strict_max"}


class SuiteError(FeedmillError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """A suite is missing or wrong; the message names the file and the field."""


@dataclass(frozen=True)
class Kind:
    """What an expectation type takes, and how it can be judged over several partitions at once.

    ``hereditary``: what holds for all rows holds for every part of them, so one pass over the whole range
    clears each of its partitions. An aggregate has no such property.
    """

    required: frozenset[str]
    optional: frozenset[str] = frozenset()
    hereditary: bool = False
    rows: bool = False
    """It judges row by row, so single rows can be shown as failing."""


def _rows(*required: str, optional: frozenset[str] = frozenset()) -> Kind:
    return Kind(frozenset(required), optional | {"mostly"}, hereditary=True, rows=True)


def _aggregate(*required: str, optional: frozenset[str] = frozenset()) -> Kind:
    return Kind(frozenset(required), optional)


def _shape(*required: str, optional: frozenset[str] = frozenset()) -> Kind:
    return Kind(frozenset(required), optional, hereditary=True)


# Left out on purpose: column types (the DDL's business, and named differently by pandas and Spark), patterns
# of LIKE and SQL (Spark only), order within a column (Spark has none), `row_condition` and `ignore_row_if`
# (the engines differ on nulls; judge.py fixes the treatment of nulls instead).
KINDS: Mapping[str, Kind] = {
    "expect_column_values_to_not_be_null": _rows("column"),
    "expect_column_values_to_be_null": _rows("column"),
    "expect_column_values_to_be_unique": _rows("column"),
    "expect_column_values_to_be_between": _rows("column", optional=_STRICT),
    "expect_column_values_to_be_in_set": _rows("column", "value_set"),
    "expect_column_values_to_not_be_in_set": _rows("column", "value_set"),
    "expect_column_values_to_match_regex": _rows("column", "regex"),
    "expect_column_values_to_not_match_regex": _rows("column", "regex"),
    "expect_column_value_lengths_to_be_between": _rows("column", optional=_STRICT),
    "expect_column_value_lengths_to_equal": _rows("column", "value"),
    "expect_column_pair_values_a_to_be_greater_than_b": _rows("column_A", "column_B", optional=frozenset({"or_equal"})),
    "expect_column_pair_values_to_be_equal": _rows("column_A", "column_B"),
    "expect_compound_columns_to_be_unique": _rows("column_list"),
    "expect_select_column_values_to_be_unique_within_record": _rows("column_list"),
    "expect_multicolumn_sum_to_equal": _rows("column_list", "sum_total"),
    "expect_column_max_to_be_between": _aggregate("column", optional=_STRICT),
    "expect_column_mean_to_be_between": _aggregate("column", optional=_STRICT),
    "expect_column_min_to_be_between": _aggregate("column", optional=_STRICT),
    "expect_column_stdev_to_be_between": _aggregate("column", optional=_STRICT),
    "expect_column_sum_to_be_between": _aggregate("column", optional=_STRICT),
    "expect_column_unique_value_count_to_be_between": _aggregate("column", optional=_STRICT),
    "expect_column_proportion_of_unique_values_to_be_between": _aggregate("column", optional=_STRICT),
    "expect_column_distinct_values_to_be_in_set": _aggregate("column", "value_set"),
    "expect_column_distinct_values_to_contain_set": _aggregate("column", "value_set"),
    "expect_column_distinct_values_to_equal_set": _aggregate("column", "value_set"),
    "expect_table_row_count_to_be_between": _aggregate(optional=_STRICT),
    "expect_table_row_count_to_equal": _aggregate("value"),
    "expect_table_column_count_to_equal": _shape("value"),
    "expect_table_column_count_to_be_between": _shape(optional=BOUNDS),
    "expect_table_columns_to_match_ordered_list": _shape("column_list"),
    "expect_table_columns_to_match_set": _shape("column_set", optional=frozenset({"exact_match"})),
    "expect_column_to_exist": _shape("column"),
}


@dataclass(frozen=True)
class Expectation:
    """One expectation: its Great Expectations type and arguments, and what its failure means."""

    type: str
    kwargs: Mapping[str, Any]
    severity: Severity
    notes: str
    """What to do when it fails, in words for whoever is paged; may be empty."""
    id: str
    """Short and stable label, unique in the suite: ``expect_column_values_to_not_be_null(event_id)``."""

    @property
    def kind(self) -> Kind:
        """What its type takes."""
        return KINDS[self.type]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose values it reads; none for the shape and the row count of a table."""
        if self.type.startswith("expect_table_"):
            return ()
        kwargs = self.kwargs
        return tuple(
            [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
            + list(kwargs.get("column_list", ()))
        )


@dataclass(frozen=True)
class Suite:
    """The expectations of one table."""

    name: str
    expectations: tuple[Expectation, ...]
    digest: str
    """SHA-256 of what is judged: names, types, arguments and severities, without notes and layout."""

    def __getitem__(self, expectation_id: str) -> Expectation:
        """The expectation of that id; ``KeyError`` if there is none."""
        for expectation in self.expectations:
            if expectation.id == expectation_id:
                return expectation
        raise KeyError(expectation_id)


def load(path: Path) -> Suite:
    """The suite in that file.

    Raises:
        SuiteError: the file is missing or not JSON, the suite is empty or has no critical expectation, or an
            expectation has an unknown type, argument or severity. The message names the file and the field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SuiteError(f"{path} is missing; a table without a suite cannot be published") from None
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise SuiteError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    if not isinstance(document, dict):
        raise SuiteError(f"{path}: must be an object with name and expectations")
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise SuiteError(f"{path}: name is missing")
    items = document.get("expectations")
    if not isinstance(items, list) or not items:
        raise SuiteError(f"{path}: expectations is empty; such a table cannot be published")
    read = [_expectation(item, f"{path}: expectations[{i}]") for i, item in enumerate(items)]
    # Arguments stand in an id only where it needs them, so that a moved threshold keeps its history.
    labels = Counter(e.id for e in read)
    expectations = tuple(e if labels[e.id] == 1 else replace(e, id=_long_id(e)) for e in read)
    if twice := [label for label, count in Counter(e.id for e in expectations).items() if count > 1]:
        raise SuiteError(f"{path}: expectations: {twice[0]} stands twice with the same arguments")
    if not any(e.severity == "critical" for e in expectations):
        raise SuiteError(f"{path}: no expectation has severity critical; nothing would ever be held")
    return Suite(name, expectations, _digest(name, expectations))


def validate_with_gx(suite: Suite) -> None:
    """Build every expectation with Great Expectations itself; imports it.

    Raises:
        SuiteError: Great Expectations refuses one; the message names the suite and the expectation.
    """
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    for expectation in suite.expectations:
        try:
            ExpectationConfiguration(type=expectation.type, kwargs=dict(expectation.kwargs)).to_domain_obj()
        except Exception as error:
            raise SuiteError(f"suite {suite.name}: {expectation.id}: {error}") from error


def _expectation(item: object, where: str) -> Expectation:
    if not isinstance(item, dict):
        raise SuiteError(f"{where}: must be an object with type, kwargs and severity")
    if unknown := sorted(item.keys() - {"type", "kwargs", "severity", "meta"}):
        raise SuiteError(f"{where}: unknown field {unknown[0]!r}; it has type, kwargs, severity and meta")
    type_ = item.get("type")
    if not isinstance(type_, str) or type_ not in KINDS:
        raise SuiteError(f"{where}.type: unknown expectation type {type_!r}; known are {', '.join(sorted(KINDS))}")
    severity = item.get("severity")
    if severity not in SEVERITIES:
        raise SuiteError(f"{where}.severity: {severity!r} is not one of {', '.join(SEVERITIES)}")
    kwargs = item.get("kwargs", {})
    if not isinstance(kwargs, dict):
        raise SuiteError(f"{where}.kwargs: must be an object")
    meta = item.get("meta", {})
    notes = meta.get("notes", "") if isinstance(meta, dict) else None
    if not isinstance(notes, str):
        raise SuiteError(f"{where}.meta.notes: must be text")
    _check_arguments(type_, kwargs, f"{where}.kwargs")
    return Expectation(type_, kwargs, severity, notes, _id(type_, kwargs))


def _check_arguments(type_: str, kwargs: dict[str, Any], where: str) -> None:
    kind = KINDS[type_]
    if unknown := sorted(kwargs.keys() - kind.required - kind.optional):
        known = ", ".join(sorted(kind.required | kind.optional))
        raise SuiteError(f"{where}: {type_} does not take {unknown[0]!r}; it takes {known or 'nothing'}")
    if missing := sorted(kind.required - kwargs.keys()):
        raise SuiteError(f"{where}: {type_} needs {missing[0]!r}")
    if kind.optional >= BOUNDS:
        low, high = kwargs.get("min_value"), kwargs.get("max_value")
        if low is None and high is None:
            raise SuiteError(f"{where}: {type_} needs min_value or max_value")
        if low is not None and high is not None:
            if isinstance(low, str) != isinstance(high, str):
                raise SuiteError(f"{where}: min_value {low!r} and max_value {high!r} are of different kinds")
            if low > high:
                raise SuiteError(f"{where}: min_value {low!r} is greater than max_value {high!r}")
    for key in ("value_set", "column_list", "column_set"):
        if key in kwargs and (not isinstance(kwargs[key], list) or not kwargs[key]):
            raise SuiteError(f"{where}.{key}: must be a list with at least one entry")
    mostly = kwargs.get("mostly", 1)
    if isinstance(mostly, bool) or not isinstance(mostly, int | float) or not 0 < mostly <= 1:
        raise SuiteError(f"{where}.mostly: {mostly!r} is not a share between 0 and 1")


def _id(type_: str, kwargs: Mapping[str, Any]) -> str:
    columns = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
    columns += kwargs.get("column_list", kwargs.get("column_set", ()))
    return f"{type_}({', '.join(map(str, columns))})"


def _long_id(expectation: Expectation) -> str:
    arguments = [
        f"{key}={json.dumps(value, ensure_ascii=False, sort_keys=True)}"
        for key, value in sorted(expectation.kwargs.items())
        if key not in {"column", "column_A", "column_B", "column_list", "column_set"}
    ]
    return f"{expectation.id[:-1]}; {', '.join(arguments)})"


def _digest(name: str, expectations: tuple[Expectation, ...]) -> str:
    judged = [{"type": e.type, "kwargs": dict(e.kwargs), "severity": e.severity} for e in expectations]
    canonical = json.dumps({"name": name, "expectations": judged}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
