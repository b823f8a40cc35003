"""How fast the simulator writes, and in how much memory: ``python benchmarks/simulate.py``.

Each run is a process of its own on one core: the whole command, from the seed to the renamed folder, with truth and
Parquet. Rows are landed rows. Medians of the runs and the largest peak of resident memory are printed. Processor
seconds are given too, because wall time says nothing on a machine that does other work.

    --runs 7                of each size
    --sizes 1000000 …       impressions; 100 million take some minutes and 5 GB of disk
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "plugins")]

DAYS = 7


def main() -> None:
    """Run each size, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--once", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once is not None:
        once(given.once, given.users)
        return
    print("| impressions | rows | rows/s | seconds | processor seconds | peak memory, MB |\n|---|---|---|---|---|---|")  # noqa: T201
    for size in given.sizes:
        command = [sys.executable, __file__, "--once", str(size), "--users", str(given.users)]
        found = [
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for _ in range(given.runs)
        ]
        seconds = statistics.median(run["seconds"] for run in found)
        processor = statistics.median(run["processor"] for run in found)
        memory = max(run["megabytes"] for run in found)
        rows = found[0]["rows"]
        cells = (
            f"{size:,}",
            f"{rows:,}",
            f"{rows / seconds:,.0f}",
            f"{seconds:.2f}",
            f"{processor:.2f}",
            f"{memory:,.0f}",
        )
        print(f"| {' | '.join(cells)} |", flush=True)  # noqa: T201


def once(size: int, users: int) -> None:
    """One simulation on one core, in a folder that is deleted at the end."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import pyarrow as pa

    from feedmill.simulate.landing import simulate
    from feedmill.simulate.settings import Settings

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    settings = Settings(datetime(2026, 1, 5, tzinfo=UTC), DAYS, users, size // DAYS, 5_000)
    folder = Path(tempfile.mkdtemp(prefix="feedmill-bench-"))
    try:
        clock, processor = time.perf_counter(), time.process_time()
        made = simulate(settings, folder / "feed")
        seconds, processor = time.perf_counter() - clock, time.process_time() - processor
    finally:
        shutil.rmtree(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"rows": made["rows"]["landed"], "seconds": seconds, "processor": processor, "megabytes": peak}
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
