"""Which incidents are open, from what is known and what was open before. Pure.

- Positive evidence only: while an origin says nothing, its incidents neither open nor heal.
- An incident that comes back within ``RETURNS`` continues its row, and says how often.
- From the third time on it closes only after it has been well for ``STEADY``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from feedmill.alerts.incident import Condition, Ending, Incident, Outage
from feedmill.alerts.kinds import Kind, Silent
from feedmill.alerts.scene import RESTS_ON, Component, Health, Scene
from feedmill.alerts.tables import OF_THE_MAP, troubles

RETURNS = timedelta(hours=1)
FLAPS = 3
STEADY = timedelta(minutes=30)
SEEN_EVERY = timedelta(minutes=5)


def judge(
    kinds: Mapping[str, Kind], scene: Scene, known: Mapping[str, Incident], installation: str
) -> dict[str, Incident]:
    """The incidents that have changed, by id. ``known`` are those that are not closed, or were closed lately.

    A pending incident that is over never was one: it is returned as closed, and was never opened.
    """
    newest: dict[str, Incident] = {}
    for incident in sorted(known.values(), key=lambda one: one.seen_at):
        newest[incident.alias] = incident
    now, changed = scene.now, dict[str, Incident]()
    found_of_tables = troubles(scene)
    for kind in kinds.values():
        mine = {one.alias: one for one in newest.values() if one.kind == kind.name and one.closed_at is None}
        if kind.origin not in scene.answered:
            changed.update(_unknown(mine.values(), now))
            continue
        for found in kind.find(scene, found_of_tables):
            if isinstance(found, Silent):
                silent = [one for one in mine.values() if one.condition.subject == found.subject]
                changed.update(_unknown(silent, now))
                for one in silent:
                    del mine[one.alias]
                continue
            # Another machine's clock may be ahead of ours.
            found = replace(found, since=min(found.since, now))
            alias = alias_of(installation, kind.name, found)
            mine.pop(alias, None)
            before = _again(newest[alias], found, now) if alias in newest else None
            incident = before or Incident(f"{alias}@{now:%Y-%m-%dT%H:%M:%S.%f}", alias, kind.name, found, now)
            if incident.opened_at is None and now - incident.condition.since >= kind.delay:
                incident = replace(incident, opened_at=now)
            changed[incident.id] = incident
        changed.update({one.id: _well(one, scene) for one in mine.values()})
    return {key: one for key, one in changed.items() if not _is_the_same(one, known.get(key))}


def alias_of(installation: str, kind: str, condition: Condition) -> str:
    """The key that receivers know it by."""
    cause = f"/{condition.cause}" if condition.cause else ""
    return f"{installation}/{kind}/{condition.subject}{cause}"


def outages(known: Mapping[str, Outage], looks: Mapping[Component, Health], now: datetime) -> dict[str, Outage]:
    """The outages that have begun or ended, by id. Of a component that was not looked at, nothing changes."""
    changed = {}
    for component, health in looks.items():
        lasting = [one for one in known.values() if one.component == component and one.ended is None]
        if health.is_well:
            changed.update({one.id: replace(one, ended=now) for one in lasting})
        elif not lasting and not _rests_on_what_is_down(component, looks):
            began = Outage(component.value, now, None, health.detail)
            changed[began.id] = began
    return changed


def _rests_on_what_is_down(component: Component, looks: Mapping[Component, Health]) -> bool:
    below = RESTS_ON.get(component)
    return below is not None and below in looks and not looks[below].is_well


def _is_the_same(incident: Incident, before: Incident | None) -> bool:
    """Whether nothing has changed, or only that it was seen again: that is written every few minutes."""
    if before is None or incident.seen_at - before.seen_at >= SEEN_EVERY:
        return incident == before
    return replace(incident, seen_at=before.seen_at) == before


def _again(before: Incident, found: Condition, now: datetime) -> Incident | None:
    """The incident, found once more; None: it was closed too long ago to go on."""
    since = min(before.condition.since, found.since) if before.closed_at is None else found.since
    known = replace(before, condition=replace(found, since=since), seen_at=now, well_since=None, unknown_since=None)
    if before.closed_at is None:
        return known
    if before.opened_at is None or now - before.closed_at > RETURNS:
        return None
    again = replace(known, opened_at=now, closed_at=None, ending=None, times=before.times + 1)
    return replace(again, first_round=False, storm="")


def _unknown(silent: Iterable[Incident], now: datetime) -> dict[str, Incident]:
    return {one.id: replace(one, unknown_since=one.unknown_since or now) for one in silent}


def _well(incident: Incident, scene: Scene) -> Incident:
    """The incident was not found any more."""
    now = scene.now
    well = replace(incident, well_since=incident.well_since or now, unknown_since=None)
    left = incident.kind in OF_THE_MAP and scene.picture is not None
    if left and scene.picture is not None and incident.condition.subject not in scene.picture.tables:
        return replace(well, closed_at=now, ending=Ending.WITHDRAWN)
    assert well.well_since is not None
    if incident.times >= FLAPS and now - well.well_since < STEADY:
        return well
    return replace(well, closed_at=now, ending=Ending.HEALED)
