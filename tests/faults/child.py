"""A process that builds, checks or publishes, and strikes where it is told to: ``child.py … --at <step> --do die``.

A step is ``module:function``, with ``:after`` for the moment when the function has returned, and a number for its n-th
call. There it kills itself, stops itself, or kills another process and goes on. ``--crawl`` makes the build's Spark
query take a quarter of a second for each row, or as long as it says, so that there is time to kill something meanwhile.
The connections come from the environment, as they do for a task of Airflow.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import signal
import time
from collections.abc import Callable
from typing import Any


def at(step: str, strike: Callable[[], None]) -> None:
    """Strike when the process comes to that step."""
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
            strike()
        result = original(*arguments, **named)
        if calls == 0 and "after" in rest:
            strike()
        return result

    static = isinstance(inspect.getattr_static(owner, last), staticmethod)
    setattr(owner, last, staticmethod(wrapped) if static else wrapped)


def die() -> None:
    """End this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    """Stand still until somebody sends SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)


def killer(pid: int) -> Callable[[], None]:
    """End another process, and go on when it is gone: its port is closed, and so are its children's connections."""

    def kill() -> None:
        os.kill(pid, signal.SIGKILL)
        time.sleep(1)

    return kill


def crawl(milliseconds: int) -> None:
    """Make the build's query take so long for each row."""
    from pyspark.sql import functions as F

    from feedmill.flow import build

    original = build._transformed

    def slowly(*arguments: Any) -> Any:
        nap = F.call_function("reflect", F.lit("java.lang.Thread"), F.lit("sleep"), F.lit(milliseconds).cast("bigint"))
        return original(*arguments).filter(F.coalesce(nap, F.lit("")) != "never")

    build._transformed = slowly


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["build", "check", "publish", "make"])
    parser.add_argument("tables", help="by commas")
    parser.add_argument("what", help="the range START/END, or the build's id")
    parser.add_argument("--owner", default="test/run")
    parser.add_argument("--at", help="the step")
    parser.add_argument("--do", default="die", help="what happens there: die, stop, or the pid that is killed")
    parser.add_argument("--crawl", type=int, nargs="?", const=250, help="milliseconds for each row")
    asked = parser.parse_args()
    from feedmill.deployment import open_deployment
    from feedmill.flow.build import build
    from feedmill.flow.check import check
    from feedmill.flow.job import Job
    from feedmill.flow.publish import publish
    from feedmill.timeline import parse

    deployment = open_deployment()
    if asked.at:
        at(asked.at, {"die": die, "stop": stop}.get(asked.do) or killer(int(asked.do)))
    if asked.crawl:
        crawl(asked.crawl)
    for name in asked.tables.split(","):
        table = deployment.tables[name]
        build_id = asked.what
        if asked.verb in ("build", "make"):
            start, _, end = asked.what.partition("/")
            build_id = build(Job(table, table.range(parse(start), parse(end)), deployment, asked.owner)).build_id
        if asked.verb in ("check", "make"):
            check(table, build_id, deployment)
        if asked.verb in ("publish", "make"):
            publish(table, build_id, deployment.ledger, deployment.lake)


if __name__ == "__main__":
    main()
