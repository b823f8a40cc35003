"""Partitions and ranges: pure arithmetic on UTC hours and days.

A partition is named by its start. A range is a run of consecutive partitions, ``[start, end)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum


class Period(Enum):
    """The length of a table's partitions."""

    HOUR = "hourly"
    DAY = "daily"

    @property
    def length(self) -> timedelta:
        """How long one partition is."""
        return timedelta(hours=1) if self is Period.HOUR else timedelta(days=1)

    @property
    def cron(self) -> str:
        """The cron expression whose data intervals are this period's partitions."""
        return "0 * * * *" if self is Period.HOUR else "0 0 * * *"

    def floor(self, moment: datetime) -> datetime:
        """The start of the partition that holds ``moment``."""
        moment = utc(moment)
        moment = moment.replace(minute=0, second=0, microsecond=0)
        return moment if self is Period.HOUR else moment.replace(hour=0)

    def ceil(self, moment: datetime) -> datetime:
        """The first partition start that is not before ``moment``."""
        floor = self.floor(moment)
        return floor if floor == utc(moment) else floor + self.length

    def name_of(self, start: datetime) -> str:
        """``2026-05-01T13`` for an hour, ``2026-05-01`` for a day."""
        return utc(start).strftime("%Y-%m-%dT%H" if self is Period.HOUR else "%Y-%m-%d")


HOUR = Period.HOUR
DAY = Period.DAY


def hours(count: int) -> timedelta:
    """``count`` hours; for the map, which reads better with ``hours(2)`` than with a constructor."""
    return timedelta(hours=count)


def days(count: int) -> timedelta:
    """``count`` days."""
    return timedelta(days=count)


def utc(moment: datetime) -> datetime:
    """``moment`` in UTC, as a plain datetime: Airflow hands out pendulum's, whose differences are not timedeltas.

    Raises:
        ValueError: ``moment`` is naive; a time without a zone is a guess.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone; write {moment.isoformat()}Z for UTC")
    return datetime.combine(moment.astimezone(UTC).date(), moment.astimezone(UTC).time(), UTC)


def parse(text: str) -> datetime:
    """A UTC time from ``2026-05-01``, ``2026-05-01T13`` or any ISO 8601 text; without a zone it is UTC.

    Raises:
        ValueError: the text is not a time.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write 2026-05-01 or 2026-05-01T13") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


@dataclass(frozen=True, order=True)
class Range:
    """Consecutive partitions of one period, ``[start, end)``; never empty, always aligned."""

    start: datetime
    end: datetime
    period: Period

    def __post_init__(self) -> None:
        start, end = utc(self.start), utc(self.end)
        if self.period.floor(start) != start or self.period.floor(end) != end:
            raise ValueError(
                f"the range {start:%Y-%m-%dT%H:%M} to {end:%Y-%m-%dT%H:%M} is not made of whole "
                f"{self.period.value} partitions; start and end must be {_aligned(self.period)}"
            )
        if start >= end:
            raise ValueError(f"the range {start:%Y-%m-%dT%H:%M} to {end:%Y-%m-%dT%H:%M} is empty; the end is exclusive")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "end", end)

    @classmethod
    def one(cls, partition: datetime, period: Period) -> Range:
        """The range of one partition."""
        return cls(partition, partition + period.length, period)

    @classmethod
    def cover(cls, start: datetime, end: datetime, period: Period) -> Range:
        """The smallest range whose partitions cover ``[start, end)``."""
        return cls(period.floor(start), period.ceil(end), period)

    def partitions(self) -> Iterator[datetime]:
        """Each partition's start, in order."""
        moment = self.start
        while moment < self.end:
            yield moment
            moment += self.period.length

    def __len__(self) -> int:
        return (self.end - self.start) // self.period.length

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def __str__(self) -> str:
        if len(self) == 1:
            return self.period.name_of(self.start)
        return f"{self.period.name_of(self.start)} to {self.period.name_of(self.end)}"


def runs(partitions: list[datetime], period: Period) -> list[Range]:
    """The fewest ranges that hold exactly these partitions, in order."""
    ranges: list[Range] = []
    for moment in sorted(set(partitions)):
        if ranges and ranges[-1].end == moment:
            ranges[-1] = Range(ranges[-1].start, moment + period.length, period)
        else:
            ranges.append(Range.one(moment, period))
    return ranges


def _aligned(period: Period) -> str:
    return "full hours" if period is Period.HOUR else "midnights (UTC)"
