"""What an incident is, who was told about it, and how, as values: they can be compared, stored and replayed. Pure.

An incident's life: *pending* while its condition has not held for its kind's delay, *open*, *well* while it may come
back, *closed*. :mod:`feedmill.alerts.incidents` moves it on, :mod:`feedmill.alerts.dispatch` decides what to send.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from feedmill.alerts.channels.channel import Action
from feedmill.spec import Tier


@dataclass(frozen=True)
class Part:
    """Consecutive partitions of one table that went wrong in one build, or that are overdue."""

    table: str
    start: datetime
    end: datetime
    begin: int = 0
    """The begin of the build that failed: a publish with this begin or a larger one heals it. 0: any publish does."""
    build_id: str = ""
    owner: str = ""
    """Who built: ``<dag_id>/<run_id>`` in Airflow."""


@dataclass(frozen=True)
class Impact:
    """A table that waits for the incident's partitions."""

    table: str
    maintainer: str
    tier: Tier
    partitions: int
    overdue: int
    """How many of these are past their deadline."""


@dataclass(frozen=True)
class Condition:
    """What a kind finds to be true at one moment: it stays an incident for as long as it is found."""

    subject: str
    """What it is about: a table, a component, a source, a service, ``<dag>.<task>``."""
    since: datetime
    """When it began, as far as the evidence says."""
    maintainer: str
    tier: Tier
    what: str
    """What is wrong, in a few words that follow the subject: "is held"."""
    why: str = ""
    """The cause as far as it is known: the failing expectation, the last line of the exception."""
    cause: str = ""
    """Tells two incidents of one kind and subject apart: two ways to fail are two incidents."""
    wakes: bool = True
    """Whether it may wake somebody: a rebuild of published partitions waits for working hours, whatever its tier."""
    parts: tuple[Part, ...] = ()
    impact: tuple[Impact, ...] = ()
    evidence: Mapping[str, str] = field(default_factory=dict)
    """Short facts for the page, by name, in the order in which they are shown."""


class Ending(StrEnum):
    """Why an incident is closed."""

    HEALED = "healed"
    WITHDRAWN = "withdrawn"
    """Its subject has left the map."""


@dataclass(frozen=True)
class Incident:
    """One incident's row in the outbox."""

    id: str
    alias: str
    kind: str
    condition: Condition
    """As it was found last."""
    seen_at: datetime
    """When it was found last."""
    opened_at: datetime | None = None
    """None: pending, its condition has not held for long enough. If it came back, when it did so last."""
    well_since: datetime | None = None
    closed_at: datetime | None = None
    ending: Ending | None = None
    times: int = 1
    """How often it has opened: one that comes back soon continues its row."""
    unknown_since: datetime | None = None
    """Its source has said nothing since then, so nobody knows whether it still holds."""
    first_round: bool = False
    """It was red already when alerts were installed: one summary told of it."""
    storm: str = ""
    """The alias of the storm whose message tells of it."""
    redirected_to: str = ""
    """The maintainer to whom a person has redirected it."""

    @property
    def is_open(self) -> bool:
        """Whether it is an incident now."""
        return self.opened_at is not None and self.closed_at is None

    @property
    def maintainer(self) -> str:
        """Who is told."""
        return self.redirected_to or self.condition.maintainer


class Purpose(StrEnum):
    """Why a message is sent."""

    PAGE = "page"
    REPEAT = "repeat"
    """The page once more, to a channel that knows no acknowledgement."""
    STORM = "storm"
    """One page for many incidents that opened together."""
    DIGEST = "digest"
    SUMMARY = "summary"
    """What was red already when alerts were installed."""
    IMPACT = "impact"
    """To a maintainer whose tables are late because of another team's incident."""
    RESOLVE = "resolve"

    @property
    def action(self) -> Action:
        """What it does to the incident at the receiver."""
        if self in (Purpose.PAGE, Purpose.REPEAT, Purpose.STORM):
            return Action.TRIGGER
        return Action.RESOLVE if self is Purpose.RESOLVE else Action.NOTICE


class Stage(StrEnum):
    """How far a delivery is."""

    DUE = "due"
    """To be sent, or tried again."""
    ACCEPTED = "accepted"
    """The receiver has queued it, and has not said yet what became of it."""
    DELIVERED = "delivered"
    REFUSED = "refused"
    """The receiver will never take it; another channel gets it, where there is one."""
    GIVEN_UP = "given up"
    """The channel took nothing; another channel got it, where there is one."""
    CANCELLED = "cancelled"
    """The incident was over before anything was sent."""


@dataclass(frozen=True)
class Delivery:
    """One message to one channel, from the decision to send it to the receiver's answer."""

    id: str
    incident_id: str
    """Of a digest or summary: the first incident that it lists."""
    purpose: Purpose
    channel: str
    maintainer: str
    """Who is told. The channel may be that of a backup."""
    because: str
    """Why it was sent, and why then."""
    decided_at: datetime
    tier: Tier = 1
    """The incident's tier when this was decided: a rise pages again."""
    lists: tuple[str, ...] = ()
    """Ids of the incidents that a digest, a storm or a summary lists."""
    stage: Stage = Stage.DUE
    attempts: int = 0
    first_tried_at: datetime | None = None
    next_try_at: datetime | None = None
    is_under_way: bool = False
    """It is being sent. If a process finds it so, the one before was killed with the answer."""
    ambiguous: bool = False
    """An answer was lost: the receiver may have it."""
    request: str = ""
    error: str = ""
    done_at: datetime | None = None

    @property
    def may_have_arrived(self) -> bool:
        """Whether the receiver has it, or may have it."""
        return self.ambiguous or self.stage in (Stage.ACCEPTED, Stage.DELIVERED)


@dataclass(frozen=True)
class Silence:
    """Nobody is told of these incidents until it ends. A maintenance window is one, with the subject ``*``."""

    id: str
    subject: str
    """A subject, a maintainer, or ``*``."""
    kinds: tuple[str, ...]
    """Empty: all kinds."""
    ticket: str
    author: str
    starts_at: datetime
    ends_at: datetime

    def covers(self, incident: Incident, now: datetime) -> bool:
        """Whether nobody is to be told of the incident now."""
        named = self.subject in ("*", incident.condition.subject, incident.maintainer)
        return self.starts_at <= now < self.ends_at and named and (not self.kinds or incident.kind in self.kinds)


@dataclass(frozen=True)
class Outage:
    """A time in which a component was down."""

    component: str
    began: datetime
    ended: datetime | None
    detail: str

    @property
    def id(self) -> str:
        """Its key."""
        return f"{self.component} {self.began:%Y-%m-%dT%H:%M:%S.%f}"


@dataclass(frozen=True)
class Remembered:
    """What the round before saw of a table: what is caught up now is late for a reason that was told already."""

    table: str
    is_due: bool
    """Whether its history had begun: a DAG that was never switched on has none."""
    is_paused: bool
    number: int
    """The largest number that one of its partitions was published with."""
    excused: tuple[tuple[datetime, datetime], ...] = ()
    """Partitions ``[start, end)`` that were late because of something else, and may be caught up now."""
    until: datetime | None = None
    """They are overdue only after this moment; every publish of the table puts it off."""

    def excuses(self, partition: datetime, now: datetime) -> bool:
        """Whether the partition is being caught up."""
        return self.until is not None and now < self.until and any(a <= partition < b for a, b in self.excused)


@dataclass(frozen=True)
class Outbox:
    """Everything that ``watch`` remembers between two rounds; what is older has no effect on the next one."""

    incidents: Mapping[str, Incident] = field(default_factory=dict)
    """By id: those that are not closed, and those that were closed lately."""
    deliveries: Mapping[str, Delivery] = field(default_factory=dict)
    """By id: those of the incidents above."""
    silences: tuple[Silence, ...] = ()
    outages: Mapping[str, Outage] = field(default_factory=dict)
    """By id: those that last, or that ended lately."""
    tables: Mapping[str, Remembered] = field(default_factory=dict)
    """By name: every table as the last round saw it."""
    kinds: Mapping[str, datetime | None] = field(default_factory=dict)
    """The kinds that this installation has met, and until when each is only shown; None: it is sent. Empty: alerts
    were never computed here."""

    def with_incidents(self, changed: Sequence[Incident]) -> Outbox:
        """The same with these incidents in their new form."""
        return replace(self, incidents={**self.incidents, **{one.id: one for one in changed}})

    def with_deliveries(self, changed: Sequence[Delivery]) -> Outbox:
        """The same with these deliveries in their new form."""
        return replace(self, deliveries={**self.deliveries, **{one.id: one for one in changed}})

    def of(self, incident: Incident) -> list[Delivery]:
        """The incident's deliveries, oldest first, with those that list it."""
        mine = [d for d in self.deliveries.values() if d.incident_id == incident.id or incident.id in d.lists]
        return sorted(mine, key=lambda delivery: (delivery.decided_at, delivery.id))
