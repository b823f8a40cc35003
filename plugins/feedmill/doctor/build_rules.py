"""The doctor's rules for builds that the ledger believes to be running."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from feedmill.doctor import examination
from feedmill.doctor.facts import Facts
from feedmill.doctor.rule import Finding, Rule
from feedmill.ledger import builds
from feedmill.spec import Table

if TYPE_CHECKING:
    from feedmill.deployment import Deployment

_MEND = "`feedmill doctor --mend` marks it as interrupted. Then clear `build` of its run."


def interrupt_dead(deployment: Deployment, tables: Sequence[Table], _now: datetime) -> None:
    """Mark builds whose process died as interrupted."""
    with deployment.ledger.transaction() as session:
        for worker in examination.workers(session, tables):
            # A process that was only asleep finds its claim gone when it wakes, and stops.
            builds.interrupted(session, worker.build_id, "its process died")


class DeadClaim(Rule[Facts]):
    """A build is recorded as running, but its heartbeat has stopped."""

    ill = "dead claim"
    mend = staticmethod(interrupt_dead)

    def look(self, seen: Facts) -> Iterator[Finding]:
        for one in seen.workers:
            if one.silent is not None:
                seconds = int(one.silent.total_seconds())
                what = f"build {one.build_id} of {one.owner} is recorded as running, but its heartbeat stopped "
                yield self.finding(one.table_name, f"{what}{seconds:,} s ago", _MEND, [one.build_id])


class NoClaim(Rule[Facts]):
    """A build is recorded as running, but has no claim."""

    ill = "build without claim"
    mend = staticmethod(interrupt_dead)

    def look(self, seen: Facts) -> Iterator[Finding]:
        for one in seen.workers:
            if one.silent is None:
                what = f"build {one.build_id} of {one.owner} is recorded as running, but has no claim"
                yield self.finding(one.table_name, what, _MEND, [one.build_id])
