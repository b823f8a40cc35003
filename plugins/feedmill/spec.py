"""What a table is: the types of the map in ``include/``, and the checks that a map must pass.

Facts only. Nothing here reads a clock, a database or a file, except :func:`require_files`, which looks
whether the files that belong to a table are there, and the check of a time zone, which reads the zone's rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias
from zoneinfo import ZoneInfo

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.timeline import DAY, Period, Range, hours

FileKind: TypeAlias = Literal["events", "items"]

KINDS: tuple[FileKind, ...] = ("events", "items")

Tier: TypeAlias = Literal[1, 2, 3]
"""1 pages at any hour, 2 in working hours, 3 only notifies."""

WINDOW = "{window}"
"""Stands in a service's queries for the length of time that they look back."""


class MapError(FeedmillError, code=Exit.USAGE, retry=False, turn=Turn.MAINTAINER):
    """The map in ``include/`` contradicts itself; the message names the table or the maintainer, and what to mend."""


class Ripple(StrEnum):
    """How far a change of an input makes its readers stale."""

    ALL = "all"
    """Every partition that reads it."""
    LATEST = "latest"
    """Only the reader's newest partition: a 56-day window is not rebuilt 56 times for one late hour."""
    NONE = "none"
    """No reader."""


@dataclass(frozen=True)
class Source:
    """A log format, and the folder of the landing zone that holds its files.

    ``layout`` says how its files are cut into rows: text lines (``.gz`` is decompressed) or Parquet. Of Parquet,
    ``columns`` are those that its ``read`` looks at; what else a file has is left alone.
    """

    name: str
    kind: FileKind
    suffixes: tuple[str, ...]
    layout: Literal["lines", "parquet"]
    columns: tuple[str, ...] = ()
    header: str = ""
    """How the first line of a file begins if it is a header, and so no row; its ``read`` drops it."""


@dataclass(frozen=True)
class Maintainer:
    """The team that owns tables, models, sources or services: where it is reached, when it works, who stands in."""

    name: str
    description: str
    link: str
    """Where to find them: an http(s) or mailto URL, shown as the owner's link in Airflow."""
    channels: tuple[str, ...] = ()
    """Ids of Airflow connections. The first one is told; if it takes nothing for five minutes, the next one is."""
    time_zone: str = "UTC"
    """Its IANA name, such as ``Europe/Berlin``."""
    working_hours: tuple[int, int] = (9, 17)
    """Local hours, ``[from, to)``, Monday to Friday."""
    holidays: str = ""
    """Public holidays, on which nobody works: a country of the library ``holidays``, with its part where the days
    differ, such as ``DE`` or ``DE-BE``. Empty: none."""
    backup: Maintainer | None = None
    """Who is told when none of this team's channels takes a message."""


class Maintainers:
    """All teams that may own something, in the order in which they are written."""

    def __init__(self, maintainers: Iterable[Maintainer], source: str = "include/maintainers.py"):
        """Check them.

        Raises:
            MapError: a name twice, a backup that is not one of them or leads back in a circle, or a link, a time zone
                or working hours that cannot be.
        """
        self._maintainers: dict[str, Maintainer] = {}
        self.source = source
        for one in maintainers:
            if one.name in self._maintainers:
                raise MapError(f"{source}: two maintainers have the name {one.name}; give one of them another name")
            self._maintainers[one.name] = one
        for one in self:
            _check_maintainer(one)
            if one.backup is not None and one.backup not in self:
                raise MapError(f"{source}: maintainer {one.name} has the backup {one.backup.name}, which is not there")

    @classmethod
    def found_in(cls, namespace: Mapping[str, Any]) -> Self:
        """Those that a module defines: ``MAINTAINERS = Maintainers.found_in(globals())`` below the last one.

        Raises:
            MapError: as for the same maintainers.
        """
        # By identity: the default maintainer has two names.
        return cls({id(value): value for value in namespace.values() if isinstance(value, Maintainer)}.values())

    def __iter__(self) -> Iterator[Maintainer]:
        return iter(self._maintainers.values())

    def __contains__(self, maintainer: object) -> bool:
        return isinstance(maintainer, Maintainer) and self._maintainers.get(maintainer.name) is maintainer

    def __getitem__(self, name: str) -> Maintainer:
        """The maintainer of that name.

        Raises:
            MapError: there is none; the message lists those that there are.
        """
        try:
            return self._maintainers[name]
        except KeyError:
            known = ", ".join(sorted(self._maintainers))
            raise MapError(f"{self.source} has no maintainer {name!r}; it has {known}") from None

    @property
    def names(self) -> set[str]:
        """Their names."""
        return set(self._maintainers)

    def require_holidays(self) -> None:
        """Check that everybody's public holidays are known.

        Not done when the module is imported: the library takes half a second, which each parse of a DAG file would pay.

        Raises:
            MapError: names the maintainer whose country, or part of it, the library ``holidays`` does not know.
        """
        import holidays

        for one in self:
            country, _, part = one.holidays.partition("-")
            try:
                if country:
                    holidays.country_holidays(country, subdiv=part or None)
            except NotImplementedError as error:
                raise MapError(
                    f"{self.source}: maintainer {one.name} has the holidays {one.holidays!r}: {error}; "
                    f"give it a country such as DE, or a part of one such as DE-BE"
                ) from None


def _check_maintainer(one: Maintainer) -> None:
    # Not when it is made: a waiting task in the triggerer makes one that has a name only.
    if not one.link.startswith(("https://", "http://", "mailto:")):
        raise MapError(f"maintainer {one.name} has the link {one.link!r}: begin it with https:// or mailto:")
    try:
        ZoneInfo(one.time_zone)
    except (KeyError, ValueError, OSError):
        raise MapError(
            f"maintainer {one.name} has the time_zone {one.time_zone!r}, which does not exist: "
            f"give it an IANA name such as Europe/Berlin"
        ) from None
    first, last = one.working_hours
    if not 0 <= first < last <= 24:
        raise MapError(
            f"maintainer {one.name} has the working_hours {one.working_hours}: give it two hours from 0 to 24, "
            f"the earlier one first"
        )
    chain = [one.name]
    stand_in = one.backup
    while stand_in is not None:
        if stand_in.name in chain:
            circle = " -> ".join([*chain, stand_in.name])
            raise MapError(f"maintainer {one.name} has a backup that leads back in a circle: {circle}")
        chain.append(stand_in.name)
        stand_in = stand_in.backup


@dataclass(frozen=True)
class Model:
    """A deployed model. Its red flags go to its maintainer."""

    model_id: str
    """What the log writes into an event."""
    description: str
    maintainer: Maintainer
    tier: Tier


@dataclass(frozen=True)
class Service:
    """A prediction service, judged by how fast it burns the error budget of an objective.

    An objective is a share of good requests, whatever good means: ``requests_total{code!~"5.."}`` counts those without
    a server error, ``request_duration_seconds_bucket{le="0.2"}`` those that took 200 ms at most. A service with two
    objectives has an entry for each.
    """

    name: str
    description: str
    maintainer: Maintainer
    tier: Tier
    conn_id: str
    """Airflow's connection to Prometheus, of type ``prometheus`` or ``http``. If it is not defined, nobody watches."""
    good: str
    """PromQL: how many requests were good, with ``{window}`` for the length of time."""
    total: str
    """PromQL: how many requests there were, with ``{window}`` for the length of time."""
    runbook: str
    """What to do when it pages: an http(s) URL."""
    objective: float = 0.999
    """The share of requests that must be good."""
    minimum: int = 100
    """So many requests a window must have: a few bad ones of a handful page nobody."""

    def __post_init__(self) -> None:
        for name in ("good", "total"):
            if WINDOW not in getattr(self, name):
                raise MapError(
                    f"service {self.name} has no {WINDOW} in its query {name!r}: write it in place of the length of "
                    f"time, as in increase(requests_total[{WINDOW}])"
                )
        if not 0 < self.objective < 1:
            raise MapError(f"service {self.name} has the objective {self.objective}: give it a share such as 0.999")
        if self.minimum < 1:
            raise MapError(f"service {self.name} has the minimum {self.minimum}: give it 1 request or more")
        if not self.runbook.startswith(("https://", "http://")):
            raise MapError(f"service {self.name} has the runbook {self.runbook!r}: begin it with https://")

    def queries(self, window: timedelta) -> tuple[str, str]:
        """The queries for good requests and for all of them, over a window that ends now."""
        length = f"{window // timedelta(seconds=1)}s"
        return self.good.replace(WINDOW, length), self.total.replace(WINDOW, length)


class Expects(StrEnum):
    """What is expected of a source."""

    ALWAYS = "always"
    """Rows in every hour, about as many as in the same hour of earlier weeks. If they stop, its maintainer is told."""
    NEVER = "never"
    """Nothing: it is retired, or somebody loads it by hand."""


@dataclass(frozen=True)
class Landing:
    """Whose a source is, and what is expected of it.

    Not in :class:`Source`, which is part of the reader's code: another maintainer would make its rows outdated.
    """

    source: str
    """Its name in ``include/spark/sources``. A name, because importing a source imports PySpark."""
    maintainer: Maintainer
    tier: Tier
    expects: Expects


@dataclass(frozen=True)
class Files:
    """The registered landed files of a kind as an input: those that arrived in ``[start - lookback, end)``."""

    kind: FileKind
    lookback: timedelta = timedelta(0)
    ripple: Ripple = Ripple.ALL

    @property
    def parameter(self) -> str:
        """The transform's parameter that receives the files' records."""
        return "event_records" if self.kind == "events" else "item_records"

    def window(self, reader: Range) -> tuple[datetime, datetime]:
        """Arrival hours that the range reads, ``[from, to)``."""
        return reader.start - self.lookback, reader.end


@dataclass(frozen=True)
class Input:
    """Another table as an input.

    - by interval (the default): its partitions in ``[start - lookback, end - lag)`` of the reader, so that a table
      that predicts a day can leave out the day itself;
    - ``as_of``: a dimension; its newest partition that ended, plus ``lag``, before the reader's end. ``optional``:
      until it has one, none is read; otherwise the reader waits for the first;
    - ``by="touches"``: every arrival partition that recorded rows for the reader's partition.
    """

    table: Table
    lookback: timedelta = timedelta(0)
    as_of: bool = False
    optional: bool = False
    lag: timedelta = timedelta(0)
    by: Literal["interval", "touches"] = "interval"
    ripple: Ripple = Ripple.ALL

    def __post_init__(self) -> None:
        if self.as_of and (self.lookback or self.by == "touches"):
            raise MapError(f"an input of {self.table.name} is as_of and has a window too; choose one")
        if self.optional and not self.as_of:
            raise MapError(
                f"an input of {self.table.name} is optional but is not as_of: a window's history begins anyway"
            )
        if self.lag < timedelta(0):
            raise MapError(f"an input of {self.table.name} has a negative lag: it would read what has not ended")
        if (self.lookback or self.lag) and self.by == "touches":
            raise MapError(f"an input of {self.table.name} is by touches and has a window too; choose one")
        # With a lag up to the lookback, neighbours' windows meet: those of a range are one interval without a gap.
        if self.lag > self.lookback and not self.as_of:
            raise MapError(
                f"an input of {self.table.name} has a lag but is not as_of and looks back less than that: "
                f"give it a lookback of {_span(self.lag)} or more, or leave out the lag"
            )

    @property
    def parameter(self) -> str:
        """The transform's parameter that receives the table's rows."""
        return self.table.short_name

    def window(self, reader: Range) -> tuple[datetime, datetime]:
        """The interval of the input's partitions that the range reads, ``[from, to)``."""
        return reader.start - self.lookback, reader.end - self.lag


@dataclass(frozen=True, eq=False)
class Table:
    """A table that Feedmill builds, ``<schema>.<name>``.

    Its DDL, transform and suite are the files of the same name under ``include/`` and ``expectations/``.
    """

    name: str
    every: Period
    inputs: Sequence[Input | Files]
    maintainer: Maintainer
    tier: Tier
    keep: timedelta
    """Retention: a partition whose end is longer ago than this is expired, and its rows are deleted."""
    due: timedelta = field(default_factory=lambda: hours(2))
    """A partition that is not published this long after its end is overdue."""
    since: datetime | None = None
    """Where its history begins: from here on every partition is due. Default: FEEDMILL_SINCE."""

    def __post_init__(self) -> None:
        if self.name.count(".") != 1:
            raise MapError(f"table {self.name!r} must be named <schema>.<name>")
        if self.since is not None and self.since.tzinfo is None:
            raise MapError(f"{self.name} has a since without a time zone: write datetime(…, tzinfo=UTC)")

    @property
    def schema(self) -> str:
        """The part before the dot: the layer."""
        return self.name.partition(".")[0]

    @property
    def short_name(self) -> str:
        """The part after the dot."""
        return self.name.partition(".")[2]

    @property
    def dag_id(self) -> str:
        """The id of the table's DAG: its name."""
        return self.name

    @property
    def ddl_path(self) -> Path:
        """Relative to the project."""
        return Path("include/sql", self.schema, f"{self.short_name}.sql")

    @property
    def transform_path(self) -> Path:
        """Relative to the project."""
        return Path("include/spark", self.schema, f"{self.short_name}.py")

    @property
    def transform_module(self) -> str:
        """The transform's import name."""
        return f"include.spark.{self.schema}.{self.short_name}"

    @property
    def suite_path(self) -> Path:
        """Relative to the project."""
        return Path("expectations", self.schema, f"{self.short_name}.json")

    @property
    def test_path(self) -> Path:
        """Relative to the project."""
        return Path("tests/spark", self.schema, f"test_{self.short_name}.py")

    def kept_until(self, partition: datetime) -> datetime:
        """When a partition passes its retention."""
        return partition + self.every.length + self.keep

    def one(self, partition: datetime) -> Range:
        """The range of one of its partitions."""
        return Range.one(partition, self.every)

    def range(self, start: datetime, end: datetime) -> Range:
        """The range ``[start, end)`` of its partitions.

        Raises:
            ValueError: the range is empty or not made of whole partitions.
        """
        return Range(start, end, self.every)

    def __repr__(self) -> str:
        return f"Table({self.name!r})"


class Map:
    """All tables, in lineage order: inputs before their readers."""

    def __init__(self, tables: Iterable[Table], source: str = "include/tables.py"):
        """Order and check the tables.

        Raises:
            MapError: a name twice, a cycle, a missing input, windows or retentions that cannot work.
        """
        self._tables: dict[str, Table] = {}
        self.source = source
        for table in tables:
            if table.name in self._tables:
                raise MapError(f"{source}: {table.name} is defined twice")
            self._tables[table.name] = table
        for table in self:
            self._check(table)
        graph = {table.name: {i.table.name for i in table.inputs if isinstance(i, Input)} for table in self}
        try:
            order = list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            raise MapError(
                f"{source}: these tables read each other in a circle: {' -> '.join(error.args[1])}"
            ) from None
        self._tables = {name: self._tables[name] for name in order}

    @classmethod
    def found_in(cls, namespace: Mapping[str, Any]) -> Self:
        """The tables that a module defines: ``TABLES = Map.found_in(globals())`` below the last one.

        Raises:
            MapError: as for a map of the same tables.
        """
        # By identity: one table may have two names.
        return cls({id(value): value for value in namespace.values() if isinstance(value, Table)}.values())

    def __iter__(self) -> Iterator[Table]:
        return iter(self._tables.values())

    def __len__(self) -> int:
        return len(self._tables)

    def __getitem__(self, name: str) -> Table:
        """The table of that name.

        Raises:
            MapError: there is none; the message lists those that there are.
        """
        try:
            return self._tables[name]
        except KeyError:
            raise MapError(f"{self.source} has no table {name!r}; it has {', '.join(self._tables)}") from None

    def in_schema(self, schema: str) -> list[Table]:
        """The tables of one layer, in lineage order."""
        return [table for table in self if table.schema == schema]

    def readers(self, table: Table) -> list[Table]:
        """The tables that read this one directly."""
        return [r for r in self if any(isinstance(i, Input) and i.table is table for i in r.inputs)]

    def _check(self, table: Table) -> None:
        where = f"{self.source}: {table.name}"
        if not isinstance(table.maintainer, Maintainer):
            raise MapError(f"{where} has no maintainer of include/maintainers.py, but {table.maintainer!r}")
        if not table.inputs:
            raise MapError(f"{where} has no inputs; it would never be stale")
        parameters = [i.parameter for i in table.inputs]
        if twice := {p for p in parameters if parameters.count(p) > 1}:
            raise MapError(f"{where} reads {', '.join(sorted(twice))} twice; give it one input with the wider window")
        for entry in table.inputs:
            if entry.lookback < timedelta(0):
                raise MapError(f"{where} has a negative lookback on {entry.parameter}")
            if isinstance(entry, Input):
                self._check_input(where, table, entry)
            elif entry.lookback % timedelta(hours=1):
                raise MapError(f"{where} looks back {entry.lookback} on {entry.parameter}: not whole arrival hours")

    def _check_input(self, where: str, table: Table, entry: Input) -> None:
        other = entry.table
        if self._tables.get(other.name) is not other:
            raise MapError(f"{where} reads {other.name}, which is not in the map")
        if table.every is not DAY and other.every is DAY and not entry.as_of:
            raise MapError(
                f"{where} is hourly and reads the daily {other.name} by interval: the day ends after the hour; "
                f"read it as_of=True"
            )
        if entry.lookback % other.every.length:
            raise MapError(
                f"{where} looks back {entry.lookback} on the {other.every.value} {other.name}: not whole partitions"
            )
        if not entry.as_of and entry.lag % other.every.length:
            raise MapError(f"{where} lags {entry.lag} on the {other.every.value} {other.name}: not whole partitions")
        if entry.by == "touches" and entry.table.every is not table.every:
            raise MapError(f"{where} reads {other.name} by touches; both must have the same period")
        if entry.as_of:
            # Until the next one has ended, plus the lag: a daily partition that an hourly table reads at 23:00.
            step = min(other.every.length, table.every.length)
            needed = ((2 * other.every.length + entry.lag - timedelta(microseconds=1)) // step) * step
        else:
            needed = entry.lookback + table.every.length
        # The age of the oldest row that is read, counted from its partition's start as the reader ends, must fit. A
        # partition expires only when its end is that old, and must still be there when the reader is due.
        needed = max(needed, needed + table.due - other.every.length)
        if other.keep < needed:
            raise MapError(
                f"{where} needs {_span(needed)} of {other.name}, which is kept {_span(other.keep)} only: "
                f"no partition could be built; keep {other.name} longer"
            )


def require_files(table: Table, project: Path) -> None:
    """Check that the table's DDL, transform and suite are there.

    Raises:
        MapError: names the table and the file that is missing.
    """
    for path, what in (
        (table.ddl_path, "DDL"),
        (table.transform_path, "transform"),
        (table.suite_path, "suite"),
    ):
        if not (project / path).is_file():
            raise MapError(
                f"{table.name} of include/tables.py has no {what}: {path} is missing; "
                f"`feedmill new-table {table.name}` writes the files that belong to a table"
            )


def _span(length: timedelta) -> str:
    return f"{length.days} days" if length >= timedelta(days=1) else f"{length // timedelta(hours=1)} hours"
