"""Phrases for the sentences about expectations: counts, bounds, lists, and values that were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_LINE = 200
"""The longest text that a found value may take."""

_LISTED = 12
"""How many entries of a set are written out."""


@dataclass(frozen=True)
class Count:
    """A number of rows, with the verb that fits it."""

    number: int

    def __str__(self) -> str:
        return "1 row" if self.number == 1 else f"{self.number:,} rows"

    @property
    def have(self) -> str:
        """``1 row has`` or ``17 rows have``."""
        return f"{self} {'has' if self.number == 1 else 'have'}"

    @property
    def are(self) -> str:
        """``1 row is`` or ``17 rows are``."""
        return f"{self} {'is' if self.number == 1 else 'are'}"

    @property
    def share(self) -> str:
        """``1 row shares its`` or ``17 rows share their``."""
        return f"{self} {'shares its' if self.number == 1 else 'share their'}"


def value(found: Any) -> str:
    """A found JSON value for a reader: numbers are grouped, lists are joined, long texts are cut."""
    if isinstance(found, bool) or found is None:
        return {True: "true", False: "false", None: "null"}[found]
    if isinstance(found, int | float):
        return number(found)
    text = ", ".join(value(item) for item in found) if isinstance(found, list) else str(found)
    return text if len(text) <= _LINE else text[: _LINE - 1] + "…"


def interval(low: Any, high: Any, above_low: bool = False, below_high: bool = False) -> str:
    """``0 or more``, ``below 5``, ``between 0 and 1``, ``from 0 to and below 1``; a bound may be missing, not both."""
    if high is None:
        return f"above {_bound(low)}" if above_low else f"{_bound(low)} or more"
    if low is None:
        return f"below {_bound(high)}" if below_high else f"{_bound(high)} or less"
    if not above_low and not below_high:
        return f"between {_bound(low)} and {_bound(high)}"
    return f"{'above' if above_low else 'from'} {_bound(low)} {'and below' if below_high else 'to'} {_bound(high)}"


def number(found: float) -> str:
    """``12,240`` or ``0.25``."""
    return f"{found:,}" if isinstance(found, int) else f"{found:,.6g}"


def values(entries: Sequence[Any], word: str = "or") -> str:
    """``feed or search``; of a long list the first entries and how many more there are."""
    shown = [str(entry) for entry in entries[:_LISTED]]
    rest = len(entries) - len(shown)
    return f"{', '.join(shown)} {word} {rest} more" if rest else listed(shown, word)


def listed(names: Sequence[str], word: str = "and") -> str:
    """``a``, ``a and b``, or ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def a(column: str) -> str:
    """The column with its article: ``a surface``, ``an item_id``."""
    return f"{'an' if column[:1].lower() in 'aeio' else 'a'} {column}"


def _bound(bound: Any) -> str:
    return number(bound) if isinstance(bound, int | float) else str(bound)
