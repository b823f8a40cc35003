"""The partitions that need a person, each with the one incident that it belongs to. Pure.

A partition belongs to one incident at a time: to that of a component that was down when it went wrong, else to its own
table's, by the way in which it went wrong. It stays there until it is published, or goes wrong in another way. Being
built again heals nothing. A partition that is blocked is never an incident: it is impact of the one that blocks it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

import numpy as np

from feedmill.alerts.incident import Condition, Impact, Incident, Outage, Part
from feedmill.alerts.scene import Scene, Work
from feedmill.alerts.scrub import scrubbed
from feedmill.freshness.facts import FailedRun, Spot, Try
from feedmill.freshness.series import Flags, Ints, Series, moment_of, place_of, seconds
from feedmill.freshness.states import Picture, State, TableStatus
from feedmill.spec import Table, Tier
from feedmill.timeline import Range

HELD, FAILED, STUCK, OVERDUE, PAUSED = "held", "failed", "stuck", "overdue", "paused though due"
DOWN, WARNING, DIFFERS = "component down", "warning", "not deterministic"
OF_TABLES = (HELD, FAILED, STUCK, OVERDUE, PAUSED)
OF_THE_MAP = (*OF_TABLES, WARNING, DIFFERS)
"""Kinds whose subject is a table of the map, and leaves with it."""

AROUND = timedelta(minutes=2)
"""Failures so shortly before or after an outage belong to it: a look at the component comes late, and so do errors."""

CATCHING_UP = timedelta(hours=1)
"""After an outage, deadlines are missed because of it for as long as it lasted, and at most for so long."""

STUCK_AFTER, STUCK_TIMES = timedelta(hours=1), 4
"""A build is stuck when it takes so long, and so many times as long as the table's builds took lately."""

ASKED = 12
"""Blocked partitions of a table whose roots are looked for: the oldest and the newest ones that are overdue."""

_NOBODY = -1


@dataclass(frozen=True)
class Key:
    """Which incident."""

    kind: str
    subject: str
    cause: str = ""


@dataclass
class _Known:
    """What is known of one incident while the tables are gone through."""

    since: datetime
    why: str = ""
    evidence: dict[str, str] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    unpublished: int = 0
    impact: dict[str, Impact] = field(default_factory=dict)


@dataclass(frozen=True)
class Troubles:
    """Every incident about partitions, as conditions by kind."""

    conditions: Mapping[str, Sequence[Condition]]
    """By kind, of :data:`OF_TABLES`."""
    left: Mapping[str, Condition]
    """By component: the partitions that went wrong while it was down, and are not repaired yet."""


def troubles(scene: Scene) -> Troubles:
    """Every incident about partitions; none where the ledger does not answer."""
    if scene.picture is None:
        return Troubles({}, {})
    return _Search(scene, scene.picture).all()


def patience(work: Work, partitions: int) -> timedelta | None:
    """How long a build of so many partitions may take; None where the table was never built.

    A longer range than those of the other builds may take longer in proportion.
    """
    if not work.lately:
        return None
    times = max(partitions / median(count for _, count in work.lately), 1.0)
    return max(STUCK_TIMES * times * _usual(work), STUCK_AFTER)


def fingerprint(message: str) -> str:
    """What stays the same of a message when the same thing goes wrong again: no numbers, ids, times or values."""
    # It becomes a part of the incident's key, which receivers and the ledger keep.
    line = scrubbed(message.splitlines()[0]) if message else ""
    line = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "…", line)
    line = re.sub(r"\b[0-9a-f]{8,}\b|\S*\d\S*", "…", line, flags=re.IGNORECASE)
    return re.sub(r"(…\s*)+", "… ", line).strip()[:100]


class _Search:
    def __init__(self, scene: Scene, picture: Picture) -> None:
        self.scene, self.picture = scene, picture
        self.keys: list[Key] = []
        self.places: dict[Key, int] = {}
        self.known: dict[Key, _Known] = {}
        self.grounds: dict[str, _Ground] = {}
        self.roots: dict[tuple[str, datetime], tuple[frozenset[int], tuple[Spot, ...]]] = {}
        self.open_parts: defaultdict[str, list[tuple[Incident, Part]]] = defaultdict(list)
        for incident in scene.open:
            # That a partition is overdue can be seen at any time. That it failed cannot: a retry hides it.
            for part in incident.condition.parts if incident.kind in (HELD, FAILED, DOWN) else ():
                self.open_parts[part.table].append((incident, part))

    def all(self) -> Troubles:
        for status in self.picture.all():
            wrong = status.has((State.HELD, State.FAILED, State.OVERDUE)) or self.open_parts.get(status.table.name)
            if wrong or self._at_work_too_long(status.table):
                self._own(status)
        for status in self.picture.all():
            if status.has((State.BLOCKED,)):
                self._impact(status)
        for ground in self.grounds.values():
            ground.collect(self.keys, self.known)
        return self._conditions()

    def key(self, key: Key, since: datetime, why: str = "", **evidence: str) -> int:
        """The number of an incident; the newest reason stands in its page, and the earliest moment."""
        if key not in self.places:
            self.places[key] = len(self.keys)
            self.keys.append(key)
            self.known[key] = _Known(since)
        known = self.known[key]
        known.since = min(known.since, since)
        known.why = why or known.why
        known.evidence.update({name: value for name, value in evidence.items() if value})
        return self.places[key]

    # A table's own partitions

    def _own(self, status: TableStatus) -> None:
        ground = self.grounds[status.table.name] = _Ground(status)
        for incident, part in self.open_parts.get(status.table.name, ()):
            ground.take(self._again(incident), part)
        self._held(ground)
        if self.picture.airflow is not None:
            self._failed(ground)
        self._stuck(ground)
        self._overdue(ground)

    def _again(self, incident: Incident) -> int:
        one = incident.condition
        return self.key(Key(incident.kind, one.subject, one.cause), one.since, one.why, **one.evidence)

    def _held(self, ground: _Ground) -> None:
        name = ground.table.name
        for partition, held in sorted(self.picture.held.get(name, {}).items()):
            place = ground.place(partition)
            if place is None or not ground.mask[place] & State.HELD.bit:
                continue
            key = Key(HELD, name, held.expectation or fingerprint(held.message))
            at = held.judged_at or self.scene.now
            number = self.key(key, at, held.message, build=held.build_id)
            ground.put(number, place, held.begin, held.build_id, held.owner)

    def _failed(self, ground: _Ground) -> None:
        flags = (ground.mask & State.FAILED.bit > 0) & (ground.mask & (State.BLOCKED.bit | State.HELD.bit) == 0)
        if not flags.any():
            return
        for place, failure in _failures(ground, self.picture, flags):
            if isinstance(failure, Try):
                text, at, begin, build = failure.ended or "", failure.ended_at, failure.begin, failure.build_id
                owner = failure.owner
            else:
                text, at, begin, build = f"run {failure.run_id} failed before its build began", failure.ended_at, 0, ""
                owner = f"{ground.table.dag_id}/{failure.run_id}"
            at = at or self.scene.now
            outage = self._outage(at, AROUND)
            key = Key(FAILED, ground.table.name, fingerprint(text)) if outage is None else _down(outage)
            number = self.key(key, at if outage is None else outage.began, text if outage is None else "", build=build)
            ground.put(number, place, begin, build, owner)

    def _at_work_too_long(self, table: Table) -> list[tuple[Range, str, Work, datetime]]:
        """The builds that take too long, each with the moment from which on they did."""
        found = []
        for span, build_id in self.picture.building.get(table.name, ()):
            work = self.scene.work.get(build_id)
            limit = patience(work, len(span)) if work is not None else None
            if work is not None and limit is not None and self.scene.now - work.started_at > limit:
                found.append((span, build_id, work, work.started_at + limit))
        return found

    def _stuck(self, ground: _Ground) -> None:
        name, every = ground.table.name, ground.table.every
        for span, build_id, work, since in self._at_work_too_long(ground.table):
            flags = (ground.mask > 0) & (ground.who == _NOBODY)
            if self.scene.is_open(OVERDUE, name):
                # They have been told of already, and stay there: it is one root cause.
                flags &= ground.mask & State.OVERDUE.bit == 0
            low, high = (max(place_of(moment, every) - ground.base, 0) for moment in (span.start, span.end))
            places = np.flatnonzero(flags[low:high]) + low
            why = (
                f"build {build_id} has been at work since {work.started_at:%Y-%m-%d %H:%M} UTC; "
                f"the last {len(work.lately)} builds took {_length(_usual(work))}"
            )
            number = self.key(Key(STUCK, name), since, why, build=build_id)
            for place in places.tolist():
                ground.put(number, place, build=build_id, owner=work.owner)

    def _overdue(self, ground: _Ground) -> None:
        # What failed or is held belongs elsewhere; so does what was retried meanwhile, which `take` has put there.
        flags = (ground.mask & State.OVERDUE.bit > 0) & (ground.mask & State.BLOCKED.bit == 0) & (ground.who == _NOBODY)
        places = np.flatnonzero(flags)
        if self._may_excuse(ground.table):
            places = np.array(
                [p for p in places.tolist() if not self._excused(ground.table, ground.moment(p))], np.int64
            )
        for outage in self.scene.outages if len(places) else ():
            due = (ground.base + places + 1) * seconds(ground.table.every.length) + seconds(ground.table.due)
            begun, ended = (outage.began - AROUND).timestamp(), _until(outage, self.scene.now).timestamp()
            mine = places[(due >= begun) & (due <= ended)]
            if len(mine):
                ground.put(self.key(_down(outage), outage.began), mine)
                places = places[~np.isin(places, mine)]
        if len(places):
            first = ground.moment(int(places[0])) + ground.table.every.length + ground.table.due
            ground.put(self.key(self._late(ground.table), first, f"it was due at {first:%Y-%m-%d %H:%M} UTC"), places)

    def _may_excuse(self, table: Table) -> bool:
        known = self.scene.remembered.get(table.name)
        return known is not None and known.until is not None

    def _excused(self, table: Table, partition: datetime) -> bool:
        """Whether the partition is being caught up. What is an incident already stays one."""
        known = self.scene.remembered.get(table.name)
        is_open = self.scene.is_open(OVERDUE, table.name)
        return known is not None and not is_open and known.excuses(partition, self.scene.now)

    def _late(self, table: Table) -> Key:
        # As it was last: while Airflow is silent, a paused DAG's partitions must not become a second incident.
        known = self.scene.remembered.get(table.name)
        return Key(PAUSED if known is not None and known.is_paused else OVERDUE, table.name)

    def _outage(self, at: datetime, after: timedelta) -> Outage | None:
        """The first outage in which something happened, or nearly so."""
        inside = [
            outage
            for outage in self.scene.outages
            if outage.began - AROUND <= at and (outage.ended is None or at <= outage.ended + after)
        ]
        return min(inside, key=lambda outage: outage.began, default=None)

    # Tables that wait

    def _impact(self, status: TableStatus) -> None:
        blocked = status.mask & State.BLOCKED.bit > 0
        overdue = blocked & (status.mask & State.OVERDUE.bit > 0)
        table = status.table
        impact = Impact(table.name, table.maintainer.name, table.tier, int(blocked.sum()), int(overdue.sum()))
        places = np.flatnonzero(overdue if overdue.any() else blocked)
        for place in sorted({*places[: ASKED // 4].tolist(), *places[-ASKED:].tolist()}):
            moment = moment_of(status.base + place, table.every)
            numbers, others = self._roots(table, moment)
            needed = moment + table.every.length + table.due
            late = {self._root(root, needed) for root in others[-ASKED:]} if overdue[place] else set()
            for number in (numbers | late) - {_NOBODY}:
                self.known[self.keys[number]].impact[table.name] = impact

    def _roots(self, table: Table, partition: datetime) -> tuple[frozenset[int], tuple[Spot, ...]]:
        """The incidents that a blocked partition waits for, and the partitions without one that it waits for.

        As :meth:`Picture.blocked_by` finds them. Each partition is asked once a round: chains and windows share theirs.
        """
        known = self.roots.get((table.name, partition))
        if known is not None:
            return known
        numbers: set[int] = set()
        others: dict[Spot, None] = {}
        for needed in self.picture.status(table).lacks(partition):
            status = self.picture.status(needed.table)
            place = place_of(needed.partition, needed.table.every) - status.base
            if 0 <= place < len(status.mask) and status.mask[place] & State.BLOCKED.bit:
                of_it = self._roots(needed.table, needed.partition)
                numbers |= of_it[0]
                others.update(dict.fromkeys(of_it[1]))
                continue
            ground = self.grounds.get(needed.table.name)
            at = ground.place(needed.partition) if ground is not None else None
            if ground is not None and at is not None and ground.who[at] != _NOBODY:
                numbers.add(int(ground.who[at]))
            else:
                others[needed] = None
        self.roots[table.name, partition] = found = frozenset(numbers), tuple(others)[-ASKED:]
        return found

    def _root(self, root: Spot, needed: datetime) -> int:
        """The incident of a partition because of which others are overdue: that makes it one."""
        ground = self.grounds.get(root.table.name)
        if ground is None:
            ground = self.grounds[root.table.name] = _Ground(self.picture.status(root.table))
        place = ground.place(root.partition)
        if place is not None and ground.who[place] != _NOBODY:
            return int(ground.who[place])
        if self._excused(root.table, root.partition):
            return _NOBODY
        outage = self._outage(needed, CATCHING_UP)
        why = f"{root} is not published, and others have been waiting for it since {needed:%Y-%m-%d %H:%M} UTC"
        late = self._late(root.table)
        number = self.key(late, needed, why) if outage is None else self.key(_down(outage), outage.began)
        if place is not None:
            ground.put(number, place)
        else:
            part = Part(root.table.name, root.partition, root.partition + root.table.every.length)
            known = self.known[self.keys[number]]
            if part not in known.parts:
                known.parts.append(part)
                known.unpublished += 1
        return number

    # Conditions

    def _conditions(self) -> Troubles:
        found: defaultdict[str, list[Condition]] = defaultdict(list)
        left: dict[str, Condition] = {}
        for key, known in self.known.items():
            if not known.parts:
                continue
            if key.kind == DOWN:
                left[key.subject] = self._of_component(key, known)
            elif key.kind in OF_TABLES:
                found[key.kind].append(self._of_table(key, known))
        return Troubles(found, left)

    def _of_table(self, key: Key, known: _Known) -> Condition:
        table = self.picture.tables[key.subject]
        impact = _ordered(known)
        tiers: list[Tier] = [table.tier, *(one.tier for one in impact if one.overdue)]
        return Condition(
            key.subject,
            known.since,
            table.maintainer.name,
            min(tiers),
            _what(key.kind, table, known.parts),
            known.why,
            key.cause,
            # Readers still have the rows of before where it is published.
            wakes=known.unpublished > 0 or any(one.overdue for one in impact),
            parts=tuple(known.parts),
            impact=impact,
            evidence=known.evidence,
        )

    def _of_component(self, key: Key, known: _Known) -> Condition:
        return Condition(
            key.subject,
            known.since,
            self.scene.owners.infrastructure.name,
            1,
            "was down",
            parts=tuple(known.parts),
            impact=_ordered(known),
            evidence=known.evidence,
        )


class _Ground:
    """A table's partitions by place, and which incident each belongs to."""

    def __init__(self, status: TableStatus) -> None:
        self.table, self.base, self.mask = status.table, status.base, status.mask
        series = status.picture.columns.published.get(status.table.name, Series())
        self.published = series.begin.within(self.base, self.base + len(self.mask))
        self.who = np.full(len(self.mask), _NOBODY, np.int64)
        self.begin = np.zeros(len(self.mask), np.int64)
        self.build: dict[int, tuple[str, str]] = {}

    def place(self, partition: datetime) -> int | None:
        """Where it is; None: the table does not have it."""
        place = place_of(partition, self.table.every) - self.base
        return place if 0 <= place < len(self.mask) and self.mask[place] else None

    def moment(self, place: int) -> datetime:
        """The partition at a place."""
        return moment_of(self.base + place, self.table.every)

    def put(self, number: int, places: int | Ints, begin: int = 0, build: str = "", owner: str = "") -> None:
        """These partitions belong to an incident now."""
        self.who[places] = number
        self.begin[places] = begin
        if build or owner:
            self.build[int(places)] = build, owner

    def take(self, number: int, part: Part) -> None:
        """An open incident's partitions belong to it for as long as they are not repaired: published since, or gone."""
        low = max(place_of(part.start, self.table.every) - self.base, 0)
        high = min(place_of(part.end, self.table.every) - self.base, len(self.mask))
        if low >= high:
            return
        there = (self.mask[low:high] > 0) & (self.mask[low:high] & State.FROZEN.bit == 0)
        left = there & (self.published[low:high] < part.begin if part.begin else self.published[low:high] < 0)
        places = np.flatnonzero(left) + low
        self.who[places] = number
        self.begin[places] = part.begin
        for place in places.tolist() if part.build_id or part.owner else ():
            self.build[place] = part.build_id, part.owner

    def collect(self, keys: Sequence[Key], known: Mapping[Key, _Known]) -> None:
        """Hand each incident its partitions, as parts that went wrong alike."""
        builds = np.zeros(len(self.who), np.int64)
        for place, which in self.build.items():
            builds[place] = hash(which)
        changed = np.diff(self.who, prepend=_NOBODY) != 0
        changed |= (np.diff(self.begin, prepend=0) != 0) | (np.diff(builds, prepend=0) != 0)
        edges = [*np.flatnonzero(changed).tolist(), len(self.who)]
        unpublished = self.mask & (State.MISSING.bit | State.OVERDUE.bit) > 0
        for low, high in pairwise(edges):
            if self.who[low] == _NOBODY:
                continue
            mine = known[keys[int(self.who[low])]]
            build, owner = self.build.get(low, ("", ""))
            begin = int(self.begin[low])
            mine.parts.append(Part(self.table.name, self.moment(low), self.moment(high), begin, build, owner))
            mine.unpublished += int(unpublished[low:high].sum())


def _failures(ground: _Ground, picture: Picture, flags: Flags) -> Iterator[tuple[int, Try | FailedRun]]:
    """Of each flagged place, the newest try; where there was none, the run that failed last."""
    every, name = ground.table.every, ground.table.name
    tries = sorted((one for one in picture.tries.get(name, ()) if one.ended), key=lambda one: one.begin)
    assert picture.airflow is not None
    runs = sorted(picture.airflow.failed.get(ground.table.dag_id, ()), key=lambda run: run.ended_at)
    kinds: tuple[Sequence[Try | FailedRun], ...] = (tries, runs)
    for candidates in kinds:
        newest = np.full(len(flags), _NOBODY, np.int64)
        for number, one in enumerate(candidates):
            low = max(place_of(one.span.start, every) - ground.base, 0)
            newest[low : max(place_of(one.span.end, every) - ground.base, low)] = number
        for place in np.flatnonzero(flags & (newest != _NOBODY)).tolist():
            yield place, candidates[int(newest[place])]
        flags = flags & (newest == _NOBODY)


def _down(outage: Outage) -> Key:
    return Key(DOWN, outage.component)


def _until(outage: Outage, now: datetime) -> datetime:
    """Until when deadlines are missed because of an outage."""
    if outage.ended is None:
        return now
    return outage.ended + max(AROUND, min(outage.ended - outage.began, CATCHING_UP))


def _ordered(known: _Known) -> tuple[Impact, ...]:
    """The most urgent first."""
    return tuple(sorted(known.impact.values(), key=lambda one: (not one.overdue, one.tier, one.table)))


def _what(kind: str, table: Table, parts: Sequence[Part]) -> str:
    count = sum((part.end - part.start) // table.every.length for part in parts)
    first = table.every.name_of(parts[0].start)
    where = first if count == 1 else f"{count:,} partitions from {first}"
    late = "is overdue" if count == 1 else "are overdue"
    verb = {
        HELD: "failed the check",
        FAILED: "failed",
        STUCK: "takes too long to build" if count == 1 else "take too long to build",
        OVERDUE: late,
        PAUSED: f"{late}: the DAG is paused",
    }
    return f"{where} {verb[kind]}"


def _usual(work: Work) -> timedelta:
    return timedelta(seconds=median(took.total_seconds() for took, _ in work.lately))


def _length(length: timedelta) -> str:
    """About how long that is."""
    minutes = round(length / timedelta(minutes=1))
    return f"about {minutes:,} minutes" if minutes > 1 else "about a minute"
