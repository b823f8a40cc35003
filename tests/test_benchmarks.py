"""The benchmarks run, in tiny sizes, so that they do not rot; and their report says what it should."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import QUESTIONS, measure, report
from benchmarks.measure import Result

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of this test alone."""
    monkeypatch.setenv("FEEDMILL_BENCHMARKS", str(tmp_path))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.timeout(600)
def test_a_question_is_answered_in_small_and_its_rows_stand_in_the_document(name: str, folder: Path) -> None:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--small"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "FEEDMILL_HOME"))}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = measure.load(name, small=True)
    assert found is not None
    assert all(value > 0 for taken in found.samples.values() for value in taken)
    assert measure.load(name) is None, "a small run never replaces a measurement"
    page = report.document(small=True)
    assert all(f"| {row.what} | {row.value} |" in page for row in report._module(name).rows(found))


def test_what_was_never_measured_is_said_to_be_so(folder: Path) -> None:
    page = report.document()
    assert all(f"make bench ONLY={name}" in page for name in QUESTIONS)
    assert page.count("not measured") == len(QUESTIONS)


def test_a_missed_goal_is_said_to_be_missed(folder: Path) -> None:
    arms = ("by hand", "by hand: CPU", "runner", "runner: CPU", "DuckDB", "Polars")
    measure.save(
        Result(
            "build",
            {name: [1.2 if "runner" in name else 1.0] * 7 for name in arms},
            {"events": 10, "rows": 5},
        )
    )
    assert "| 1.20 [1.20, 1.20] | at most 1.10 | **no** |" in report.document()
    assert "1.20 [1.20, 1.20]" in report.readme(f"a {report.BEGIN}old{report.END} b")


def test_the_interval_of_the_median_is_made_of_order_statistics() -> None:
    assert measure.interval([7, 1, 6, 2, 5, 3, 4]) == (1, 7), "of seven: all of them"
    assert measure.interval(list(range(1, 12))) == (2, 10)
    assert measure.interval([1, 2, 3]) is None, "three samples bear no interval at 95 %"


def test_arms_take_turns_and_the_warm_round_does_not_count() -> None:
    order: list[str] = []
    samples = measure.interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, small=False)
    assert order == ["a", "b"] * (measure.RUNS + 1)
    assert {name: len(taken) for name, taken in samples.items()} == {"a": measure.RUNS, "b": measure.RUNS}
    assert measure.RUNS >= 7


def test_samples_are_added_only_to_those_of_the_same_sizes() -> None:
    first, second = (Result("build", {"by hand": [float(n)]}, {"events": 10}, stolen=n / 10) for n in (1, 3))
    both = measure.merged(first, second)
    assert (both.samples["by hand"], both.stolen) == ([1.0, 3.0], pytest.approx(0.2))
    with pytest.raises(ValueError, match="sizes or machine"):
        measure.merged(first, Result("build", {"by hand": [1.0]}, {"events": 11}))


def test_the_readme_has_the_markers() -> None:
    text = (PROJECT / "README.md").read_text()
    assert report.readme(text).startswith(text.partition(report.BEGIN)[0])


def test_the_readme_shows_one_row_for_each_of_five_questions() -> None:
    table = report.readme(f"{report.BEGIN}{report.END}").splitlines()
    assert len(table) == len(["marker", "head", "line", *report.IN_README, "marker"])
    assert not any("not measured" in row for row in table)
    for name in report.IN_README:
        found = measure.load(name)
        assert found is not None
        assert [row.headline for row in report._module(name).rows(found)].count(True) == 1


def test_every_committed_result_has_its_rows_with_growth_where_there_are_sizes() -> None:
    page = report.document()
    for name in QUESTIONS:
        found = measure.load(name)
        assert found is not None, name
        assert all(f"| {row.what} | {row.value} |" in page for row in report._module(name).rows(found))
    assert "all 22 tables from 50,000,000 events" in page
    assert "how their time grows from 1,000,000 to 50,000,000 events | events^" in page
    assert "events; growth |" in page
