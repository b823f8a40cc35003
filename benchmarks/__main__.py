"""``python -m benchmarks``: measure every question in a process of its own, then write the document."""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks import QUESTIONS, report
from benchmarks.measure import say


def main() -> int:
    """Returns 0 if every question was measured. If one fails, the others are still measured."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--only", choices=QUESTIONS, action="append", help="one question; may be given again")
    given = parser.parse_args()
    failed = []
    for name in given.only or QUESTIONS:
        say(f"{name} …")
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    report.write()
    say("docs/benchmarks.md and the README's table are written.")
    if failed:
        say(f"Not measured: {', '.join(failed)}; the document shows older results for them.")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
