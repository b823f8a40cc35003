"""What a physical plan says: its shuffles, and what no plan of this project may have."""

import contextlib
import io
import re

import pytest
from pyspark.sql import DataFrame
from pyspark.sql.connect.dataframe import DataFrame as ConnectFrame

FAULTS = ("BatchEvalPython", "ArrowEvalPython", "MapInPandas", "FlatMapGroups", "CartesianProduct", "NestedLoopJoin")
"""Python at work on rows, and joins of all with all."""


def physical(frame: DataFrame) -> str:
    """The plan before it runs.

    Skips the test without Spark Connect: there, a frame that is made in Python has no size, and Spark joins it as it
    joins no table of that size.
    """
    if not isinstance(frame, ConnectFrame):
        pytest.skip("plans are looked at over Spark Connect: elsewhere, frames made in Python have no known size")
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        frame.explain()
    return text.getvalue()


def shuffles(frame: DataFrame) -> list[str]:
    """By which columns rows are shuffled, the last shuffle first; broadcasts are none, nor is what is read again."""
    plan = "\n".join(line for line in physical(frame).splitlines() if "ReusedExchange" not in line)
    found = re.findall(r"(?<!Broadcast)Exchange (\w+)(?:\(([^)]*?)(?:, \d+)?\))?", plan)
    return [re.sub(r"#\d+L?", "", columns) if kind == "hashpartitioning" else kind for kind, columns in found]


def faults(frame: DataFrame) -> list[str]:
    """What of :data:`FAULTS` the plan has."""
    plan = physical(frame)
    return [fault for fault in FAULTS if fault in plan]
