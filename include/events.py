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

EARLIEST_EVENT_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""No feed is older. An earlier time is an unset clock (1970) or seconds where milliseconds were meant."""

CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""How far an event may lie after the end of the hour that it arrived in: clocks of devices run ahead."""
