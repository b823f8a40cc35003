"""Runs one table's flow in this process, as its tasks do, and times each verb."""

from __future__ import annotations

import time
import uuid

from benchmarks.ground import Deployment
from feedmill.spec import Table
from feedmill.timeline import Range


def run(deployment: Deployment, table: Table, span: Range) -> dict[str, float]:
    """Seconds of build, check and publish of the range.

    Raises:
        AssertionError: a partition was held, so fewer were published than built.
    """
    from feedmill.flow.build import build
    from feedmill.flow.check import check
    from feedmill.flow.job import Job
    from feedmill.flow.publish import publish

    clock = time.perf_counter()
    built = build(Job(table, span, deployment, f"bench/{uuid.uuid4()}"))
    after_build = time.perf_counter()
    checked = check(table, built.build_id, deployment)
    after_check = time.perf_counter()
    outcome = publish(table, built.build_id, deployment.ledger, deployment.lake)
    end = time.perf_counter()
    assert not checked.held, checked.sentence
    assert len(outcome.published) + len(outcome.unchanged) >= len(span), outcome.describe(table.every)
    return {"build": after_build - clock, "check": after_check - after_build, "publish": end - after_check}
