"""What is known of tables at one moment: the facts that states are computed from. Pure types, no arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime

from feedmill.spec import FileKind, Table
from feedmill.timeline import Range


@dataclass(frozen=True)
class Published:
    """A published partition, as far as its state needs it."""

    begin: int
    number: int
    identity: str
    rows: int


@dataclass(frozen=True)
class Facts:
    """What the ledger knows about published partitions, files and touches."""

    published: Mapping[str, Mapping[datetime, Published]] = field(default_factory=dict)
    """By table name, by partition."""
    files: Mapping[FileKind, Mapping[datetime, int]] = field(default_factory=dict)
    """The largest number of a kind's files, by arrival hour."""
    touches: Mapping[str, Mapping[datetime, Mapping[datetime, int]]] = field(default_factory=dict)
    """By table name, touched partition and arrival partition: the number of the publish that said so."""
    expired: Mapping[str, Set[datetime]] = field(default_factory=dict)
    """By table name: the partitions that were published once and have passed their retention."""
    since: datetime | None = None
    """FEEDMILL_SINCE: where the history of a table begins that names no ``since`` of its own."""


@dataclass(frozen=True)
class Held:
    """Why a partition is held: the build, and the first critical finding's message."""

    build_id: str
    message: str
    begin: int = 0
    """The build's; 0 where it is not known."""
    expectation: str = ""
    """The id of the first critical expectation that failed."""
    judged_at: datetime | None = None
    owner: str = ""
    """Who built it; empty where that is not known."""


@dataclass(frozen=True)
class Try:
    """A build that has published nothing of its range, or not yet: it failed, was stopped, died, or waits.

    ``ended`` says how it ended where that was an error, in words; None: it was built, or is at work.
    """

    span: Range
    begin: int
    build_id: str
    owner: str
    ended: str | None
    ended_at: datetime | None = None
    """When it ended, or gave its last sign of life; None where that is not known."""


@dataclass(frozen=True)
class FailedRun:
    """A DAG run that is over and failed, and the range that it was for."""

    span: Range
    run_id: str
    ended_at: datetime


@dataclass(frozen=True)
class AirflowFacts:
    """What only Airflow knows. Where it is not known, nothing is concluded from it."""

    paused: Set[str] = frozenset()
    """Ids of the DAGs that are paused."""
    alive: Set[str] = frozenset()
    """Owners (``<dag_id>/<run_id>``) whose run is not over: a retry may still come."""
    failed: Mapping[str, Sequence[FailedRun]] = field(default_factory=dict)
    """By DAG id: its failed runs."""


@dataclass(frozen=True)
class Knowledge:
    """Everything that is known of all tables at one moment."""

    facts: Facts
    held: Mapping[str, Mapping[datetime, Held]] = field(default_factory=dict)
    """By table name, by partition."""
    building: Mapping[str, Sequence[tuple[Range, str]]] = field(default_factory=dict)
    """By table name: the ranges that builds which live have claimed, and the builds."""
    identities: Mapping[str, str] = field(default_factory=dict)
    """By table name: the code's identity today."""
    tries: Mapping[str, Sequence[Try]] = field(default_factory=dict)
    """By table name: the builds that failed, and those that came after them."""
    airflow: AirflowFacts | None = None
    """None: Airflow was not asked, or did not answer."""


@dataclass(frozen=True)
class Cause:
    """Why a partition is stale: this input's partition (or arrival hour) carries a number above its begin."""

    input: str
    partition: datetime
    number: int


@dataclass(frozen=True)
class Spot:
    """One partition of one table, as an answer names it."""

    table: Table
    partition: datetime

    def __str__(self) -> str:
        return f"{self.table.name} {self.table.every.name_of(self.partition)}"
