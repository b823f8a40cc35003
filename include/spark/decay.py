"""Weights by age: what happened a half-life ago counts half."""

from dataclasses import dataclass
from typing import Final

from pyspark.sql import Column
from pyspark.sql import functions as F


@dataclass(frozen=True)
class Horizon:
    """How far back a feature looks."""

    name: str
    half_life: int
    """Days."""
    days: int
    """Days that are read, the own day included."""


HORIZONS: Final = (Horizon("long", half_life=28, days=56), Horizon("short", half_life=3, days=14))
"""A taste, and a mood. What is left out is older than two half-lives of the one, and more than four of the other."""


def weight(age: Column, horizon: Horizon) -> Column:
    """The weight of a day by its age in days; 0 beyond the horizon."""
    return F.when(age < horizon.days, F.pow(F.lit(0.5), age / horizon.half_life)).otherwise(F.lit(0.0))
