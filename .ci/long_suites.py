"""The long suites, after everything that a change must pass: ``python .ci/long_suites.py --spent SECONDS``.

- The suites that the change concerns come first: the paths of the last day's commits decide. In doubt, the order is
  that of ``SUITES``.
- A suite begins only if it can end in time. Whatever is left out is said.
- A test that fails is run once more, alone. If it passes then, it is flaky: it is reported with its first traceback and
  does not fail the run. Write it into tests/flaky.txt and mend it: a test in that file that fails again fails the run.
- A test of one of the ten rules (marker ``rule``) or of a property (hypothesis) gets no second try: it fails the run at
  once. The seed of the properties is printed before each suite.

Exit code: 0, or 1 if the change broke something. The same file is the pytest plugin that notes what failed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FLAKY = Path("tests/flaky.txt")
MINUTES = 75.0
"""When everything must have ended, counted from the first step of .ci/run. CI's own limit is 90 minutes."""

RERUN = 5.0
"""Minutes that one second try may take."""

LOST = -1
"""Instead of pytest's exit code 1: it ended early, or some failure was not noted, so nobody can tell what to repeat."""


@dataclass(frozen=True)
class Suite:
    """One long suite, and what it is about."""

    name: str
    marker: str
    minutes: float
    """After so long it is stopped. It begins only if so much time is left."""
    about: tuple[str, ...]
    """Beginnings of the paths that concern it more than the other suites."""


ROOM = "plugins/feedmill/"

SUITES = (
    Suite(
        "faults",
        "faults",
        25,
        (
            *(
                ROOM + room
                for room in ("airflow/", "doctor/", "housekeeping/", "lake/", "landing/", "ledger/", "local/")
            ),
            *(ROOM + room for room in ("spark/", "flow/check.py", "flow/publish.py", "flow/wait.py")),
            "dags/",
            "tests/faults/",
            "tests/runners/",
        ),
    ),
    Suite(
        "slow",
        "slow and not faults",
        20,
        (
            *(ROOM + room for room in ("checks/", "flow/build.py", "flow/rows/", "freshness/", "simulate/")),
            "include/",
            "expectations/",
            "benchmarks/",
            "tests/spark/",
            "tests/test_benchmarks.py",
            "tests/test_whole_feed.py",
        ),
    ),
)


@dataclass(frozen=True)
class Failure:
    """A test that failed, as the plugin noted it."""

    test: str
    strict: bool
    """It is a test of a rule or of a property, so it gets no second try."""
    traceback: str


# What the change is about


def changed(folder: Path) -> list[str]:
    """The paths of the last day's commits, counted from the newest one; none if Git cannot tell."""
    try:
        newest = int(_git(folder, "log", "-1", "--format=%ct"))
        # The merged commits are listed themselves; a merge has no paths of its own.
        paths = _git(folder, "log", f"--since={newest - 86_400}", "--format=", "--name-only")
    except (OSError, subprocess.CalledProcessError, ValueError):
        return []
    return sorted({path for path in paths.splitlines() if path})


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def ordered(suites: Sequence[Suite], paths: Iterable[str]) -> list[Suite]:
    """The suites, those with the most paths of their own first; suites with equally many keep their order."""
    paths = list(paths)
    return sorted(suites, key=lambda suite: -sum(path.startswith(suite.about) for path in paths))


# Running


class Clock:
    """How many minutes are left."""

    def __init__(self, spent: float, until: float) -> None:
        """``spent`` seconds are gone already, and everything must end after ``until`` minutes."""
        self._end = time.monotonic() - spent + 60 * until

    def left(self) -> float:
        """In minutes."""
        return (self._end - time.monotonic()) / 60


def run(suites: Iterable[Suite], clock: Clock, folder: Path) -> int:
    """Run the suites while there is time, report flaky tests; 1 if something is broken, else 0."""
    known = flaky(folder / FLAKY)
    left_out: list[str] = []
    unsteady: list[Failure] = []
    seed = random.SystemRandom().randrange(2**32)
    for suite in suites:
        if suite.minutes > clock.left():
            left_out.append(suite.name)
            continue
        print(f"\nThe suite {suite.name}. Its properties: pytest --hypothesis-seed={seed}", flush=True)
        options = ["-m", suite.marker, f"--hypothesis-seed={seed}", "--durations=25"]
        code, failures = run_pytest(options, suite.minutes, folder)
        if code is None:
            left_out.append(f"the rest of {suite.name}, stopped after {suite.minutes:g} minutes")
        elif code not in (0, 1):
            return _broken(f"pytest ended with {code} in the suite {suite.name}: see above.")
        for failure in failures:
            reason = verdict(failure, known, seed, clock, folder)
            if reason:
                return _broken(reason)
        unsteady += failures
    for failure in unsteady:
        print(f"\nFlaky: {failure.test} failed, and passed when it was run once more alone. Its first traceback:")
        print(failure.traceback)
    if unsteady:
        print(f"\nPlease write these into {FLAKY}, and mend them before new work:")
        print("\n".join(failure.test for failure in unsteady))
    print(f"\nLeft out for lack of time: {', '.join(left_out) or 'nothing'}.", flush=True)
    return 0


def verdict(failure: Failure, known: set[str], seed: int, clock: Clock, folder: Path) -> str | None:
    """Why this failure fails the run; None if the test is flaky."""
    if failure.strict:
        return (
            f"{failure.test} is a test of a rule or of a property: it gets no second try. "
            f"If it is a property, --hypothesis-seed={seed} repeats it."
        )
    if failure.test in known:
        return f"{failure.test} is listed in {FLAKY} and failed again: mend it before new work."
    if clock.left() < RERUN:
        return f"{failure.test} failed, and no time is left to run it once more."
    print(f"\n{failure.test} failed. It is run once more, alone.", flush=True)
    code, _ = run_pytest([failure.test], RERUN, folder)
    return None if code == 0 else f"{failure.test} failed twice, the second time alone."


def run_pytest(options: Sequence[str], minutes: float, folder: Path) -> tuple[int | None, list[Failure]]:
    """Run pytest, its output on ours. Its exit code (None if it had to be stopped), and what failed."""
    with tempfile.TemporaryDirectory(prefix="long-suites-") as scratch:
        record = Path(scratch) / "failures.jsonl"
        path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", Path(__file__).stem, *options],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "LONG_SUITES_RECORD": str(record)},
        )
        code: int | None
        before = None
        try:
            code = process.wait(60 * minutes)
        except subprocess.TimeoutExpired:
            code = None
            # What fails from here on fails of the signal: PySpark's own handler of it may raise in the test at work.
            before = record.read_text() if record.exists() else ""
            # As Ctrl-C does: fixtures are torn down, and servers stopped.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        noted = before if before is not None else record.read_text() if record.exists() else ""
        facts = [json.loads(line) for line in noted.splitlines()]
    failures = [Failure(**fact) for fact in facts if "test" in fact]
    if code == 1 and {"failed": len(failures)} not in facts:
        code = LOST
    # A test can fail in its body and in its teardown; the first traceback counts.
    return code, list({failure.test: failure for failure in reversed(failures)}.values())[::-1]


def flaky(file: Path) -> set[str]:
    """The tests that are known to be flaky."""
    lines = file.read_text().splitlines() if file.exists() else []
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def _broken(reason: str) -> int:
    print(f"\nBroken: {reason}", file=sys.stderr, flush=True)
    return 1


# The pytest plugin


def pytest_exception_interact(node: Any, report: Any) -> None:
    """Note a failure at once, so that a run that is stopped later loses none; a strict test ends the run."""
    import pytest

    if not isinstance(node, pytest.Item):
        return  # a file that cannot be imported: pytest ends with another exit code than 1
    function = getattr(node, "obj", None)
    strict = node.get_closest_marker("rule") is not None or getattr(function, "is_hypothesis_test", False)
    _note({"test": node.nodeid, "strict": strict, "traceback": report.longreprtext})
    if strict:
        node.session.shouldfail = f"{node.nodeid} tests a rule or a property"


def pytest_sessionfinish(session: Any) -> None:
    """Note how many failures there were, in pytest's own count."""
    _note({"failed": session.testsfailed})


def _note(fact: dict[str, Any]) -> None:
    with Path(os.environ["LONG_SUITES_RECORD"]).open("a") as record:
        record.write(json.dumps(fact) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the long suites of the project in the current folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spent", type=float, default=0, help="seconds since the first step of .ci/run")
    parser.add_argument("--until", type=float, default=MINUTES, help="minutes after that step when all must have ended")
    given = parser.parse_args(arguments)
    folder = Path.cwd()
    return run(ordered(SUITES, changed(folder)), Clock(given.spent, given.until), folder)


if __name__ == "__main__":
    sys.exit(main())
