"""The vocabulary of engagement events: the types, which of them count as engaged, and what is plausible."""

from datetime import UTC, datetime, timedelta
from typing import Final

EVENT_TYPES: Final = (
    "impression",
    "click",
    "like",
    "share",
    "comment",
    "follow",
    "save",
    "hide",
    "opt_out",
    "play",
)
"""Every type that an event may report, as the log writes it."""

ENGAGED: Final = ("click", "like", "share", "comment", "follow", "save", "play")
"""The types by which a user says yes. A hide or an opt-out says no; an impression says nothing."""

VALUE_COLUMNS: Final = ("duration_ms", "revenue_micros")
"""What an event may be worth, in milliseconds watched and millionths of the currency unit; summed."""

UNKNOWN: Final = "unknown"
"""Stands for a dimension that the log did not say, so that a GROUP BY and a filter both find it."""

ANY: Final = "*"
"""Stands for every value of a dimension; no log may use it for one."""

EARLIEST_EVENT_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""No feed is older. An earlier time is an unset clock (1970) or seconds where milliseconds were meant."""

CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""How far an event may lie after the end of the hour that it arrived in: clocks of devices run ahead."""

POSITION_BUCKETS: Final = (
    ("0", 0),
    ("1", 1),
    ("2", 2),
    ("3", 3),
    ("4-5", 5),
    ("6-10", 10),
    ("11-20", 20),
)
"""Positions whose items are looked at about equally, by their last position; beyond is :data:`LAST_BUCKET`.

Logs count from 0 or from 1. Each of the first slots has a bucket of its own either way.
"""

LAST_BUCKET: Final = "21+"

SEGMENT: Final = "country"
"""What segments users: its value in the user's most recent event."""
