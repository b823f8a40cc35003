"""What a range still waits for: inputs that are not published, and partitions that another build has claimed.

:func:`not_ready` asks the ledger for many ranges at once, and :func:`lacking` for one that
nobody waits for. Both say whose the missing partition is and what became of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.freshness.facts import Facts, Spot
from feedmill.freshness.load import load
from feedmill.freshness.staleness import frozen_because, missing
from feedmill.ledger import builds
from feedmill.ledger.models import Build, Verdict
from feedmill.project import default_since
from feedmill.spec import Input, Maintainer, Table
from feedmill.timeline import Period, Range, parse


class Never(str):
    """Why a range is not ready, where no waiting will help."""

    __slots__ = ()


class FrozenError(FeedmillError, code=Exit.PROBLEM, retry=False, turn=Turn.CALLER):
    """An input that the range needs has passed its retention; it cannot be built."""


@dataclass(frozen=True)
class Wait:
    """A run that wants to build a range."""

    table: Table
    span: Range
    owner: str
    """The run, whose own claims do not keep it waiting."""
    since: datetime

    def packed(self) -> dict[str, Any]:
        """The wait as JSON, with what it asks of its table: whoever unpacks it may know another map, or none."""
        inputs = [entry for entry in self.table.inputs if isinstance(entry, Input)]
        return {
            "table": _packed(self.table),
            "inputs": [
                {
                    "table": _packed(entry.table),
                    "lookback": entry.lookback.total_seconds(),
                    "lag": entry.lag.total_seconds(),
                    "as_of": entry.as_of,
                    "optional": entry.optional,
                    "by": entry.by,
                }
                for entry in inputs
            ],
            "start": self.span.start.isoformat(),
            "end": self.span.end.isoformat(),
            "owner": self.owner,
            "since": self.since.isoformat(),
        }

    @classmethod
    def unpacked(cls, packed: Mapping[str, Any]) -> Wait:
        """The wait that was packed; of its table and those that it reads, what a wait asks and nothing else."""
        inputs = [
            Input(
                _table(entry["table"], []),
                lookback=timedelta(seconds=entry["lookback"]),
                lag=timedelta(seconds=entry["lag"]),
                as_of=entry["as_of"],
                optional=entry["optional"],
                by=entry["by"],
            )
            for entry in packed["inputs"]
        ]
        table = _table(packed["table"], inputs)
        span = table.range(parse(packed["start"]), parse(packed["end"]))
        return cls(table, span, packed["owner"], parse(packed["since"]))


def _packed(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "every": table.every.value,
        "maintainer": table.maintainer.name,
        "keep": table.keep.total_seconds(),
        "since": since.isoformat() if (since := table.since or default_since()) else None,
    }


def _table(packed: Mapping[str, Any], inputs: list[Input]) -> Table:
    maintainer = Maintainer(packed["maintainer"], description="", link="")
    since = packed.get("since")
    return Table(
        packed["name"],
        Period(packed["every"]),
        inputs,
        maintainer,
        3,
        timedelta(seconds=packed["keep"]),
        since=parse(since) if since else None,
    )


def not_ready(session: Session, waits: Iterable[Wait]) -> dict[Wait, str | None]:
    """For each, why it must wait, or None: it can be built now. One look at the ledger for all of them.

    The answer is :class:`Never` where it will not be ready however long it waits.
    """
    waits = list(waits)
    facts = load(session, {wait.table for wait in waits})
    return {wait: _why(session, wait, facts) for wait in waits}


def _why(session: Session, wait: Wait, facts: Facts) -> str | None:
    try:
        refuse_frozen(wait.table, wait.span, facts)
    except FrozenError as error:
        return Never(error)
    lacks = missing(wait.table, wait.span, facts)
    if lacks:
        since = f" since {wait.since:%H:%M}"
        return f"{wait.table.name} {wait.span}: waiting for {_explain(session, lacks, since)}"
    claims = [c for c in builds.live_claims(session, wait.table, wait.span) if c.owner != wait.owner]
    if claims:
        build, owner = claims[0].build_id, claims[0].owner
        return f"{wait.table.name} {wait.span}: waiting since {wait.since:%H:%M} for build {build} of {owner} to end."
    return None


def lacking(session: Session, table: Table, span: Range) -> str | None:
    """What the range needs and is not published, in two sentences; None: it can be built whole.

    Raises:
        FrozenError: it cannot be built at all.
    """
    facts = load(session, [table])
    refuse_frozen(table, span, facts)
    lacks = missing(table, span, facts)
    return f"{table.name} {span} lacks {_explain(session, lacks)}" if lacks else None


def refuse_future(table: Table, span: Range, now: datetime) -> None:
    """Let a range pass that has ended: a partition is published as a whole, and an arrival hour sealed for ever.

    Raises:
        ValueError: one sentence that says when it will have ended.
    """
    if span.end > now:
        raise ValueError(
            f"{table.name} {span} has not ended: built now, it would lack what is still to come; "
            f"wait until {span.end:%Y-%m-%dT%H:%M}"
        )


def refuse_frozen(table: Table, span: Range, facts: Facts) -> None:
    """Let a range pass of which nothing is frozen: with a part of its inputs gone, a partition would lose rows.

    Raises:
        FrozenError: one sentence that names the partition, and the input that has expired.
    """
    frozen = [(p, gone) for p in span.partitions() if (gone := frozen_because(table, p, facts))]
    if frozen:
        raise FrozenError(_frozen(table, *frozen[0], len(frozen) - 1))


def _frozen(table: Table, partition: datetime, gone: Spot, others: int) -> str:
    more = f", and so are {others} more partitions of the range" if others else ""
    return (
        f"{table.name} {table.every.name_of(partition)} is frozen{more}: it needs {gone}, which has passed its "
        f"retention of {gone.table.keep.days} days; what is published of it stays as it is"
    )


def _explain(session: Session, lacks: list[Spot], since: str = "") -> str:
    """What is missing, whose it is, and what became of it."""
    first = lacks[0]
    more = f" and {len(lacks) - 1} more" if len(lacks) > 1 else ""
    return f"{first}{more}{since}. It belongs to {first.table.maintainer.name}; {_fate(session, first)}."


def _fate(session: Session, wanted: Spot) -> str:
    """What the last build of the partition came to."""
    query = (
        select(Build)
        .where(
            Build.table_name == wanted.table.name,
            Build.range_start <= wanted.partition,
            Build.range_end > wanted.partition,
            Build.state != "discarded",
        )
        .order_by(Build.begin.desc())
        .limit(1)
    )
    build = session.scalars(query).first()
    if build is None:
        return f"it was never built: look at the DAG {wanted.table.dag_id}"
    if build.state == "failed":
        return f"its last build {build.id} failed: {(build.error or 'no reason was recorded').splitlines()[0]}"
    if build.state != "built":
        return f"its last build {build.id} is {build.state}"
    verdict = session.get(Verdict, (build.id, wanted.partition))
    if verdict is None:
        return f"its last build {build.id} waits for its check"
    if verdict.passed:
        return f"its last build {build.id} passed its check and waits to be published"
    critical = [f for f in verdict.findings if f.get("severity") == "critical"]
    reason = critical[0]["message"] if critical else "see its page"
    return f"its last build {build.id} failed in check ({reason})"
