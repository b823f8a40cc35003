"""A simulated feed (docs/simulator.md), made once for all evaluations that ask for the same one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from evaluation.data import CACHE
from feedmill.simulate import VERSION
from feedmill.simulate.feed import simulate
from feedmill.simulate.settings import Settings

FEED = Settings(datetime(2026, 1, 5, tzinfo=UTC), days=28, users=4000, events_per_day=12_000, items=1500, seed=11)
"""The feed on which estimators are judged. Its seed was used for nothing else."""

DRIFTING = Settings(datetime(2026, 1, 5, tzinfo=UTC), days=84, users=2000, events_per_day=8000, items=1500, seed=12)
"""The feed on which half-lives are compared. It is long enough for tastes to drift."""


def folder(settings: Settings = FEED) -> Path:
    """The folder of the feed's landing zone and truth. Its name contains the settings, so each feed has its own."""
    name = f"feed-{VERSION}-{settings.days}d-{settings.users}u-{settings.events_per_day}e-{settings.items}i"
    path = CACHE / f"{name}-{settings.seed}"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        simulate(settings, path)
    return path
