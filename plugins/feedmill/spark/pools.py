"""Fair shares of one Spark: a pool for each tier and age, so that a small build does not wait behind a large one.

Without pools Spark works first in, first out: a build of two million events keeps every core until its last task is
handed out. With them, each core that becomes free goes to the pool that is furthest below its share, and within a pool
to the stage with the fewest tasks at work.
"""

from __future__ import annotations

from datetime import datetime

from feedmill.spec import Table
from feedmill.timeline import Range, days

SETTING = "spark.scheduler.pool"
"""Set in a session: Spark hands a session's settings on to each of its jobs, and the scheduler looks for this one."""

OLD = days(2)
"""A build of a range that ended longer ago repeats history, and has half the share of its tier."""

_WEIGHTS = {1: 8, 2: 4, 3: 2}
"""By tier: how much of the cores a pool gets while others want them too."""


def pool_of(table: Table, span: Range, now: datetime) -> str:
    """The pool of a table's build or check of the range."""
    return f"tier-{table.tier}{'-old' if span.end + OLD < now else ''}"


def allocations() -> str:
    """The pools in the form of Spark's allocation file. Whoever names no pool is in ``default``, with the least share.

    The pools of tier 1 have a core before all others get a second one.
    """
    weights = {"default": (1, 0)}
    for tier, weight in _WEIGHTS.items():
        weights[f"tier-{tier}"] = (weight, 1 if tier == 1 else 0)
        weights[f"tier-{tier}-old"] = (weight // 2, 0)
    pools = "".join(
        f'<pool name="{name}"><schedulingMode>FAIR</schedulingMode><weight>{weight}</weight>'
        f"<minShare>{share}</minShare></pool>\n"
        for name, (weight, share) in weights.items()
    )
    return f'<?xml version="1.0"?>\n<allocations>\n{pools}</allocations>\n'
