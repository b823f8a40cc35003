"""When a maintainer works. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from feedmill.spec import Maintainer

SATURDAY = 5
A_YEAR = 366


def is_at_work(maintainer: Maintainer, now: datetime) -> bool:
    """Whether ``now`` lies in the maintainer's working hours."""
    local = now.astimezone(ZoneInfo(maintainer.time_zone))
    start, end = maintainer.working_hours
    return _works_on(maintainer, local.date()) and start <= local.hour < end


def next_work(maintainer: Maintainer, after: datetime) -> datetime:
    """The first moment from ``after`` on that lies in working hours."""
    return after if is_at_work(maintainer, after) else _next_start(maintainer, after)


def next_working_day(maintainer: Maintainer, after: datetime) -> datetime:
    """The beginning of work on the next working day; on the same day where work has not begun yet."""
    return _next_start(maintainer, after)


def _next_start(maintainer: Maintainer, after: datetime) -> datetime:
    zone = ZoneInfo(maintainer.time_zone)
    day = after.astimezone(zone).date()
    for n in range(A_YEAR):
        candidate = day + timedelta(days=n)
        start = datetime.combine(candidate, time(maintainer.working_hours[0]), zone).astimezone(UTC)
        if start > after and _works_on(maintainer, candidate):
            return start
    raise AssertionError(f"{maintainer.name} does not work on any day of a year")


def _works_on(maintainer: Maintainer, day: date) -> bool:
    return day.weekday() < SATURDAY and day not in _holidays(maintainer.holidays, day.year)


@cache
def _holidays(where: str, year: int) -> frozenset[date]:
    if not where:
        return frozenset()
    from holidays import country_holidays

    country, _, part = where.partition("-")
    return frozenset(country_holidays(country, subdiv=part or None, years=year))
