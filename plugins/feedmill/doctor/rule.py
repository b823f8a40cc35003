"""A rule of the doctor: one thing that can be wrong, how the facts show it, and how it is mended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Generic, TypeAlias, TypeVar

from feedmill.spec import Table

if TYPE_CHECKING:
    from feedmill.deployment import Deployment

SHOWN = 5
"""How many partitions, files or builds one sentence names; --json has all."""

Mend: TypeAlias = "staticmethod[[Deployment, Sequence[Table], datetime], None]"
"""Mends one kind of damage in these tables. It looks again, because the facts may be old. It never changes a row."""

Seen = TypeVar("Seen")
"""The facts that a rule looks at."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    ill: str
    """The name of its rule."""
    table: str
    """Empty if it concerns no single table."""
    what: str
    """What is wrong, in one sentence without its full stop."""
    mend: str
    """What to do, in one or two sentences."""
    names: tuple[str, ...] = ()
    """All partitions, builds or files that it is about."""
    by_doctor: bool = False
    """Whether ``feedmill doctor --mend`` mends it."""

    def __str__(self) -> str:
        where = f"{self.table}: " if self.table else ""
        return f"{where}{self.what}. {self.mend}"


class Rule(ABC, Generic[Seen]):
    """One thing that can be wrong. :mod:`feedmill.doctor.rules` lists all rules."""

    ill: ClassVar[str]
    """What is wrong, in a few words: the heading of its findings."""
    mend: ClassVar[Mend | None] = None
    """What ``--mend`` does about it; None if a person must decide. Two rules may share one."""

    @abstractmethod
    def look(self, seen: Seen) -> Iterator[Finding]:
        """What is wrong in the facts. Pure."""

    def finding(self, table: str, what: str, mend: str, names: Sequence[str] = ()) -> Finding:
        """A finding of this rule."""
        return Finding(self.ill, table, what, mend, tuple(names), self.mend is not None)


def first_of(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def counted(number: int, one: str, many: str) -> str:
    """The number with what is said of one, or of many: 1 file is gone, 2 files are gone."""
    return f"{number:,} {one if number == 1 else many}"
