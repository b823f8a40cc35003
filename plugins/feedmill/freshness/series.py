"""Facts of one table as columns, a value for each partition, and the arithmetic of windows over them. Pure.

A partition is its number here: hours, or days, since 1970. Ninety days of hours of a thousand tables are two million
partitions; as columns they take a hundred megabytes, and a question to all of them takes milliseconds a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from feedmill.freshness.facts import Facts, Published
from feedmill.timeline import HOUR, Period

Ints: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

NOTHING = -1
"""Where there is no number: not published, no file."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


def place_of(moment: datetime, every: Period) -> int:
    """The number of the partition that holds the moment."""
    return (moment - _EPOCH) // every.length


def moment_of(place: int, every: Period) -> datetime:
    """The start of the partition with that number."""
    return _EPOCH + int(place) * every.length


def seconds(length: timedelta) -> int:
    """Whole seconds of a length, rounded down."""
    return length // _SECOND


@dataclass
class Numbers:
    """A number for each place from ``base`` on; :data:`NOTHING` elsewhere."""

    base: int = 0
    values: Ints = field(default_factory=lambda: np.empty(0, np.int64))

    def put(self, places: Ints, values: Ints) -> None:
        """Write values at places; the column grows as far as needed."""
        if len(places) == 0:
            return
        self.reach(int(places.min()), int(places.max()) + 1)
        self.values[places - self.base] = values

    def reach(self, low: int, high: int) -> None:
        """Make the column cover ``[low, high)`` too."""
        if len(self.values) == 0:
            self.base, self.values = low, np.full(high - low, NOTHING, np.int64)
            return
        base, end = min(self.base, low), max(self.base + len(self.values), high)
        if end - base != len(self.values):
            # Half as much again at the end, so that an hour more does not copy everything each hour.
            grown = np.full(end - base + (len(self.values) // 64), NOTHING, np.int64)
            grown[self.base - base : self.base - base + len(self.values)] = self.values
            self.base, self.values = base, grown

    def within(self, low: int, high: int) -> Ints:
        """The values of ``[low, high)``."""
        return padded(self.values, self.base, low, high, NOTHING)


@dataclass
class Series:
    """The published and expired partitions of one table."""

    begin: Numbers = field(default_factory=Numbers)
    number: Numbers = field(default_factory=Numbers)
    rows: Numbers = field(default_factory=Numbers)
    identity: Numbers = field(default_factory=Numbers)
    """Places in ``codes``."""
    expired: Numbers = field(default_factory=Numbers)
    """1 where the partition has expired; its begin and number are :data:`NOTHING` then."""
    codes: list[str] = field(default_factory=list)
    """The code identities that occur."""

    def code(self, identity: str) -> int:
        """The place of a code identity in ``codes``, given one if it is new."""
        if identity not in self.codes:
            self.codes.append(identity)
        return self.codes.index(identity)

    def put(self, places: Ints, begin: Ints, number: Ints, rows: Ints, identity: Ints, expired: Flags) -> None:
        """Write what is known of these partitions now, in place of what was."""
        self.begin.put(places, np.where(expired, NOTHING, begin))
        self.number.put(places, np.where(expired, NOTHING, number))
        self.rows.put(places, rows)
        self.identity.put(places, identity)
        self.expired.put(places, np.where(expired, 1, NOTHING))

    def published_places(self) -> Ints:
        """The places of the published partitions, in order."""
        return np.flatnonzero(self.begin.values >= 0) + self.begin.base

    def expired_places(self) -> Ints:
        """The places of the expired partitions, in order."""
        return np.flatnonzero(self.expired.values >= 0) + self.expired.base

    def published_at(self, place: int) -> Published | None:
        """The published partition at a place."""
        begin = int(self.begin.within(place, place + 1)[0])
        if begin < 0:
            return None
        number, rows, code = (
            int(column.within(place, place + 1)[0]) for column in (self.number, self.rows, self.identity)
        )
        return Published(begin, number, self.codes[code], rows)


@dataclass
class Touches:
    """Which partitions of a reader the arrival partitions of one table carry rows for; parallel columns."""

    touched: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    arrival: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    number: Ints = field(default_factory=lambda: np.empty(0, np.int64))

    def replace(self, arrivals: Ints, touched: Ints, arrival: Ints, number: Ints) -> None:
        """Forget the touches of these arrival partitions, and take the others instead."""
        stays = ~np.isin(self.arrival, arrivals)
        self.touched = np.concatenate([self.touched[stays], touched])
        self.arrival = np.concatenate([self.arrival[stays], arrival])
        self.number = np.concatenate([self.number[stays], number])


@dataclass
class Columns:
    """The facts of many tables as columns; :class:`~feedmill.freshness.facts.Facts` says what each is."""

    published: dict[str, Series] = field(default_factory=dict)
    files: dict[str, Numbers] = field(default_factory=dict)
    """By kind, by arrival hour."""
    touches: dict[str, Touches] = field(default_factory=dict)
    """By arrival table."""
    since: datetime | None = None

    @classmethod
    def of(cls, facts: Facts, periods: Mapping[str, Period]) -> Columns:
        """The columns of facts that are given one by one; ``periods`` are those of the tables, by name."""
        made = cls(since=facts.since)
        for name in (facts.published.keys() | facts.expired.keys()) & periods.keys():
            series, every = made.published.setdefault(name, Series()), periods[name]
            known = sorted(facts.published.get(name, {}).items())
            gone = sorted(facts.expired.get(name, ()))
            places = [place_of(moment, every) for moment, _ in known] + [place_of(moment, every) for moment in gone]
            entries = [entry for _, entry in known] + [Published(0, 0, "", 0)] * len(gone)
            series.put(
                _ints(places),
                _ints(entry.begin for entry in entries),
                _ints(entry.number for entry in entries),
                _ints(entry.rows for entry in entries),
                _ints(series.code(entry.identity) for entry in entries),
                np.arange(len(places)) >= len(known),
            )
        for kind, by_hour in facts.files.items():
            made.files[kind] = Numbers()
            made.files[kind].put(_ints(place_of(hour, HOUR) for hour in by_hour), _ints(by_hour.values()))
        for name, by_touched in facts.touches.items():
            if name not in periods:
                continue
            every = periods[name]
            known_touches = [
                (place_of(touched, every), place_of(arrival, every), number)
                for touched, by_arrival in by_touched.items()
                for arrival, number in by_arrival.items()
            ]
            made.touches[name] = (
                Touches(*(_ints(column) for column in zip(*known_touches, strict=True)))
                if (known_touches)
                else Touches()
            )
        return made


def newest_code(series: Series) -> str | None:
    """The code identity of the published partition that was built last; None where nothing is published."""
    places = series.published_places()
    if not len(places):
        return None
    place = int(places[np.argmax(series.begin.values[places - series.begin.base])])
    return series.codes[int(series.identity.within(place, place + 1)[0])]


def padded(values: npt.NDArray[Any], base: int, low: int, high: int, nothing: Any) -> npt.NDArray[Any]:
    """The values of ``[low, high)`` of a column that begins at ``base``; ``nothing`` outside of it."""
    start, end = max(low - base, 0), min(high - base, len(values))
    if start == low - base and end == high - base:
        return values[start:end]
    found = np.full(high - low, nothing, values.dtype)
    if start < end:
        found[start + base - low : end + base - low] = values[start:end]
    return found


def largest(values: Ints, width: int, step: int, count: int) -> Ints:
    """The maximum of each of ``count`` windows of ``width`` values, ``step`` apart, from the first value on."""
    if width == step:
        return np.asarray(values.reshape(count, width).max(axis=1))
    # Windows of a power of two, each from two of half its length; two of them that overlap make any other length.
    power, covered = values, 1
    while 2 * covered <= width:
        power = np.maximum(power[: len(power) - covered], power[covered:])
        covered *= 2
    starts = np.arange(count) * step
    return np.maximum(power[starts], power[starts + width - covered])


def any_of(flags: Flags, width: int, step: int, count: int) -> Flags:
    """Whether any flag is set in each of ``count`` windows of ``width``, ``step`` apart, from the first flag on."""
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(flags)])
    starts = np.arange(count) * step
    return np.asarray(before[starts + width] > before[starts])


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, np.int64)
