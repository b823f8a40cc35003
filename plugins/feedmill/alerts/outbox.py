"""The outbox in the ledger: what is open, what was sent, what is silenced, and who watches. And its copy on disk.

An incident is a row before anything is sent. While the ledger does not answer, the copy goes on; afterwards, or after a
restore, :func:`merged` brings both together: of each row the one that knows more.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from feedmill.alerts.incident import Delivery, Incident, Outage, Outbox, Remembered, Silence, Stage
from feedmill.ledger import models

LOOKS_BACK = timedelta(days=3)
"""Incidents and outages that ended longer ago have no effect on the next round."""

LEASE = timedelta(seconds=40)
"""Longer than one message may take: whoever holds the lease renews it before each. When it is killed, the next process
begins after so long."""

WATCH = "watch"

_INCIDENT, _DELIVERY, _OUTBOX = TypeAdapter(Incident), TypeAdapter(Delivery), TypeAdapter(Outbox)
_REMEMBERED = TypeAdapter(Remembered)


def load(session: Session, now: datetime) -> Outbox:
    """What the next round needs to know."""
    recent = now - LOOKS_BACK
    lives = or_(models.AlertIncident.closed_at.is_(None), models.AlertIncident.closed_at >= recent)
    incidents = [
        _INCIDENT.validate_python(body) for body in session.scalars(select(models.AlertIncident.body).where(lives))
    ]
    ids = [one.id for one in incidents]
    sent = select(models.AlertDelivery.body).where(models.AlertDelivery.incident_id.in_(ids))
    deliveries = [_DELIVERY.validate_python(body) for body in session.scalars(sent)]
    outages = select(models.Outage).where(or_(models.Outage.ended_at.is_(None), models.Outage.ended_at >= recent))
    kinds = session.execute(select(models.AlertKind.name, models.AlertKind.shown_until)).tuples()
    return Outbox(
        {one.id: one for one in incidents},
        {one.id: one for one in deliveries},
        silences(session, recent),
        {one.id: Outage(one.component, one.began_at, one.ended_at, one.detail) for one in session.scalars(outages)},
        {one.name: _REMEMBERED.validate_python(one.body) for one in session.scalars(select(models.AlertTable))},
        dict(kinds.all()),
    )


def save(session: Session, before: Outbox, after: Outbox) -> None:
    """Write what has changed between the two."""
    for incident in _changed(before.incidents, after.incidents):
        if incident.opened_at is None and incident.closed_at is not None:
            # Its condition did not last: it never was one.
            session.execute(delete(models.AlertIncident).where(models.AlertIncident.id == incident.id))
            continue
        one = incident.condition
        _upsert(
            session,
            models.AlertIncident,
            id=incident.id,
            alias=incident.alias,
            kind=incident.kind,
            subject=one.subject,
            maintainer=incident.maintainer,
            tier=one.tier,
            since=one.since,
            seen_at=incident.seen_at,
            opened_at=incident.opened_at,
            closed_at=incident.closed_at,
            times=incident.times,
            body=_INCIDENT.dump_python(incident, mode="json"),
        )
    for delivery in _changed(before.deliveries, after.deliveries):
        _upsert(
            session,
            models.AlertDelivery,
            id=delivery.id,
            incident_id=delivery.incident_id,
            purpose=delivery.purpose.value,
            channel=delivery.channel,
            maintainer=delivery.maintainer,
            stage=delivery.stage.value,
            attempts=delivery.attempts,
            decided_at=delivery.decided_at,
            done_at=delivery.done_at,
            error=delivery.error,
            body=_DELIVERY.dump_python(delivery, mode="json"),
        )
    for outage in _changed(before.outages, after.outages):
        _upsert(
            session,
            models.Outage,
            id=outage.id,
            component=outage.component,
            began_at=outage.began,
            ended_at=outage.ended,
            detail=outage.detail,
        )
    for table in _changed(before.tables, after.tables):
        body = _REMEMBERED.dump_python(table, mode="json")
        _upsert(session, models.AlertTable, name=table.table, body=body)
    for name, until in after.kinds.items():
        if name not in before.kinds:
            _upsert(session, models.AlertKind, name=name, shown_until=until)


def silences(session: Session, since: datetime) -> tuple[Silence, ...]:
    """The silences that last, or that ended since then."""
    rows = session.scalars(
        select(models.AlertSilence).where(models.AlertSilence.ends_at >= since).order_by(models.AlertSilence.starts_at)
    )
    return tuple(
        Silence(row.id, row.subject, tuple(row.kinds), row.ticket, row.author, row.starts_at, row.ends_at)
        for row in rows
    )


def silence(session: Session, wanted: Silence) -> Silence:
    """Record a silence, under a new id."""
    made = replace(wanted, id=str(uuid.uuid4()))
    session.add(
        models.AlertSilence(
            id=made.id,
            subject=made.subject,
            kinds=list(made.kinds),
            ticket=made.ticket,
            author=made.author,
            starts_at=made.starts_at,
            ends_at=made.ends_at,
        )
    )
    return made


def history(session: Session, limit: int) -> list[Incident]:
    """The incidents that opened last, newest first."""
    opened = select(models.AlertIncident.body).where(models.AlertIncident.opened_at.is_not(None))
    bodies = session.scalars(opened.order_by(models.AlertIncident.opened_at.desc()).limit(limit))
    return [_INCIDENT.validate_python(body) for body in bodies]


def lease(session: Session, holder: str) -> bool:
    """Take or renew the lease of ``watch``; False: another process holds it."""
    until = func.clock_timestamp() + LEASE
    taken = insert(models.Lease).values(name=WATCH, holder=holder, until=until)
    free = or_(models.Lease.holder == holder, models.Lease.until < func.clock_timestamp())
    taken = taken.on_conflict_do_update(
        index_elements=[models.Lease.name], set_={"holder": holder, "until": until}, where=free
    )
    return session.execute(taken.returning(models.Lease.holder)).scalar_one_or_none() == holder


def release(session: Session, holder: str) -> None:
    """Give the lease back, so that the next process need not wait until it runs out."""
    session.execute(delete(models.Lease).where(models.Lease.name == WATCH, models.Lease.holder == holder))


def merged(ledger: Outbox, copy: Outbox) -> Outbox:
    """Both together: of each incident and delivery the one that knows more. Silences are the ledger's."""
    return replace(
        ledger,
        incidents={**ledger.incidents, **_newer(ledger.incidents, copy.incidents, _incident_age)},
        deliveries={**ledger.deliveries, **_newer(ledger.deliveries, copy.deliveries, _delivery_age)},
        outages={**ledger.outages, **_newer(ledger.outages, copy.outages, lambda one: (one.ended is not None,))},
        tables={**copy.tables, **ledger.tables},
        kinds={**copy.kinds, **ledger.kinds},
    )


def pruned(known: Outbox, now: datetime) -> Outbox:
    """Without what has no effect on the next round: the same as :func:`load` leaves out."""

    def matters(one: Incident) -> bool:
        return one.closed_at is None or (one.opened_at is not None and one.closed_at >= now - LOOKS_BACK)

    incidents = {key: one for key, one in known.incidents.items() if matters(one)}
    return replace(
        known,
        incidents=incidents,
        deliveries={key: one for key, one in known.deliveries.items() if one.incident_id in incidents},
        outages={k: one for k, one in known.outages.items() if one.ended is None or one.ended >= now - LOOKS_BACK},
    )


def read_copy(path: Path) -> Outbox:
    """The copy on disk; an empty outbox where there is none, or it cannot be read."""
    try:
        return _OUTBOX.validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return Outbox()


def write_copy(path: Path, outbox: Outbox) -> None:
    """Replace the copy on disk, in one step: a killed process leaves the old or the new one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(_OUTBOX.dump_json(outbox))
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(path)


Row = TypeVar("Row")


def _changed(before: Mapping[str, Row], after: Mapping[str, Row]) -> list[Row]:
    return [row for key, row in after.items() if before.get(key) != row]


def _newer(mine: Mapping[str, Row], theirs: Mapping[str, Row], age: Any) -> dict[str, Row]:
    return {key: row for key, row in theirs.items() if key not in mine or age(row) > age(mine[key])}


def _incident_age(incident: Incident) -> tuple[Any, ...]:
    return incident.times, incident.closed_at is not None, incident.seen_at


_STAGES = (Stage.DUE, Stage.ACCEPTED)


def _delivery_age(delivery: Delivery) -> tuple[Any, ...]:
    return delivery.stage not in _STAGES, delivery.attempts, delivery.stage is Stage.ACCEPTED


def _upsert(session: Session, model: type[models.Base], **values: Any) -> None:
    row = insert(model).values(**values)
    key = [column.name for column in model.__table__.primary_key]
    rest = {name: value for name, value in values.items() if name not in key}
    session.execute(row.on_conflict_do_update(index_elements=key, set_=rest))
