"""Who is told of what, and when: the outbox as it should be next. Pure.

- Tier 1 is told at once if it may wake somebody, and else in working hours, as tier 2 is. Tier 3 waits for the digest.
- A resolve goes to every channel that got the page, or may have got it, and to no other.
- A channel that takes nothing for ``PATIENCE`` is passed over: the maintainer's next channel, then the backup's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from feedmill.alerts.hours import is_at_work, next_work, next_working_day
from feedmill.alerts.incident import (
    Condition,
    Delivery,
    Ending,
    Impact,
    Incident,
    Outbox,
    Purpose,
    Stage,
)
from feedmill.alerts.scene import Owners
from feedmill.spec import Maintainer, Tier

PATIENCE = timedelta(minutes=5)
REPEATS = timedelta(hours=4)
STORM_WITHIN = timedelta(minutes=5)
STORM_ABOVE = 10
NEW_KIND = timedelta(days=1)
"""For so long the incidents of a kind that is new to an installation are only shown."""
RESOLVES_FOR = timedelta(days=1)
"""After so long nobody waits for a resolve any more."""

STORM = "storm"
"""The kind of the incident that stands for many."""

TELLS = (Purpose.PAGE, Purpose.STORM, Purpose.DIGEST, Purpose.SUMMARY)


@dataclass(frozen=True)
class Setting:
    """What does not change from round to round."""

    installation: str
    kinds: tuple[str, ...]
    owners: Owners
    keyed: Set[str] = frozenset()
    """The channels whose receivers honour keys, and so know acknowledgements."""


def decide(outbox: Outbox, setting: Setting, now: datetime) -> Outbox:
    """The outbox with every message that is to be sent now, and without those that are not needed any more."""
    return _Decision(outbox, setting, now).outbox


def route(maintainer: Maintainer, owners: Owners) -> list[str]:
    """The channels that tell a maintainer, in the order in which they are tried."""
    found: dict[str, None] = {}
    one: Maintainer | None = maintainer
    seen: set[str] = set()
    while one is not None and one.name not in seen:
        seen.add(one.name)
        found.update(dict.fromkeys(one.channels))
        one = one.backup
    for last in (owners.default, owners.infrastructure) if not found else ():
        found.update(dict.fromkeys(last.channels))
    return list(found)


class _Decision:
    def __init__(self, outbox: Outbox, setting: Setting, now: datetime) -> None:
        self.outbox, self.setting, self.now = outbox, setting, now
        self._meet_kinds()
        self._page()
        self._repeat()
        self._tell_the_hit()
        self._end_storms()
        self._resolve()
        self._fall_over()

    # Kinds that are new

    def _meet_kinds(self) -> None:
        known = self.outbox.kinds
        if new := [name for name in self.setting.kinds if name not in known]:
            until = self.now + NEW_KIND if known else None
            self.outbox = replace(self.outbox, kinds={**known, **dict.fromkeys(new, until)})
        if not known:
            self._summarise([one for one in self.outbox.incidents.values() if one.is_open])

    def _summarise(self, red: Sequence[Incident]) -> None:
        """One message to each maintainer about what is red already."""
        self.outbox = self.outbox.with_incidents([replace(one, first_round=True) for one in red])
        because = "alerts are new here: this was red already"
        for name, mine in _by_maintainer(red).items():
            self._list(mine, name, Purpose.SUMMARY, because)

    # Pages

    def _page(self) -> None:
        due: defaultdict[str, list[tuple[Incident, str]]] = defaultdict(list)
        digest: defaultdict[str, list[Incident]] = defaultdict(list)
        for incident in self.outbox.incidents.values():
            if not incident.is_open or incident.kind == STORM or self._is_quiet(incident):
                continue
            maintainer = self.maintainer(incident.maintainer)
            told = self._told(incident)
            if told is not None and told <= incident.condition.tier:
                continue
            because = self._because(incident, maintainer, told)
            if because and incident.condition.tier == 3:
                digest[incident.maintainer].append(incident)
            elif because:
                due[incident.maintainer].append((incident, because))
        for name, pages in due.items():
            self._page_one_by_one_or_as_storm(name, pages)
        for name, mine in digest.items():
            self._list(mine, name, Purpose.DIGEST, "tier 3: the digest at the beginning of the working day")

    def _because(self, incident: Incident, maintainer: Maintainer, told: Tier | None) -> str:
        """Why the maintainer is told now; empty: not now."""
        assert incident.opened_at is not None
        one = incident.condition
        ended = [s for s in self.outbox.silences if s.ends_at <= self.now and s.covers(incident, s.starts_at)]
        silence = max(ended, key=lambda s: s.ends_at, default=None)
        after = f"; the silence of {silence.author} ({silence.ticket}) has ended" if silence is not None else ""
        if told is not None:
            after += f"; it was tier {told} before"
        if one.tier == 1 and one.wakes:
            return f"tier 1: at once{after}"
        if one.tier == 3:
            return "tier 3" if self.now >= next_working_day(maintainer, incident.opened_at) else ""
        if not is_at_work(maintainer, self.now) or self.now < next_work(maintainer, incident.opened_at):
            return ""
        calm = "" if one.wakes else ", since readers have the rows of before"
        return f"tier {one.tier}: in working hours{calm}{after}"

    def _is_quiet(self, incident: Incident) -> bool:
        until = self.outbox.kinds.get(incident.kind)
        if until is not None and self.now < until:
            return True
        return bool(incident.storm) or any(silence.covers(incident, self.now) for silence in self.outbox.silences)

    def _told(self, incident: Incident) -> Tier | None:
        """With which tier the maintainer was told of it since it opened last; None: not at all."""
        assert incident.opened_at is not None
        mine = [d for d in self.outbox.of(incident) if d.maintainer == incident.maintainer]
        mine = [d for d in mine if d.decided_at >= incident.opened_at and d.stage is not Stage.CANCELLED]
        # It may have been another team's for a while: it was resolved here then.
        resolved = max((d.decided_at for d in mine if d.purpose is Purpose.RESOLVE), default=incident.opened_at)
        told = [d.tier for d in mine if d.purpose in TELLS and d.decided_at >= resolved]
        return min(told, default=None)

    def _page_one_by_one_or_as_storm(self, name: str, pages: list[tuple[Incident, str]]) -> None:
        lately = [
            d
            for d in self.outbox.deliveries.values()
            if d.purpose is Purpose.PAGE and d.maintainer == name and self.now - d.decided_at < STORM_WITHIN
        ]
        if len(pages) + len({d.incident_id for d in lately}) <= STORM_ABOVE:
            for incident, because in pages:
                self._send(incident, Purpose.PAGE, because)
            return
        members = [incident for incident, _ in pages]
        storm = self._storm(name, members)
        self.outbox = self.outbox.with_incidents([replace(one, storm=storm.alias) for one in members])
        lists = tuple(one.id for one in members)
        because = f"more than {STORM_ABOVE} incidents within {STORM_WITHIN.seconds // 60} minutes: one message"
        self._send(storm, Purpose.STORM, because, lists)

    def _storm(self, name: str, members: Sequence[Incident]) -> Incident:
        """The incident that stands for these and for those that it stands for already."""
        alias = f"{self.setting.installation}/{STORM}/{name}"
        known = [one for one in self.outbox.incidents.values() if one.alias == alias and one.closed_at is None]
        earlier = [one for one in self.outbox.incidents.values() if one.storm == alias and one.closed_at is None]
        every = [*earlier, *members]
        condition = Condition(
            name,
            min(one.condition.since for one in every),
            name,
            min(one.condition.tier for one in every),
            f"has {len(every)} new incidents",
            wakes=any(one.condition.wakes for one in every),
        )
        if known:
            storm = replace(known[0], condition=condition, seen_at=self.now)
        else:
            ident = f"{alias}@{self.now:%Y-%m-%dT%H:%M:%S.%f}"
            storm = Incident(ident, alias, STORM, condition, self.now, opened_at=self.now)
        self.outbox = self.outbox.with_incidents([storm])
        return storm

    def _end_storms(self) -> None:
        for storm in [one for one in self.outbox.incidents.values() if one.kind == STORM and one.is_open]:
            if not any(one.storm == storm.alias and one.closed_at is None for one in self.outbox.incidents.values()):
                over = replace(storm, closed_at=self.now, well_since=self.now, ending=Ending.HEALED)
                self.outbox = self.outbox.with_incidents([over])

    def _repeat(self) -> None:
        for incident in self.outbox.incidents.values():
            if not incident.is_open or incident.condition.tier != 1 or self._is_quiet(incident):
                continue
            sent = [d for d in self._since_resolve(incident) if d.purpose.action is Purpose.PAGE.action]
            sent = [d for d in sent if d.maintainer == incident.maintainer and d.channel not in self.setting.keyed]
            may_disturb = incident.condition.wakes or is_at_work(self.maintainer(incident.maintainer), self.now)
            if sent and may_disturb and all(self.now - (d.done_at or d.decided_at) >= REPEATS for d in sent):
                because = f"still open, and {sent[-1].channel} knows no acknowledgement"
                self._send(incident, Purpose.REPEAT, because, channel=sent[-1].channel)

    def _tell_the_hit(self) -> None:
        for incident in self.outbox.incidents.values():
            if not incident.is_open or self._is_quiet(incident):
                continue
            hit: defaultdict[str, list[Impact]] = defaultdict(list)
            for impact in incident.condition.impact:
                if impact.overdue and impact.maintainer != incident.maintainer:
                    hit[impact.maintainer].append(impact)
            for name, impacts in hit.items():
                told = [d for d in self.outbox.of(incident) if d.purpose is Purpose.IMPACT and d.maintainer == name]
                urgent = min(impact.tier for impact in impacts) == 1
                if not told and (urgent or is_at_work(self.maintainer(name), self.now)):
                    tables = ", ".join(impact.table for impact in impacts)
                    because = f"{tables} of theirs is late because of it"
                    self._send(incident, Purpose.IMPACT, because, maintainer=name)

    # The end

    def _resolve(self) -> None:
        for incident in self.outbox.incidents.values():
            for channel, sent in self._pages_by_channel(incident).items():
                elsewhere = [d for d in sent if d.maintainer != incident.maintainer]
                if incident.closed_at is not None:
                    self._take_back(incident, channel, sent, _ending(incident))
                elif elsewhere:
                    # A channel that both teams share is not resolved: its incident goes on.
                    shared = channel in route(self.maintainer(incident.maintainer), self.setting.owners)
                    if not shared:
                        self._take_back(incident, channel, elsewhere, f"it belongs to {incident.maintainer} now")

    def _pages_by_channel(self, incident: Incident) -> dict[str, list[Delivery]]:
        """The pages that each channel got since its last resolve."""
        found: dict[str, list[Delivery]] = {}
        for delivery in self.outbox.of(incident):
            if delivery.incident_id != incident.id:
                continue
            if delivery.purpose is Purpose.RESOLVE:
                found.pop(delivery.channel, None)
            elif delivery.purpose.action is Purpose.PAGE.action:
                found.setdefault(delivery.channel, []).append(delivery)
        return found

    def _take_back(self, incident: Incident, channel: str, sent: Sequence[Delivery], because: str) -> None:
        waiting = [d for d in sent if d.stage is Stage.DUE]
        # No resolve overtakes its page: what has not been sent is not sent any more.
        self.outbox = self.outbox.with_deliveries(
            [replace(d, stage=Stage.GIVEN_UP if d.attempts else Stage.CANCELLED, done_at=self.now) for d in waiting]
        )
        if any(d.may_have_arrived for d in sent):
            maintainer = sent[-1].maintainer
            self._send(incident, Purpose.RESOLVE, because, channel=channel, maintainer=maintainer)

    # Channels that take nothing

    def _fall_over(self) -> None:
        for delivery in list(self.outbox.deliveries.values()):
            refused = delivery.stage is Stage.REFUSED
            tried = delivery.first_tried_at
            late = delivery.stage is Stage.DUE and tried is not None and self.now - tried >= PATIENCE
            if not (refused or late):
                continue
            if delivery.purpose is Purpose.RESOLVE:
                if refused or self.now - delivery.decided_at >= RESOLVES_FOR:
                    self._change(replace(delivery, stage=Stage.GIVEN_UP, done_at=self.now))
                continue
            incident = self.outbox.incidents.get(delivery.incident_id)
            following = self._next_channel(delivery)
            if incident is None or following is None:
                # Nobody else can be told: it is tried again for as long as the incident is open.
                if refused:
                    self._change(replace(delivery, stage=Stage.DUE, next_try_at=self.now + PATIENCE))
                continue
            self._change(replace(delivery, stage=Stage.GIVEN_UP, done_at=self.now))
            because = f"{delivery.channel} takes nothing: {delivery.error}"
            self._send(
                incident, delivery.purpose, because, delivery.lists, following, delivery.maintainer, delivery.tier
            )

    def _next_channel(self, delivery: Delivery) -> str | None:
        channels = route(self.maintainer(delivery.maintainer), self.setting.owners)
        place = channels.index(delivery.channel) + 1 if delivery.channel in channels else 0
        return next(iter(channels[place:]), None)

    # What all of them need

    def maintainer(self, name: str) -> Maintainer:
        """The maintainer of that name; the default one where nobody is called so any more."""
        return self.setting.owners.known.get(name, self.setting.owners.default)

    def _since_resolve(self, incident: Incident) -> list[Delivery]:
        return [d for sent in self._pages_by_channel(incident).values() for d in sent]

    def _list(self, incidents: Sequence[Incident], name: str, purpose: Purpose, because: str) -> None:
        # A summary tells of everything that is red: only what comes back is told again.
        tier: Tier = 1 if purpose is Purpose.SUMMARY else 3
        self._send(incidents[0], purpose, because, tuple(one.id for one in incidents), maintainer=name, tier=tier)

    def _send(
        self,
        incident: Incident,
        purpose: Purpose,
        because: str,
        lists: tuple[str, ...] = (),
        channel: str | None = None,
        maintainer: str | None = None,
        tier: Tier | None = None,
    ) -> None:
        """Put a message into the outbox; none where the maintainer has no channel at all."""
        name = maintainer or incident.maintainer
        channel = channel or next(iter(route(self.maintainer(name), self.setting.owners)), None)
        if channel is None:
            return
        prefix = f"{incident.id} {purpose} {channel}"
        count = sum(key.startswith(f"{prefix} ") for key in self.outbox.deliveries)
        ident = f"{prefix} {count + 1}"
        self._change(
            Delivery(
                ident, incident.id, purpose, channel, name, because, self.now, tier or incident.condition.tier, lists
            )
        )

    def _change(self, delivery: Delivery) -> None:
        self.outbox = self.outbox.with_deliveries([delivery])


def _ending(incident: Incident) -> str:
    return "its subject has left the map" if incident.ending is Ending.WITHDRAWN else "it has healed"


def _by_maintainer(incidents: Iterable[Incident]) -> Mapping[str, list[Incident]]:
    found: defaultdict[str, list[Incident]] = defaultdict(list)
    for incident in incidents:
        found[incident.maintainer].append(incident)
    return found


def standing(outbox: Outbox, setting: Setting, incident: Incident, now: datetime) -> str:
    """Whether the maintainer was told of an incident, in words; if not, why not, and when that will be."""
    told = [d for d in outbox.of(incident) if d.purpose in TELLS and d.stage is not Stage.CANCELLED]
    if told:
        last = told[-1]
        where = f"{last.purpose} to {last.maintainer} by {last.channel} at {last.decided_at:%m-%d %H:%M}"
        return where if last.stage is Stage.DELIVERED else f"{where}: {last.stage}"
    if incident.opened_at is None:
        return "not yet: it must hold for longer"
    if incident.closed_at is not None:
        return "nobody: it was over before"
    until = outbox.kinds.get(incident.kind)
    if until is not None and now < until:
        return f"nobody: this kind is new here, and only shown until {until:%m-%d %H:%M}"
    for silence in outbox.silences:
        if silence.covers(incident, now):
            return f"nobody: silenced by {silence.author} ({silence.ticket}) until {silence.ends_at:%m-%d %H:%M}"
    maintainer = setting.owners.known.get(incident.maintainer, setting.owners.default)
    if not route(maintainer, setting.owners):
        return f"nobody: {maintainer.name} has no channel"
    if incident.condition.tier == 3:
        return f"in the digest of {next_working_day(maintainer, incident.opened_at):%m-%d %H:%M} UTC"
    return f"at {next_work(maintainer, now):%m-%d %H:%M} UTC, in working hours"
