"""How fast the simulator writes on one core, and in how much memory.

Each sample is a separate process, bound to one core. It runs the whole of `feedmill simulate`, from the seed to the
renamed folder, with truth and Parquet, for seven days, 100,000 users and 5,000 items. Rows are landed rows; imports are
not counted. Sizes take turns. 100 million events are written once, to show that memory does not grow with the rows.
Memory is the largest resident set. Processor time is given too: if it is much less than the time, the core did other
work.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import PROJECT, Result, Row

DAYS, USERS, ITEMS = 7, 100_000, 5_000
SIZES = (1_000_000, 10_000_000)
ONCE = 100_000_000
GOAL = 1e6


def main(small: bool) -> Result:
    """Both sizes in turn, then the largest."""
    samples: dict[str, list[float]] = {}
    rows: dict[str, int] = {}
    sizes = (10_000, 30_000) if small else SIZES
    for number in measure.rounds(small, warm=0):
        for size in sizes:
            keep(samples, rows, size, number, small)
    if not small:
        keep(samples, rows, ONCE, 0, small)
    return Result("simulate", samples, {"days": DAYS, "rows": rows}, small)


def keep(samples: dict[str, list[float]], rows: dict[str, int], size: int, number: int, small: bool) -> None:
    """Take one sample of a size."""
    program = f"from benchmarks.simulate import once; once({size}, {1_000 if small else USERS})"
    path = os.pathsep.join([str(PROJECT), str(PROJECT / "plugins")])
    command = [sys.executable, "-c", program]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=PROJECT, env=environment)
    found = json.loads(done.stdout)
    measure.say(f"  {number + 1} {size:,}: {found}")
    rows[str(size)] = found.pop("rows")
    for what, value in found.items():
        samples.setdefault(f"{what}: {size}", []).append(value)


def once(size: int, users: int) -> None:
    """One simulation on one core, in a folder that is deleted at the end; prints what it took as JSON."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import pyarrow as pa

    from feedmill.simulate.feed import simulate
    from feedmill.simulate.settings import Settings

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    settings = Settings(datetime(2026, 1, 5, tzinfo=UTC), DAYS, users, size // DAYS, ITEMS)
    folder = Path(tempfile.mkdtemp(prefix="feedmill-bench-"))
    try:
        clock, processor = time.perf_counter(), time.process_time()
        made = simulate(settings, folder / "feed")
        seconds, processor = time.perf_counter() - clock, time.process_time() - processor
    finally:
        shutil.rmtree(folder)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {"rows": made["rows"]["landed"], "seconds": seconds, "processor": processor, "megabytes": megabytes}
    sys.stdout.write(json.dumps(found))


def rows(result: Result) -> list[Row]:
    """A million rows a second is the goal."""
    found = []
    for size, count in result.facts["rows"].items():
        seconds, processor = (result.samples[f"{what}: {size}"] for what in ("seconds", "processor"))
        rates = [count / taken for taken in seconds]
        repeated = len(rates) > 1
        found.append(
            Row(
                f"simulated rows a second on one core, {count:,} rows",
                measure.shown(rates, "M", 1e-6),
                "at least 1 M" if repeated else "",
                measure.median(rates) >= GOAL if repeated else None,
            )
        )
        found.append(Row(f"{count:,} rows: processor time", measure.shown(processor)))
        found.append(Row(f"{count:,} rows: peak memory", f"{max(result.samples[f'megabytes: {size}']):,.0f} MB"))
    return found


if __name__ == "__main__":
    measure.command("simulate", main, rows)
