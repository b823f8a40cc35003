"""The share of check and publish in an hourly run, small and large, and the import of Great Expectations.

The hour is one of `events.clean`, with 360 events as in the demo's week, judged in pandas, or with 3 million, judged in
Spark. Build, check and publish run in one process that has imported everything, because on the local stack a task is
forked from a scheduler that has. What that saves is measured separately. The check task of the small hour runs in a
fresh process, where it first imports Great Expectations and the rest. And it runs in a process that is forked from one
that has done what `feedmill.local.scheduler` does at its start. Both open their own connections. CPU seconds are those
of the process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from typing import Any

from benchmarks import data, flow, measure
from benchmarks.ground import PROJECT, Deployment, ground
from benchmarks.measure import Result, Row
from feedmill.spec import Table
from feedmill.timeline import HOUR, Range

SMALL = Range.one(datetime(2026, 5, 1, 12, tzinfo=UTC), HOUR)
LARGE = Range.one(datetime(2026, 5, 1, 13, tzinfo=UTC), HOUR)
EVENTS = {"small": 360, "large": 3_000_000}
VERBS = ("build", "check", "publish")

CHECK = """
import json, os, sys, time

clock, cpu = time.perf_counter(), time.process_time()
from feedmill.flow.check import check
from feedmill.deployment import open_deployment
import great_expectations.expectations.core
imported = time.perf_counter() - clock, time.process_time() - cpu
deployment = open_deployment()
checked = check(deployment.tables[sys.argv[1]], sys.argv[2], deployment)
assert not checked.held
print(json.dumps({"imports": imported[0], "imports cpu": imported[1],
                  "task": time.perf_counter() - clock, "task cpu": time.process_time() - cpu}))
"""

FORKED = """
import os, sys
from feedmill.local.scheduler import preload

preload()
sys.stdout.flush()
if os.fork() == 0:
    exec(os.environ["CHECK"])
    sys.stdout.flush()
    os._exit(0)
sys.exit(os.wait()[1])
"""


def main(small: bool) -> Result:
    """Small and large hours, and the check task with and without its imports, in turns."""
    from include.tables import clean, landed

    events = {**EVENTS, "large": 2_000} if small else EVENTS
    samples: dict[str, list[float]] = {}
    with ground() as deployment:
        for name, span in (("small", SMALL), ("large", LARGE)):
            data.fill(deployment, landed, span, events[name])
        build_id = built(deployment, clean)
        for number in measure.rounds(small):
            for name, span in (("small", SMALL), ("large", LARGE)):
                seconds = flow.run(deployment, clean, span)
                measure.say(f"  {number + 1} {name}: {seconds}")
                for verb in VERBS if number >= 0 else ():
                    samples.setdefault(f"{name}: {verb}", []).append(seconds[verb])
            for name, program in (("cold", CHECK), ("forked", FORKED)):
                found = check_task(program, clean, build_id)
                measure.say(f"  {number + 1} {name}: {found}")
                for what, value in found.items() if number >= 0 else ():
                    samples.setdefault(f"{name}: {what}", []).append(value)
    return Result("shares", samples, {"events": events}, small)


def built(deployment: Deployment, table: Table) -> str:
    """A build of the small hour that waits for its check."""
    from feedmill.flow.build import build
    from feedmill.flow.job import Job

    return build(Job(table, SMALL, deployment, f"bench/{uuid.uuid4()}")).build_id


def check_task(program: str, table: Table, build_id: str) -> dict[str, float]:
    """The time of a build's check in a process of its own, by that process's clocks."""
    path = os.pathsep.join([str(PROJECT), str(PROJECT / "plugins")])
    environment = {**os.environ, "PYTHONPATH": path, "CHECK": CHECK, "PYTHONWARNINGS": "ignore"}
    # Airflow is preloaded, but this is not one of its tasks, so connections come from the environment.
    command = [sys.executable, "-c", program, table.name, build_id]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"the check failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def rows(result: Result) -> list[Row]:
    """Shares of the three verbs, and what the preloaded scheduler saves."""
    found = []
    for name, count in result.facts["events"].items():
        verbs = {verb: result.samples[f"{name}: {verb}"] for verb in VERBS}
        totals = [sum(parts) for parts in zip(*verbs.values(), strict=True)]
        found.append(Row(f"{name} hour, {count:,} events: build, check and publish", measure.shown(totals)))
        for verb in VERBS:
            share = measure.ratios(verbs[verb], totals)
            value = f"{measure.shown(verbs[verb])}; {measure.shown(share, '%', 100)}"
            found.append(Row(f"{name}: {verb}, and its share", value))
        judged = [c + p for c, p in zip(verbs["check"], verbs["publish"], strict=True)]
        share = measure.shown(measure.ratios(judged, totals), "%", 100)
        found.append(Row(f"share of check and publish in an hour of {count:,} events", share))
    saved = [c - f for c, f in zip(result.samples["cold: task"], result.samples["forked: task"], strict=True)]
    cpu = [c - f for c, f in zip(result.samples["cold: task cpu"], result.samples["forked: task cpu"], strict=True)]
    return [
        *found,
        Row("check task, fresh process: imports", measure.shown(result.samples["cold: imports"])),
        Row("check task, fresh process: imports, CPU", measure.shown(result.samples["cold: imports cpu"])),
        Row("check task, fresh process, in all", measure.shown(result.samples["cold: task"])),
        Row("check task, forked from the preloaded scheduler, in all", measure.shown(result.samples["forked: task"])),
        Row("what the preloaded scheduler saves each check", measure.shown(saved)),
        Row("the same, CPU", measure.shown(cpu)),
    ]


if __name__ == "__main__":
    measure.command("shares", main, rows)
