"""The finding that files of a partition were not read. No suite can expect it, because no row of the table shows it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from feedmill.checks.findings import Finding, Verdict, about_all
from feedmill.checks.kinds import Kind, Scope
from feedmill.checks.query import Rows
from feedmill.checks.suite import Expectation, Suite

_NOTES = (
    "`feedmill files list --quarantined` names the files and says why they are not read. Land their events anew, "
    "corrected, in a new file; or mend the file and `feedmill files readmit` it, and then restate the partition."
)


@dataclass(frozen=True)
class Arrived:
    """The files that arrived in a partition's hours, and how many of them are not read."""

    files: int = 0
    bytes: int = 0
    files_not_read: int = 0
    bytes_not_read: int = 0

    def __add__(self, other: Arrived) -> Arrived:
        return Arrived(
            self.files + other.files,
            self.bytes + other.bytes,
            self.files_not_read + other.files_not_read,
            self.bytes_not_read + other.bytes_not_read,
        )

    @property
    def share(self) -> float:
        """The share of the bytes that is not read; of the files if these hold no bytes."""
        if self.bytes:
            return self.bytes_not_read / self.bytes
        return self.files_not_read / self.files if self.files else 0.0

    def __str__(self) -> str:
        files, were = "file" if self.files == 1 else "files", "was" if self.files_not_read == 1 else "were"
        return (
            f"{self.files_not_read:,} of {self.files:,} {files} {were} not read: {self.bytes_not_read:,} of "
            f"{self.bytes:,} bytes ({100 * self.share:.2g} %)"
        )


class _FilesAreRead(Kind):
    """Every file that arrived is read. The ledger says so; Great Expectations is not asked."""

    scope: ClassVar[Scope] = "shape"

    def describe(self) -> str:
        return "every file that arrived is read"

    def deny(self) -> str:
        return "some of the files that arrived were not read"

    def complain(self, unexpected: int | None, observed: Any) -> str:  # noqa: ARG002
        return str(observed) if isinstance(observed, Arrived) else self.deny()

    def query(self, rows: Rows) -> str:
        return rows.aggregate("count(*) AS row_count")


@dataclass(frozen=True)
class _Expectation(Expectation):
    @cached_property
    def kind(self) -> Kind:
        return _FilesAreRead()


_FILES_ARE_READ = _Expectation("files_are_read", {}, "warning", _NOTES, "files_are_read")


def with_files(suite: Suite) -> Suite:
    """The suite as the page shows it, with what it is asked of the files; its digest stays."""
    return replace(suite, expectations=(*suite.expectations, _FILES_ARE_READ))


def about_files(verdict: Verdict, arrived: Arrived) -> Verdict:
    """The verdict, with a warning if files of the partition were not read. It passes or fails as before."""
    if not arrived.files_not_read:
        return verdict
    finding: Finding = replace(about_all(_FILES_ARE_READ, arrived), observed=arrived.share)
    return replace(verdict, findings=(*verdict.findings, finding))
