"""How fast a service burns the error budget of its objective, and when somebody must be told. Pure.

The budget is the share of requests that may be bad. A burn rate of 1 uses it up exactly. An alarm looks at two windows:
the long one shows that it matters, the short one that it still goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from feedmill.alerts.scene import Requests
from feedmill.spec import Service, Tier

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Alarm:
    """Over both windows the budget burns at this rate, or faster."""

    kind: str
    long: timedelta
    short: timedelta
    rate: float
    tier: Tier


FAST = Alarm("latency, fast", timedelta(hours=1), timedelta(minutes=5), 14.4, 1)
SLOW = Alarm("latency, slow", timedelta(hours=6), timedelta(minutes=30), 6, 1)
TRICKLE = Alarm("latency, trickle", timedelta(days=3), timedelta(hours=6), 1, 2)
ALARMS = (FAST, SLOW, TRICKLE)
"""The fastest first."""

WINDOWS = tuple(sorted({window for alarm in ALARMS for window in (alarm.short, alarm.long)}))
"""All lengths of time that are asked for, the shortest first."""


def burn(requests: Requests, objective: float) -> float:
    """The burn rate; 0 where there were no requests."""
    bad = max(requests.total - requests.good, 0.0)
    return bad / requests.total / (1 - objective) if requests.total > 0 else 0.0


def holds(alarm: Alarm, service: Service, requests: Mapping[timedelta, Requests], is_open: bool) -> bool | None:
    """Whether somebody must be told, or must still know; None: too few requests to say so.

    An alarm that is open is over when its short window is well. One that is not open needs all shorter windows to burn,
    also those of the faster alarms: what is over already opens nothing.
    """
    long, short = (_burns(alarm, service, requests.get(window)) for window in (alarm.long, alarm.short))
    if is_open:
        return False if short is None and long is False else short
    shorter = [_burns(alarm, service, requests.get(window)) for window in WINDOWS if window < alarm.short]
    if False in (long, short, *shorter):
        return False
    return None if None in (long, short) else True


def _burns(alarm: Alarm, service: Service, requests: Requests | None) -> bool | None:
    if requests is None or requests.total < service.minimum:
        return None
    # A lax objective has no such rate: then all requests are bad.
    rate = min(alarm.rate, 1 / (1 - service.objective))
    return burn(requests, service.objective) >= rate * (1 - _ROUNDING)
