"""What the doctor compares: the ledger, Iceberg and the landing zone as they were at one moment.

:mod:`feedmill.doctor.examination` gathers these facts; the rules read them and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from feedmill.spec import FileKind, Table


@dataclass(frozen=True)
class Recorded:
    """A published partition as the ledger has it."""

    rows: int
    digest: str
    today: bool = True
    """Whether today's code built it. A digest covers all columns, and other code may have had other columns."""


@dataclass(frozen=True)
class Unrecorded:
    """A commit on ``main`` that the ledger lacks."""

    build_id: str
    partitions: frozenset[datetime]
    known: bool = True
    """Whether the ledger knows the build. It does if a process died between the commit and its record."""


@dataclass(frozen=True)
class TableFacts:
    """One table, as the ledger and Iceberg had it at one moment, under the table's lock."""

    table: Table
    recorded: Mapping[datetime, Recorded] = field(default_factory=dict)
    on_main: Mapping[datetime, int] = field(default_factory=dict)
    """Rows by partition, from main's manifests. A partition without files is absent."""
    row_deletes: Sequence[datetime] = ()
    """Partitions on main in which another engine deleted rows, in order; ``on_main`` still counts those rows."""
    digests: Mapping[datetime, str] | None = None
    """Digests of the rows on main, read again; None without ``--rows``. A partition without rows is absent."""
    no_digests: str | None = None
    """With ``--rows``: why no digests could be computed; else None."""
    unrecorded: Sequence[Unrecorded] = ()
    newest: tuple[int, int] = (0, 0)
    """The largest (epoch, begin) of all commits on main."""
    intents: Sequence[str] = ()
    """Builds with an open intent. The table's lock was held, so no publish was at work on one."""
    branches: Mapping[str, str] = field(default_factory=dict)
    """Branches that nobody needs any more: the build, and how it ended."""
    unknown_branches: Sequence[str] = ()
    """Builds that have a branch, but that the ledger does not know."""
    ddl: tuple[str, str] | None = None
    """How the table differs from its DDL, and what to do; None if they agree."""


@dataclass(frozen=True)
class Worker:
    """A build that the ledger believes to be running, but that shows no sign of life."""

    build_id: str
    table_name: str
    owner: str
    silent: timedelta | None
    """How long ago its heartbeat stopped; None if it has no claim."""


@dataclass(frozen=True)
class Waiting:
    """A landed file that is not registered."""

    url: str
    folder_hour: datetime | None
    """None if its folder is not named after an hour."""
    modified: datetime
    closed: str | None = None
    """Why it cannot be opened; None if it can."""


@dataclass(frozen=True)
class Reader:
    """A table that reads files."""

    table: Table
    lookback: timedelta
    since: datetime | None
    """Where its history begins, as `status` has it; None: nobody knows yet."""
    is_given: bool
    """Whether the map or FEEDMILL_SINCE says so. Else it is the first published partition, and moves with it."""

    def newest(self, hour: datetime) -> datetime:
        """Its newest partition that reads the files of an arrival hour."""
        return self.table.every.floor(hour + self.lookback)

    def kept_until(self, hour: datetime) -> datetime:
        """When retention deletes the last partition that was built from an arrival hour."""
        return self.table.kept_until(self.newest(hour))


@dataclass(frozen=True)
class Unread:
    """A registered file that no build has read."""

    url: str
    kind: FileKind
    hour: datetime
    """The arrival hour for which it is registered."""
    received: datetime
    gone: bool = False
    """Whether the file is not there any more."""


@dataclass(frozen=True)
class Facts:
    """Everything that the rules compare."""

    now: datetime
    epoch: int
    counter: int
    tables: Sequence[TableFacts] = ()
    workers: Sequence[Worker] = ()
    """Builds that are recorded as running, and whose claim has expired or is missing."""
    altered: Mapping[str, Literal["gone", "changed"]] = field(default_factory=dict)
    """Registered files that are gone or have changed, by URL."""
    waiting: Sequence[Waiting] = ()
    misplaced: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Landed files in folders that are not named after an hour, by folder; registered or not."""
    odd: Mapping[str, str] = field(default_factory=dict)
    """What lies in the landing zone and is no regular file, by URL: a link, a pipe, a socket, a device."""
    unread: Sequence[Unread] = ()
    """Registered files that no build has read so far."""
    readers: Mapping[FileKind, Sequence[Reader]] = field(default_factory=dict)
    """All tables of the map that read files, by the kind of file."""
    pages_go_to: Sequence[str] = ()
    """The channels that reach people: those that are defined, and are not a file on this machine."""
    has_heartbeat: bool = False
    """Whether somebody would notice that ``watch`` is dead."""
