"""Builds: their begin, their claim on the partitions, and what they wrote (rules 2 and 9)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.orm import Session

from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.ledger import files
from feedmill.ledger.claims import alive, dead
from feedmill.ledger.models import Build, BuiltPartition, Claim
from feedmill.ledger.store import lock_counter
from feedmill.spec import Files, Table
from feedmill.timeline import HOUR, Range


class ClaimedError(FeedmillError, code=Exit.BUSY, retry=True, turn=Turn.NOBODY):
    """Another running build has claimed some of the partitions."""


@dataclass(frozen=True)
class Written:
    """One partition on a build's branch: its number of rows, their order-free digest, and the rows by touched hour."""

    partition: datetime
    rows: int
    digest: str
    touches: dict[datetime, int] | None


def live_claims(session: Session, table: Table, span: Range) -> list[Claim]:
    """The claims of running builds that overlap the range."""
    return list(session.scalars(_claims(table, span).where(alive())))


def _claims(table: Table, span: Range) -> Select[Claim]:
    return select(Claim).where(
        Claim.table_name == table.name, Claim.range_start < span.end, Claim.range_end > span.start
    )


def unfinished(session: Session, owner: str) -> list[Build]:
    """The owner's earlier tries that never ended. A retry interrupts their Spark sessions first."""
    return list(session.scalars(select(Build).where(Build.owner == owner, Build.state == "running")))


def interrupted(session: Session, build_id: str, error: str) -> bool:
    """Record that a try was interrupted, and drop its claim. False: it had ended already."""
    ended = session.execute(
        update(Build)
        .where(Build.id == build_id, Build.state == "running")
        .values(state="interrupted", error=error, finished_at=func.now())
        .returning(Build.id)
    ).first()
    session.execute(delete(Claim).where(Claim.build_id == build_id))
    return ended is not None


def close_dead(session: Session) -> None:
    """Record of all builds that died without a word that they were interrupted: nobody may ever build them again."""
    silent = select(Build.id).join(Claim, Claim.build_id == Build.id).where(Build.state == "running", dead())
    for build_id in session.scalars(silent).all():
        interrupted(session, build_id, "its process died")


def begin(session: Session, table: Table, span: Range, owner: str, identity: str) -> Build:
    """Claim the partitions, seal the build's own arrival hours, and take the begin.

    All of it holds the counter's lock, so if two builds begin at once, the second one sees the first one's claim.

    Raises:
        ClaimedError: a build of another owner is running on some of the partitions.
    """
    counter = lock_counter(session)
    close_dead(session)
    for claim in live_claims(session, table, span):
        if claim.owner != owner:
            raise ClaimedError(
                f"{table.name} {span}: build {claim.build_id} of {claim.owner} is at work on "
                f"{Range(claim.range_start, claim.range_end, table.every)}; try again when it has ended"
            )
    # These are the claims of our own earlier tries, and expired ones. A process that was suspended must not wake up and
    # go on building beside us.
    for claim in session.scalars(_claims(table, span)).all():
        interrupted(session, claim.build_id, f"{owner} took over")
    for entry in table.inputs:
        if isinstance(entry, Files):
            files.seal(session, entry.kind, Range(span.start, span.end, HOUR))
    counter.value += 1
    build = Build(
        id=uuid.uuid4().hex[:16],
        table_name=table.name,
        range_start=span.start,
        range_end=span.end,
        begin=counter.value,
        epoch=counter.epoch,
        identity=identity,
        owner=owner,
        state="running",
        session_id=str(uuid.uuid4()),
    )
    session.add(build)
    session.flush()
    session.add(
        Claim(
            build_id=build.id,
            table_name=table.name,
            range_start=span.start,
            range_end=span.end,
            owner=owner,
            # Not now(): that is when the transaction began, and it may have waited for the counter since.
            heartbeat_at=func.clock_timestamp(),
        )
    )
    return build


def pin(session: Session, build_id: str, pins: dict[str, Any]) -> None:
    """Record which snapshot of each input the build reads, and the rest of its pins."""
    session.execute(update(Build).where(Build.id == build_id).values(pins=pins))


def heartbeat(session: Session, build_id: str) -> bool:
    """Renew the build's claim. False: the claim is gone, because another try took over; this one must stop."""
    beat = session.execute(
        update(Claim)
        .where(Claim.build_id == build_id)
        .values(heartbeat_at=func.clock_timestamp())
        .returning(Claim.build_id)
    )
    return beat.first() is not None


def finish(session: Session, build_id: str, snapshot_id: int, written: list[Written]) -> None:
    """Record what the build wrote to its branch, and release the claim.

    Raises:
        ClaimedError: another try took over meanwhile. What this one wrote stays on its branch and is not used.
    """
    build = session.execute(select(Build).where(Build.id == build_id).with_for_update()).scalar_one()
    if build.state != "running":
        raise ClaimedError(f"build {build_id} was {build.state} meanwhile: {build.error}")
    build.state = "built"
    build.snapshot_id = snapshot_id
    build.finished_at = func.now()
    for entry in written:
        touches = None if entry.touches is None else {hour.isoformat(): rows for hour, rows in entry.touches.items()}
        session.add(
            BuiltPartition(
                build_id=build_id,
                partition=entry.partition,
                rows=entry.rows,
                digest=entry.digest,
                touches=touches,
            )
        )
    session.execute(delete(Claim).where(Claim.build_id == build_id))


def failed(session: Session, build_id: str, error: str) -> bool:
    """Record that the build failed, and release the claim. False: another try had taken over already."""
    ended = session.execute(
        update(Build)
        .where(Build.id == build_id, Build.state == "running")
        .values(state="failed", error=error, finished_at=func.now())
        .returning(Build.id)
    ).first()
    session.execute(delete(Claim).where(Claim.build_id == build_id))
    return ended is not None


def discard(session: Session, build_id: str) -> None:
    """Record that a finished build must not be published: somebody only wanted to look at it."""
    session.execute(update(Build).where(Build.id == build_id, Build.state == "built").values(state="discarded"))


def of_sessions(session: Session, session_ids: Iterable[str]) -> list[Build]:
    """The builds whose Spark sessions have these ids; other sessions may have looked for a file that fails."""
    return list(session.scalars(select(Build).where(Build.session_id.in_(list(session_ids)))))


def get(session: Session, build_id: str) -> Build:
    """The build.

    Raises:
        LookupError: the ledger knows no such build.
    """
    build = session.get(Build, build_id)
    if build is None:
        raise LookupError(f"the ledger knows no build {build_id}; `feedmill status --builds` lists the newest")
    return build


def written(session: Session, build_id: str) -> dict[datetime, BuiltPartition]:
    """What the build wrote, by partition."""
    rows = session.scalars(select(BuiltPartition).where(BuiltPartition.build_id == build_id))
    return {row.partition: row for row in rows}


def newest(session: Session, table_names: Iterable[str], limit: int) -> list[tuple[Build, int | None]]:
    """The builds that began last, newest first, each with the rows that it wrote."""
    rows = (
        select(BuiltPartition.build_id, func.sum(BuiltPartition.rows).label("rows"))
        .group_by(BuiltPartition.build_id)
        .subquery()
    )
    query = (
        select(Build, rows.c.rows)
        .outerjoin(rows, rows.c.build_id == Build.id)
        .where(Build.table_name.in_(list(table_names)))
        .order_by(Build.begin.desc())
        .limit(limit)
    )
    return [(build, None if count is None else int(count)) for build, count in session.execute(query).tuples()]
