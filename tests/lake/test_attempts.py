"""The one loop of commits that others may come before."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException

from feedmill.lake import attempts
from feedmill.lake.attempts import ATTEMPTS, until_committed
from feedmill.spec import Files, Maintainer, Table
from feedmill.timeline import HOUR, days


@dataclass
class Metadata:
    version: int
    properties: dict[str, str] = field(default_factory=lambda: {"commit.retry.num-retries": "20"})

    def model_copy(self, update: dict[str, Any]) -> Metadata:
        return replace(self, **update)


@dataclass
class Iceberg:
    metadata: Metadata


class Lake:
    """A table whose metadata is another one each time that it is loaded."""

    def __init__(self) -> None:
        self.loads = 0

    def load(self, _table: Table) -> Iceberg:
        self.loads += 1
        return Iceberg(Metadata(self.loads))


@pytest.fixture
def hourly() -> Table:
    team = Maintainer("team", description="tests", link="mailto:team@example.com")
    return Table("demo.hourly", HOUR, [Files("events")], team, 2, days(90))


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_jittered", lambda _state: 0)


def commit(table: Table, errors: list[Exception]) -> list[Iceberg]:
    """Commit, and meet these errors first; what each attempt was given."""
    seen: list[Iceberg] = []

    def attempt(iceberg: Any) -> None:
        seen.append(iceberg)
        if errors:
            raise errors.pop(0)

    lake: Any = Lake()
    until_committed(table, lake, attempt, "the test")
    return seen


def test_each_attempt_starts_from_the_newest_metadata_and_without_pyicebergs_own_retries(
    hourly: Table, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    conflicts = [
        CommitFailedException("main has changed"),
        CommitStateUnknownException("no answer"),
        ValueError("Cannot add snapshot with sequence number 3 older than last sequence number 3"),
    ]
    seen = commit(hourly, conflicts)
    assert [iceberg.metadata.version for iceberg in seen] == [1, 2, 3, 4]
    assert {iceberg.metadata.properties["commit.retry.num-retries"] for iceberg in seen} == {"0"}
    assert "another commit came before the test, attempt 3: Cannot add snapshot" in caplog.text


def test_an_error_that_is_no_conflict_ends_the_loop_at_once(hourly: Table) -> None:
    errors: list[Exception] = [ValueError("a bug"), CommitFailedException("never met")]
    with pytest.raises(ValueError, match="a bug"):
        commit(hourly, errors)
    assert len(errors) == 1


def test_the_loop_ends_with_a_conflict_after_so_many_attempts(hourly: Table) -> None:
    errors: list[Exception] = [CommitFailedException(f"number {n}") for n in range(ATTEMPTS + 5)]
    with pytest.raises(CommitFailedException, match=f"{ATTEMPTS} attempts of the test all met another commit"):
        commit(hourly, errors)
    assert len(errors) == 5
