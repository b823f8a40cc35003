"""Reading from the ledger what is held and what is being built: what `status` shows beside staleness."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from feedmill.freshness.states import Held
from feedmill.ledger.claims import alive
from feedmill.ledger.models import Acceptance, Build, BuiltPartition, Claim, Partition, Verdict
from feedmill.spec import Table
from feedmill.timeline import Range


def held(session: Session, tables: Iterable[Table]) -> dict[str, dict[datetime, Held]]:
    """By table and partition: its last checked build failed, and neither it, accepted, nor a later one is published."""
    names = [table.name for table in tables]
    newest = (
        select(
            Build.id,
            Build.table_name,
            Build.begin,
            Build.snapshot_id,
            Verdict.partition,
            Verdict.passed,
            Verdict.findings,
        )
        .join(Verdict, Verdict.build_id == Build.id)
        .where(Build.table_name.in_(names), Build.state == "built")
        .distinct(Build.table_name, Verdict.partition)
        .order_by(Build.table_name, Verdict.partition, Build.begin.desc())
        .subquery()
    )
    # An accept publishes at once; killed in between, it has helped no reader.
    accepted = (
        select(Acceptance.build_id)
        .join(
            Partition,
            and_(Partition.build_id == Acceptance.build_id, Partition.partition == Acceptance.partition),
        )
        .where(
            Acceptance.build_id == newest.c.id,
            Acceptance.partition == newest.c.partition,
            Acceptance.snapshot_id == newest.c.snapshot_id,
        )
    )
    later = select(Partition.build_id).where(
        Partition.table_name == newest.c.table_name,
        Partition.partition == newest.c.partition,
        Partition.begin > newest.c.begin,
    )
    query = select(newest).where(~newest.c.passed, ~accepted.exists(), ~later.exists())
    found: defaultdict[str, dict[datetime, Held]] = defaultdict(dict)
    for row in session.execute(query):
        critical = [finding for finding in row.findings if finding.get("severity") == "critical"]
        message = critical[0]["message"] if critical else "its page says why"
        found[row.table_name][row.partition] = Held(row.id, message)
    return dict(found)


def building(session: Session, tables: Iterable[Table]) -> dict[str, list[tuple[Range, str]]]:
    """By table: the ranges that builds which live have claimed, and the builds."""
    by_name = {table.name: table for table in tables}
    query = select(Claim).where(Claim.table_name.in_(list(by_name)), alive())
    found: defaultdict[str, list[tuple[Range, str]]] = defaultdict(list)
    for claim in session.scalars(query):
        span = Range(claim.range_start, claim.range_end, by_name[claim.table_name].every)
        found[claim.table_name].append((span, claim.build_id))
    return dict(found)


def newest_builds(session: Session, tables: Iterable[Table], limit: int) -> list[tuple[Build, int | None]]:
    """The builds that began last, newest first, each with the rows that it wrote."""
    rows = (
        select(BuiltPartition.build_id, func.sum(BuiltPartition.rows).label("rows"))
        .group_by(BuiltPartition.build_id)
        .subquery()
    )
    query = (
        select(Build, rows.c.rows)
        .outerjoin(rows, rows.c.build_id == Build.id)
        .where(Build.table_name.in_([table.name for table in tables]))
        .order_by(Build.begin.desc())
        .limit(limit)
    )
    return [(build, None if count is None else int(count)) for build, count in session.execute(query).tuples()]
