"""The base of all exceptions of Feedmill."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import feedmill
from feedmill.errors import Exit, FeedmillError, Turn

SOURCES = sorted(Path(str(feedmill.__file__)).parent.rglob("*.py"))


def test_every_exception_of_ours_has_the_one_base() -> None:
    others = [
        f"{path.name}: {node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and node.name != "FeedmillError"
        and any(ast.unparse(base).endswith(("Error", "Exception")) for base in node.bases)
        and "FeedmillError" not in map(ast.unparse, node.bases)
    ]
    assert others == []


def test_an_exception_must_state_exit_code_retry_and_turn() -> None:
    with pytest.raises(TypeError, match="'retry' and 'turn'"):
        type("VagueError", (FeedmillError,), {}, code=Exit.PROBLEM)

    class ClearError(FeedmillError, code=Exit.BUSY, retry=True, turn=Turn.NOBODY):
        pass

    error = ClearError("wait")
    assert (error.code, error.retry, error.turn) == (Exit.BUSY, True, Turn.NOBODY)
