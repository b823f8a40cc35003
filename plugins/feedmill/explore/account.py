"""The arithmetic of an account: each row of a landed file stands somewhere, or nobody can explain it. Pure.

    rows of a file          =  landed + rejected + outstanding
    landed rows of an hour  =  clean + duplicates + outstanding

What is outstanding has a reason: a table that has not read it yet, or no longer holds it. Whatever is left over is
unexplained, and there should be none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property


@dataclass(frozen=True)
class FileCount:
    """The rows of one file, and where they are."""

    path: str
    source: str
    kind: str
    rows: int
    """As counted in the file; 1 where no build reads the file, since one rejected row stands for all of it."""
    landed: int
    """Its rows in events.landed. Of items: those that are not rejected, of which catalog.items takes the newest."""
    rejected: int
    because: str | None
    """Where the tables stand that have not read the file as it is now, or have expired; None: they show it as it is."""

    @property
    def outstanding(self) -> int:
        """Rows that are still to come; less than 0 where rows are still to go."""
        return 0 if self.because is None else self.rows - self.landed - self.rejected

    @property
    def unexplained(self) -> int:
        """Rows that are nowhere, or less than 0: rows that no file holds."""
        return self.rows - self.landed - self.rejected - self.outstanding


@dataclass(frozen=True)
class EventHourCount:
    """The landed rows of one event hour, and what events.clean made of them."""

    hour: datetime
    landed: int
    clean: int
    """Rows that are the record which events.clean has of their event."""
    duplicates: int
    """Rows of whose event events.clean has another record."""
    surplus: int
    """Rows of events.clean that say that they arrived then, and no landed row is theirs."""
    because: str | None
    """Where events.clean stands if it has not read these rows, or has expired; None: it has read them all."""

    @property
    def outstanding(self) -> int:
        """Rows whose event events.clean does not have yet, or any more."""
        return 0 if self.because is None else self.landed - self.clean - self.duplicates

    @property
    def unexplained(self) -> int:
        """Rows that are lost, and rows that came from nowhere."""
        strange = 0 if self.because else self.surplus
        return abs(self.landed - self.clean - self.duplicates - self.outstanding) + strange


@dataclass(frozen=True)
class Account:
    """Where the rows of files that arrived in one hour are; of all files, or of one."""

    hour: datetime
    files: Sequence[FileCount]
    events: Sequence[EventHourCount]
    """By event hour, oldest first."""

    @cached_property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self.files)

    @cached_property
    def unexplained(self) -> int:
        """Rows that nobody can explain; 0 where all is well."""
        return sum(abs(file.unexplained) for file in self.files) + sum(hour.unexplained for hour in self.events)
