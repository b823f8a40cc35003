"""A process that builds, checks or publishes, and kills itself where it is told to: ``child.py … --die <step>``.

A step is ``module:function``, with ``:after`` when the process shall die once the function has returned, and a number
for its n-th call. ``--crawl`` makes the build's Spark query take a quarter of a second for each row, so that there is
time to kill something meanwhile. The connections come from the environment, as they do for a task of Airflow.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import signal
from collections.abc import Callable
from typing import Any


def die_at(step: str) -> None:
    """Make the process SIGKILL itself at that step."""
    module, name, *rest = step.split(":")
    calls = int(next((part for part in rest if part.isdigit()), "1"))
    owner: Any = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    original: Callable[..., Any] = getattr(owner, last)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls -= 1
        if calls == 0 and "after" not in rest:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **named)
        if calls == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    static = isinstance(inspect.getattr_static(owner, last), staticmethod)
    setattr(owner, last, staticmethod(wrapped) if static else wrapped)


def crawl() -> None:
    """Make the build's query slow."""
    from pyspark.sql import functions as F

    from feedmill.runner import build

    original = build._transformed

    def slowly(*arguments: Any) -> Any:
        nap = F.call_function("reflect", F.lit("java.lang.Thread"), F.lit("sleep"), F.lit(250).cast("bigint"))
        return original(*arguments).filter(F.coalesce(nap, F.lit("")) != "never")

    build._transformed = slowly


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["build", "check", "publish", "make"])
    parser.add_argument("tables", help="by commas")
    parser.add_argument("what", help="the range START/END, or the build's id")
    parser.add_argument("--owner", default="test/run")
    parser.add_argument("--die")
    parser.add_argument("--crawl", action="store_true")
    asked = parser.parse_args()
    from feedmill.checks.check import check
    from feedmill.deployment import open_deployment
    from feedmill.lake.publish import publish
    from feedmill.runner.build import build
    from feedmill.timeline import parse

    deployment = open_deployment()
    if asked.die:
        die_at(asked.die)
    if asked.crawl:
        crawl()
    for name in asked.tables.split(","):
        table = deployment.tables[name]
        build_id = asked.what
        if asked.verb in ("build", "make"):
            start, _, end = asked.what.partition("/")
            build_id = build(table, table.range(parse(start), parse(end)), deployment, asked.owner).build_id
        if asked.verb in ("check", "make"):
            check(table, build_id, deployment)
        if asked.verb in ("publish", "make"):
            publish(table, build_id, deployment.ledger, deployment.lake)


if __name__ == "__main__":
    main()
