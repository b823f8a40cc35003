"""Verdicts and acceptances: what may be published (rule 4), and what is held."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from feedmill.ledger.models import Acceptance, Build, Verdict


def record(
    session: Session,
    build: Build,
    verdicts: Iterable[tuple[datetime, bool, list[dict[str, Any]]]],
    suite_digest: str,
) -> None:
    """Store ``(partition, passed, findings)`` for the build's snapshot, in place of an earlier check's verdicts."""
    for partition, passed, findings in verdicts:
        values = {
            "snapshot_id": build.snapshot_id,
            "passed": passed,
            "findings": findings,
            "suite_digest": suite_digest,
            "judged_at": func.now(),
        }
        session.execute(
            insert(Verdict)
            .values(build_id=build.id, partition=partition, **values)
            .on_conflict_do_update(index_elements=["build_id", "partition"], set_=values)
        )


def of_build(session: Session, build_id: str) -> dict[datetime, Verdict]:
    """The build's verdicts by partition."""
    return {v.partition: v for v in session.scalars(select(Verdict).where(Verdict.build_id == build_id))}


def publishable(session: Session, build: Build) -> set[datetime]:
    """The partitions with a passing verdict, or an acceptance, for exactly the build's snapshot."""
    passed = select(Verdict.partition).where(
        Verdict.build_id == build.id, Verdict.snapshot_id == build.snapshot_id, Verdict.passed
    )
    accepted = select(Acceptance.partition).where(
        Acceptance.build_id == build.id, Acceptance.snapshot_id == build.snapshot_id
    )
    return set(session.scalars(passed.union(accepted)))


def accept(session: Session, build: Build, partition: datetime, name: str, reason: str) -> None:
    """Record that the person ``name`` allows the held partition to be published as it is, and why.

    Raises:
        ValueError: no name or reason, or the partition has no failed verdict to accept.
    """
    if not name.strip() or not reason.strip():
        raise ValueError("an accept needs a name and a reason; the ledger keeps both")
    verdict = session.get(Verdict, (build.id, partition))
    if verdict is None:
        raise ValueError(f"build {build.id} has no verdict for {partition:%Y-%m-%dT%H}: it was never checked")
    if verdict.passed:
        raise ValueError(f"{partition:%Y-%m-%dT%H} of build {build.id} passed its check; there is nothing to accept")
    values = {"snapshot_id": verdict.snapshot_id, "name": name.strip(), "reason": reason.strip()}
    values["accepted_at"] = func.now()
    session.execute(
        insert(Acceptance)
        .values(build_id=build.id, partition=partition, **values)
        .on_conflict_do_update(index_elements=["build_id", "partition"], set_=values)
    )
