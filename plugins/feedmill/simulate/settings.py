"""The choices of a simulation's caller."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MIN_ITEMS = 200
"""With fewer items a slate of 20 might not find 20 different live items."""


@dataclass(frozen=True)
class Settings:
    """Span and size of the feed, and the seed of everything in it.

    ``events_per_day`` is the expected number of impressions of an average day.

    Raises:
        ValueError: a size that cannot be simulated; the message says the least that can.
    """

    start: datetime
    days: int = 35
    users: int = 5_000
    events_per_day: int = 20_000
    items: int = 2_000
    seed: int = 7

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.start != self.start.astimezone(UTC).replace(
            hour=0, minute=0, second=0, microsecond=0
        ):
            raise ValueError(f"start: {self.start.isoformat()} is not the beginning of a UTC day")
        least = {"days": 1, "users": 10, "events_per_day": 100, "items": MIN_ITEMS, "seed": 0}
        most = {"days": 2_000, "users": 1 << 31, "events_per_day": 1 << 34, "items": 1 << 20, "seed": 1 << 63}
        for name, low in least.items():
            value = getattr(self, name)
            if not low <= value < most[name]:
                raise ValueError(f"{name}: {value} is not a number from {low} to {most[name] - 1}")

    @property
    def hours(self) -> int:
        """Hours from start to end."""
        return self.days * 24

    @property
    def end(self) -> datetime:
        """The end, exclusive. Records that arrive later have not landed."""
        return self.start + timedelta(days=self.days)
