"""What fails the run and what does not: pytest runs for real, on tiny suites in a folder of their own."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = PROJECT / ".ci" / "long_suites.py"

FLAKY = """
import pathlib, pytest

@pytest.mark.faults
def test_first_time_unlucky():
    mark = pathlib.Path("was-here")
    was_here = mark.exists()
    mark.touch()
    assert was_here, "the first time"
"""
BROKEN = """
import pytest

@pytest.mark.faults
def test_broken():
    assert 1 == 2
"""
SOUND = """
import pathlib, pytest

@pytest.mark.slow
def test_sound():
    pathlib.Path("slow-ran").touch()

@pytest.mark.faults
def test_sound_too():
    pass
"""
RULE = FLAKY.replace("@pytest.mark.faults", "@pytest.mark.rule(3)\n@pytest.mark.faults")
PROPERTY = """
import pathlib, pytest
from hypothesis import given, strategies as st

@pytest.mark.faults
@given(st.integers())
def test_property(n):
    mark = pathlib.Path("was-here")
    was_here = mark.exists()
    mark.touch()
    assert was_here

@pytest.mark.faults
def test_after():
    pathlib.Path("went-on").touch()
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the long suites of a small project with these test files."""
    # Only the plugin that is needed: the others take a second of each start.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    options = "-q --strict-markers -p _hypothesis_pytestplugin"
    (tmp_path / "pytest.ini").write_text(f"[pytest]\naddopts = {options}\nmarkers =\n  faults\n  slow\n  rule\n")
    (tmp_path / "tests").mkdir()

    def go(*arguments: str, flaky: str = "", **files: str) -> subprocess.CompletedProcess[str]:
        for name, text in files.items():
            (tmp_path / "tests" / f"test_{name}.py").write_text(text)
        (tmp_path / "tests" / "flaky.txt").write_text(f"# a comment\n{flaky}\n")
        command = [sys.executable, str(SCRIPT), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)

    return go


@pytest.fixture
def module() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("long_suites_under_test", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def test_suites_without_failure_end_with_pytest_s_own_lines(run: Run) -> None:
    done = run(sound=SOUND)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("1 passed, 1 deselected") == 2
    assert "Left out for lack of time: nothing." in done.stdout


def test_a_flaky_test_is_reported_with_its_first_traceback_and_does_not_fail_the_run(run: Run, tmp_path: Path) -> None:
    done = run(flaky_one=FLAKY, sound=SOUND)
    assert done.returncode == 0, done.stdout + done.stderr
    report = done.stdout.partition("\nFlaky: ")[2]
    assert report.startswith("tests/test_flaky_one.py::test_first_time_unlucky failed, and passed when")
    assert "AssertionError: the first time" in report
    assert "tests/flaky.txt" in report
    assert "1 failed, 1 passed" in done.stdout
    assert (tmp_path / "slow-ran").exists(), "the suites after it are run"


def test_a_flaky_test_that_is_listed_fails_the_run(run: Run) -> None:
    done = run(flaky="tests/test_flaky_one.py::test_first_time_unlucky", flaky_one=FLAKY, sound=SOUND)
    assert done.returncode == 1
    assert "is listed in tests/flaky.txt and failed again" in done.stderr


def test_a_broken_test_fails_the_run(run: Run) -> None:
    done = run(broken=BROKEN, sound=SOUND)
    assert done.returncode == 1
    assert "test_broken failed twice, the second time alone" in done.stderr


@pytest.mark.parametrize("text", [RULE, PROPERTY], ids=["rule", "property"])
def test_a_rule_and_a_property_get_no_second_try(run: Run, tmp_path: Path, text: str) -> None:
    done = run(strict=text, sound=SOUND)
    assert done.returncode == 1
    assert "it gets no second try" in done.stderr
    seed = done.stderr.partition("--hypothesis-seed=")[2].split()[0]
    assert f"pytest --hypothesis-seed={seed}" in done.stdout
    assert not (tmp_path / "went-on").exists(), "the run ends at once"
    assert not (tmp_path / "slow-ran").exists()


def test_a_broken_fixture_and_a_module_that_cannot_be_imported_fail_the_run(run: Run) -> None:
    fixture = BROKEN.replace("def test_broken():", "def test_broken(nowhere):")
    done = run(broken=fixture, sound=SOUND)
    assert done.returncode == 1
    assert "test_broken failed twice" in done.stderr
    done = run(broken="import nowhere", sound=SOUND)
    assert done.returncode == 1
    assert "pytest ended with 2 in the suite faults" in done.stderr


def test_a_pytest_that_ends_without_a_word_fails_the_run(run: Run) -> None:
    done = run(flaky_one=FLAKY, then_gone=BROKEN.replace("assert 1 == 2", "__import__('os')._exit(1)"), sound=SOUND)
    assert done.returncode == 1
    assert "in the suite faults" in done.stderr


def test_a_suite_that_could_not_end_in_time_is_left_out_and_named(run: Run, tmp_path: Path) -> None:
    done = run("--spent", "1800", "--until", "53", sound=SOUND)
    assert done.returncode == 0
    assert "Left out for lack of time: faults." in done.stdout, "23 minutes are left: too few for it, enough for slow"
    assert (tmp_path / "slow-ran").exists()


def test_a_failure_without_time_for_a_second_try_fails_the_run(module: ModuleType, tmp_path: Path) -> None:
    clock = module.Clock(spent=0, until=1)
    failure = module.Failure("tests/test_x.py::test_x", False, "")
    assert "no time is left" in module.verdict(failure, set(), 1, clock, tmp_path)


def test_a_suite_that_is_stopped_keeps_what_failed_before_and_not_what_the_stop_itself_broke(
    run: Run, module: ModuleType, tmp_path: Path
) -> None:
    # PySpark's handler of the signal fails like this in whatever test is at work.
    endless = (
        "import time, pytest\n\n@pytest.mark.faults\ndef test_endless():\n    try:\n        time.sleep(600)\n"
        "    except KeyboardInterrupt:\n        raise AttributeError\n"
    )
    (tmp_path / "tests" / "test_a.py").write_text(BROKEN)
    (tmp_path / "tests" / "test_b.py").write_text(endless)
    code, failures = module.run_pytest(["-m", "faults"], 0.25, tmp_path)
    assert code is None
    assert [failure.test for failure in failures] == ["tests/test_a.py::test_broken"]


def git(folder: Path, *arguments: str, date: str = "2026-05-02T12:00:00Z") -> None:
    """Git, as somebody, at some time."""
    environment = {
        "PATH": "/usr/bin:/bin:/usr/local/bin",
        "HOME": str(folder),
        **{f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        "GIT_COMMITTER_DATE": date,
        "GIT_AUTHOR_DATE": date,
    }
    subprocess.run(["git", "-C", str(folder), *arguments], env=environment, check=True, capture_output=True)


def test_the_paths_of_the_last_day_s_commits_decide_what_comes_first(module: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init")

    def commit(path: str, date: str) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
        git(folder, "add", ".", date=date)
        git(folder, "commit", "-m", path, date=date)

    commit("plugins/feedmill/ledger/old.py", "2026-05-01T00:00:00Z")
    commit("plugins/feedmill/ledger/new.py", "2026-05-02T00:30:00Z")
    commit("include/a.py", "2026-05-02T12:00:00Z")
    assert module.changed(folder) == ["include/a.py", "plugins/feedmill/ledger/new.py"]
    commit("include/b.py", "2026-05-02T13:00:00Z")
    assert names(module, module.changed(folder)) == ["slow", "faults"]


def names(module: ModuleType, paths: list[str]) -> list[str]:
    return [suite.name for suite in module.ordered(module.SUITES, paths)]


def test_in_doubt_the_suites_keep_their_order(module: ModuleType, tmp_path: Path) -> None:
    assert module.changed(tmp_path) == [], "no repository"
    assert names(module, []) == ["faults", "slow"]
    assert names(module, ["README.md", "requirements.lock"]) == ["faults", "slow"]
    assert names(module, ["include/spark/events/clean.py"]) == ["slow", "faults"]
    assert names(module, ["plugins/feedmill/lake/publish.py", "include/tables.py"]) == ["faults", "slow"]


def test_every_path_that_decides_is_there(module: ModuleType) -> None:
    for suite in module.SUITES:
        assert [path for path in suite.about if not (PROJECT / path).exists()] == [], suite.name


def test_the_listed_flaky_tests_are_ids_of_tests(module: ModuleType) -> None:
    for test in module.flaky(PROJECT / module.FLAKY):
        assert (PROJECT / test.partition("::")[0]).is_file(), test


def test_each_of_the_ten_rules_has_tests_that_carry_its_number() -> None:
    texts = [path.read_text() for path in (PROJECT / "tests").rglob("test_*.py") if path != Path(__file__)]
    marks = [numbers for text in texts for numbers in re.findall(r"mark\.rule\(([\d, ]+)\)", text)]
    assert {int(number) for numbers in marks for number in numbers.split(", ")} == set(range(1, 11))
