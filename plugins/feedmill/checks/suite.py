"""Suites: the expectations of a table, read from ``expectations/<schema>/<table>.json``.

Reading a suite does not import Great Expectations, which costs seconds.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from feedmill.checks.kinds import KINDS, Kind
from feedmill.errors import Exit, FeedmillError, Turn

if TYPE_CHECKING:
    from feedmill.checks.document import Document

Severity = Literal["critical", "warning"]

_NAMING = ("column", "column_A", "column_B", "column_list", "column_set")
"""The arguments that stand in every id, in this order."""


class SuiteError(FeedmillError, code=Exit.PROBLEM, retry=False, turn=Turn.MAINTAINER):
    """A suite is missing or wrong; each line of the message names the file and the field."""


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

    @cached_property
    def kind(self) -> Kind:
        """Its type, with its arguments."""
        return KINDS[self.type](**self.kwargs)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose values it reads; none for the row count and the columns of a table."""
        return self.kind.columns

    @property
    def strict(self) -> Expectation:
        """The same for every row, where a share of the rows would do."""
        return replace(self, kwargs={key: value for key, value in self.kwargs.items() if key != "mostly"})


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
        SuiteError: the file is missing or not JSON, the suite is empty or has no critical expectation, or a field of
            it is unknown, missing or wrong. Every wrong field has a line of its own in the message.
    """
    # Here, since only whoever reads a suite needs pydantic.
    from feedmill.checks.document import FieldErrors, read

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SuiteError(f"{path}: the file is missing; a table without a suite cannot be published") from None
    try:
        return _suite(read(json.loads(text)))
    except json.JSONDecodeError as error:
        raise SuiteError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    except FieldErrors as error:
        raise SuiteError("\n".join(f"{path}: {problem}" for problem in error.problems)) from None


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


def _suite(document: Document) -> Suite:
    from feedmill.checks.document import FieldErrors

    read = [
        Expectation(item.type, item.kwargs, item.severity, item.meta.notes, _id(item.type, item.kwargs))
        for item in document.expectations
    ]
    # Arguments stand in an id only where it needs them, so that a moved threshold keeps its history.
    labels = Counter(e.id for e in read)
    expectations = tuple(e if labels[e.id] == 1 else replace(e, id=_long_id(e)) for e in read)
    if twice := [label for label, count in Counter(e.id for e in expectations).items() if count > 1]:
        raise FieldErrors([f"expectations: {twice[0]} stands twice with the same arguments"])
    if not any(e.severity == "critical" for e in expectations):
        raise FieldErrors(["expectations: no expectation has severity critical, so nothing would ever be held"])
    return Suite(document.name, expectations, _digest(document.name, expectations))


def _id(type_: str, kwargs: Mapping[str, Any]) -> str:
    columns: list[Any] = []
    for key in _NAMING:
        value = kwargs.get(key, [])
        columns += value if isinstance(value, list) else [value]
    return f"{type_}({', '.join(map(str, columns))})"


def _long_id(expectation: Expectation) -> str:
    arguments = [
        f"{key}={json.dumps(value, ensure_ascii=False, sort_keys=True)}"
        for key, value in sorted(expectation.kwargs.items())
        if key not in _NAMING
    ]
    return f"{expectation.id[:-1]}; {', '.join(arguments)})"


def _digest(name: str, expectations: tuple[Expectation, ...]) -> str:
    judged = [{"type": e.type, "kwargs": dict(e.kwargs), "severity": e.severity} for e in expectations]
    canonical = json.dumps({"name": name, "expectations": judged}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
