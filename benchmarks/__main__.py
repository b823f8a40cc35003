"""``python -m benchmarks``: every question in a process of its own, then the document."""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks import QUESTIONS, report
from benchmarks.measure import say


def main() -> int:
    """0 if every question was measured; one that failed does not keep the others from it."""
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
        say(f"Not measured: {', '.join(failed)}; what stands there is older.")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
