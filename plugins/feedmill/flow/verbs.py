"""The flow of a table in one sentence: the order of its verbs, for its DAG and for ``feedmill build``."""

from __future__ import annotations

from enum import StrEnum


class Verb(StrEnum):
    """A step of the flow, in the order in which they follow each other; its value is the task's id."""

    WAIT_FOR_INPUTS = "wait_for_inputs"
    BUILD = "build"
    CHECK = "check"
    PUBLISH = "publish"
