"""How much a source usually lands in an hour, whether it has gone silent, and how many rows are rejected. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

import numpy as np

from feedmill.alerts.scene import Landed
from feedmill.freshness.series import Series, moment_of
from feedmill.timeline import HOUR, days

PATIENCE = timedelta(minutes=30)
"""An hour is judged so long after its end: what is on its way then counts."""

LOOKS_BACK = days(29)
"""Four weeks, and the present hour's day."""

WEEKS, LEAST_WEEKS, LATELY = 4, 2, 24
SILENT_BELOW = 0.1

REJECTED_SHARE, REJECTED_ROWS = 0.05, 100


@dataclass(frozen=True)
class Judged:
    """The newest arrival hour of a source that can be judged."""

    hour: datetime
    size: int
    usual: float
    silent_since: datetime | None
    """When the source was noticed to be silent: the end of the first silent hour. None: the hour is as usual."""


@dataclass(frozen=True)
class Rejected:
    """An arrival hour's rows, over all sources."""

    hour: datetime
    rejected: int
    rows: int
    """All of them, the rejected ones included."""

    @property
    def is_much(self) -> bool:
        """Whether somebody must be told."""
        return self.rejected > REJECTED_ROWS and self.rejected > REJECTED_SHARE * self.rows


def newest(landed: Landed, now: datetime) -> Judged | None:
    """The newest hour, compared with what the source usually lands; None where that is not known.

    While a silence lasts, its hours are no measure for later ones: else it would soon be usual. An hour in which the
    source usually lands nothing says nothing.
    """
    last = min(HOUR.floor(now - PATIENCE), landed.complete_until) - HOUR.length
    hour = min(landed.by_hour, default=last + HOUR.length)
    known: dict[datetime, int] = {}
    lately: deque[int] = deque(maxlen=LATELY)
    silent: dict[datetime, int] = {}
    since: datetime | None = None
    judged: Judged | None = None
    while hour <= last:
        size, usual = landed.by_hour.get(hour, 0), _usual(hour, known, lately)
        if usual is None or size > 0 or usual > 0:
            is_silent = usual is not None and size < SILENT_BELOW * usual
            since = (since or hour + HOUR.length) if is_silent else None
        if since is not None:
            silent[hour] = size
        else:
            known |= {**silent, hour: size}
            silent = {}
            lately.append(size)
        judged = Judged(hour, size, usual, since) if usual is not None else None
        hour += HOUR.length
    return judged


def newest_rejected(landed: Series, rejected: Series) -> Rejected | None:
    """The newest arrival hour with rows of which both tables are published; None: there is none."""
    places = np.intersect1d(landed.published_places(), rejected.published_places())
    for place in places[::-1].tolist():
        bad, good = (int(one.rows.within(place, place + 1)[0]) for one in (rejected, landed))
        if bad + good:
            return Rejected(moment_of(place, HOUR), bad, bad + good)
    return None


def _usual(hour: datetime, known: Mapping[datetime, int], lately: Sequence[int]) -> float | None:
    """The median of the same hour of the last weeks; of the last day where fewer than two weeks are known."""
    weeks = [known[at] for n in range(1, WEEKS + 1) if (at := hour - n * days(7)) in known]
    if len(weeks) >= LEAST_WEEKS:
        return float(median(weeks))
    return float(median(lately)) if len(lately) == LATELY else None
