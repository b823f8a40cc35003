"""``watch``: round after round of facts, incidents, outbox and messages. Killed at any moment, it loses nothing."""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from feedmill.alerts import heartbeat, outbox, sender
from feedmill.alerts.catching_up import remember
from feedmill.alerts.channels.channel import Channel, Message
from feedmill.alerts.dispatch import Setting, decide
from feedmill.alerts.incident import Delivery, Incident, Outbox
from feedmill.alerts.incidents import judge, outages
from feedmill.alerts.kinds import KINDS
from feedmill.alerts.look import Lookout
from feedmill.alerts.page import Ground, message
from feedmill.alerts.scene import Origin, Scene
from feedmill.ledger.store import Ledger

EVERY = 10.0
"""Seconds from the beginning of one round to that of the next."""

FIRST_LOOK = timedelta(minutes=10)
"""So long the first round of an installation waits until everything has answered: what is red then is old."""

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The present time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Round:
    """What one round did."""

    is_leader: bool
    """False: another process watches, and this one stood by."""
    opened: list[Incident] = field(default_factory=list)
    closed: list[Incident] = field(default_factory=list)
    sent: list[Delivery] = field(default_factory=list)
    silent: frozenset[Origin] = frozenset()
    """What said nothing."""


@dataclass
class Watch:
    """One process that watches. Several may run: the one that holds the lease is at work, the others stand by."""

    ledger: Ledger
    lookout: Lookout
    ground: Ground
    setting: Setting
    channel_of: Callable[[str], Channel]
    copy: Path
    """Where the outbox is kept while the ledger does not answer."""
    clock: Callable[[], datetime] = utc_now
    holder: str = field(default_factory=lambda: f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}")
    waits: timedelta = FIRST_LOOK
    """How long the first look of an installation may wait for what is silent; a process of one round cannot wait."""
    map_error: str = ""
    _map_error_since: datetime | None = None
    _kept: Outbox | None = None
    _is_without: bool = False
    """The ledger did not answer last time."""
    _leads: bool | None = None
    """None: the ledger has not been asked yet."""
    _began: datetime | None = None

    def round(self) -> Round:
        """Look, judge, write down, send. Without a ledger, the copy on disk serves."""
        now = self.clock()
        self._began = self._began or now
        before = self._load(now)
        if before is None:
            return Round(False)
        scene = self._scene(now, before)
        seen = replace(
            before,
            outages={**before.outages, **outages(before.outages, scene.components, now)},
            tables={**before.tables, **remember(before.tables, scene)},
        )
        scene = replace(scene, outages=tuple(seen.outages.values()), remembered=seen.tables)
        changed = judge(KINDS, scene, seen.incidents, self.setting.installation)
        after = seen.with_incidents(list(changed.values()))
        if after.kinds or not self._waits_for_all(scene):
            after = decide(after, self._setting(), now)
        self._keep(before, after)
        sent = self._send(after)
        opened = [one for one in changed.values() if one.is_open and _was_not(before, one)]
        closed = [one for one in changed.values() if one.closed_at is not None and one.opened_at is not None]
        return Round(True, opened, closed, sent, frozenset(Origin) - scene.answered)

    def stop(self) -> None:
        """Give the lease back."""
        try:
            with self.ledger.transaction() as session:
                outbox.release(session, self.holder)
        except SQLAlchemyError as error:
            log.info("the lease was not given back: %s", error)

    # One round's parts

    def _load(self, now: datetime) -> Outbox | None:
        """What is known; None: another process is at work."""
        copy = outbox.pruned(self._kept if self._kept is not None else outbox.read_copy(self.copy), now)
        try:
            with self.ledger.transaction() as session:
                self._leads = outbox.lease(session, self.holder)
                if not self._leads:
                    self._kept = None
                    return None
                known = outbox.load(session, now)
                both = outbox.merged(known, copy)
                outbox.save(session, known, both)
                if self._is_without:
                    log.warning("the ledger answers again")
                self._is_without = False
                return both
        except SQLAlchemyError as error:
            if not self._is_without:
                log.warning("the ledger does not answer, the copy serves: %s", str(error).splitlines()[0])
            self._is_without = True
            # Whoever stood by stands by: the process that led goes on from its own copy, and so does one that is alone.
            self._leads = self._leads is not False
            return copy if self._leads else None

    def _scene(self, now: datetime, known: Outbox) -> Scene:
        self._map_error_since = (self._map_error_since or now) if self.map_error else None
        scene = self.lookout.scene(now, known)
        open_ = tuple(one for one in known.incidents.values() if one.closed_at is None)
        return replace(scene, open=open_, map_error=self.map_error, map_error_since=self._map_error_since)

    def _waits_for_all(self, scene: Scene) -> bool:
        """Whether the first look is not complete: what answers later would look new, and is not."""
        assert self._began is not None
        lacking = {Origin.LEDGER, Origin.AIRFLOW} - scene.answered
        return bool(lacking) and scene.now - self._began < self.waits

    def _setting(self) -> Setting:
        channels = {name for one in self.setting.owners.known.values() for name in one.channels}
        keyed = set()
        for name in channels:
            try:
                keyed |= {name} if self.channel_of(name).keyed else set()
            except Exception as error:  # it is told where a message is to be sent
                log.debug("%s is no channel: %s", name, error)
        return replace(self.setting, kinds=tuple(KINDS), keyed=frozenset(keyed))

    def _keep(self, before: Outbox, after: Outbox) -> None:
        """An incident is a row before anything is sent: of the ledger, and of the copy."""
        if after != self._kept:
            try:
                outbox.write_copy(self.copy, after)
            except OSError as error:
                log.warning("there is no copy of the outbox beside the ledger: %s", error)
        self._kept = after
        try:
            with self.ledger.transaction() as session:
                outbox.save(session, before, after)
        except SQLAlchemyError as error:
            log.info("the ledger did not take the outbox, its copy did: %s", str(error).splitlines()[0])

    def _send(self, known: Outbox) -> list[Delivery]:
        done = []
        for delivery in sender.send(known, self.channel_of, self._message, self.clock, self._still_leads):
            assert self._kept is not None
            self._keep(self._kept, self._kept.with_deliveries([delivery]))
            done += [delivery] if not delivery.is_under_way else []
        return done

    def _still_leads(self) -> bool:
        """Renew the lease: a message may take half a minute. Without a ledger, whoever led goes on."""
        try:
            with self.ledger.transaction() as session:
                self._leads = outbox.lease(session, self.holder)
        except SQLAlchemyError:
            return True
        return bool(self._leads)

    def _message(self, delivery: Delivery) -> Message:
        assert self._kept is not None
        known = self._kept.incidents
        listed = [known[one] for one in delivery.lists if one in known]
        return message(delivery, known[delivery.incident_id], listed, self.ground)


def forever(watch: Watch, is_over: Callable[[], bool], reload: Callable[[Watch], None]) -> None:
    """Round after round, until ``is_over``. An error of ours costs one round, and no heartbeat is sent for it."""
    beaten = -heartbeat.EVERY
    while not is_over():
        begun = time.monotonic()
        try:
            reload(watch)
            said = watch.round()
            for incident in said.opened:
                log.warning("opened: %s", incident.alias)
            for incident in said.closed:
                log.warning("closed: %s", incident.alias)
            address = heartbeat.url()
            if said.is_leader and address is not None and begun - beaten >= heartbeat.EVERY:
                beaten = begun if heartbeat.beat(address) else beaten
        except Exception:
            log.exception("this round failed; the next one follows")
        while not is_over() and time.monotonic() - begun < EVERY:
            time.sleep(0.2)


def _was_not(before: Outbox, incident: Incident) -> bool:
    known = before.incidents.get(incident.id)
    return known is None or not known.is_open
