"""``feedmill maintainers``: who owns what, where each team is told, and what nobody owns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from feedmill.cli.command import ended, output
from feedmill.errors import Exit

if TYPE_CHECKING:
    from rich.console import RenderableType

    from feedmill.spec import Maintainer, Maintainers

KINDS = ("table", "source", "model", "service")
"""What a team may own, in the order in which it is listed."""

Channels: TypeAlias = dict[str, tuple[str | None, str | None]]
"""By connection id: its type, or why there is none."""


@dataclass(frozen=True)
class Owned:
    """Something that a maintainer owns."""

    kind: str
    name: str
    tier: int
    maintainer: Maintainer
    file: str
    """Where its maintainer stands."""


def maintainers() -> None:
    """List who owns what: tables, sources, models and services by tier, channels, working hours, and the backup.

    Then it lists what nobody owns, who cannot be reached, and which services nobody watches (docs/maintainers.md).

    [bold]Examples:[/bold]  feedmill maintainers

      feedmill maintainers --json

    Exits with 1 if something is owned by nobody, or a maintainer has no channel or one that is not defined.
    """
    from include.maintainers import DEFAULT, INFRASTRUCTURE, MAINTAINERS
    from include.services import SERVICES

    MAINTAINERS.require_holidays()
    owned = list(_owned())
    nobody = [*_of_strangers(owned, MAINTAINERS), *_not_listed(owned, DEFAULT)]
    channels = {conn_id: _look(conn_id) for one in MAINTAINERS for conn_id in one.channels}
    unreachable = [{"maintainer": one.name, "why": why} for one in MAINTAINERS for why in _not_reached(one, channels)]
    not_watched = [
        {"service": one.name, "maintainer": one.maintainer.name, "why": why}
        for one in SERVICES
        if (why := _look(one.conn_id)[1])
    ]
    busy = {one.maintainer.name for one in owned} | {DEFAULT.name, INFRASTRUCTURE.name}
    data = {
        "maintainers": [
            {
                **_plain(one, owned, channels),
                "default": one is DEFAULT,
                "infrastructure": one is INFRASTRUCTURE,
            }
            for one in MAINTAINERS
        ],
        "owned_by_nobody": nobody,
        "unreachable": unreachable,
        "not_watched": not_watched,
        "owns_nothing": [one.name for one in MAINTAINERS if one.name not in busy],
    }
    out = output()
    out.result(data, None if out.as_json else _text(data))
    ended(Exit.PROBLEM if nobody or unreachable else Exit.OK)


def _owned() -> Iterator[Owned]:
    from include.landing import LANDING
    from include.models import MODELS
    from include.services import SERVICES
    from include.tables import TABLES

    for table in TABLES:
        yield Owned("table", table.name, table.tier, table.maintainer, "include/tables.py")
    for source in LANDING:
        yield Owned("source", source.source, source.tier, source.maintainer, "include/landing.py")
    for model in MODELS:
        yield Owned("model", model.model_id, model.tier, model.maintainer, "include/models.py")
    for service in SERVICES:
        yield Owned("service", service.name, service.tier, service.maintainer, "include/services.py")


def _plain(one: Maintainer, owned: list[Owned], channels: Channels) -> dict[str, Any]:
    return {
        "maintainer": one.name,
        "description": one.description,
        "link": one.link,
        "channels": [{"connection": conn_id, "type": channels[conn_id][0]} for conn_id in one.channels],
        "time_zone": one.time_zone,
        "working_hours": one.working_hours,
        "holidays": one.holidays or None,
        "backup": one.backup.name if one.backup else None,
        "owns": {
            f"{kind}s": [{"name": it.name, "tier": it.tier} for it in owned if it.kind == kind and it.maintainer is one]
            for kind in KINDS
        },
    }


def _of_strangers(owned: list[Owned], known: Maintainers) -> Iterator[dict[str, str]]:
    """What belongs to a team that is not in include/maintainers.py."""
    for one in owned:
        if one.maintainer not in known:
            why = f"{one.maintainer.name}, its maintainer in {one.file}, is not in include/maintainers.py"
            yield {"kind": one.kind, "name": one.name, "why": why}


def _not_listed(owned: list[Owned], default: Maintainer) -> Iterator[dict[str, str]]:
    """The sources without a maintainer."""
    from include.spark.sources import SOURCES

    listed = {one.name for one in owned if one.kind == "source"}
    for name in SOURCES:
        if name not in listed:
            why = f"it is not in include/landing.py, so {default.name} is told of it, and nobody if its files stop"
            yield {"kind": "source", "name": name, "why": why}


def _look(conn_id: str) -> tuple[str | None, str | None]:
    """The connection's type, or why there is none."""
    from feedmill import connections

    try:
        return connections.get(conn_id).conn_type, None
    except connections.ConnectionNotDefinedError as error:
        return None, str(error)


def _not_reached(one: Maintainer, channels: Channels) -> Iterator[str]:
    """Why the maintainer's channels, or some of them, take no message."""
    if not one.channels:
        yield "It has no channels in include/maintainers.py."
    yield from (why for conn_id in one.channels if (why := channels[conn_id][1]))


def _text(data: dict[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for one in data["maintainers"]:
        parts += [Text.assemble((one["maintainer"], "bold"), f": {one['description']}"), *map(Text, _facts(one))]
        for tier in (1, 2, 3):
            for kind, things in one["owns"].items():
                names = ", ".join(it["name"] for it in things if it["tier"] == tier)
                parts += [Text(f"  tier {tier} {kind}: {names}")] if names else []
        parts.append("")
    for heading, lines in _findings(data):
        if lines:
            parts += [Text(heading, style="bold"), *(Text(f"  {line}") for line in lines)]
    if not data["owned_by_nobody"] and not data["unreachable"]:
        parts.append("Everything has an owner who can be reached.")
    return Group(*parts)


def _facts(one: dict[str, Any]) -> Iterator[str]:
    channels = ", then ".join(f"{it['connection']} ({it['type'] or 'not defined'})" for it in one["channels"])
    backup = f"; after that {one['backup']}" if one["backup"] else ""
    yield f"  told by {channels or 'nothing'}{backup}"
    first, last = one["working_hours"]
    holidays = f", not on the public holidays of {one['holidays']}" if one["holidays"] else ""
    yield f"  works Monday to Friday, {first:02}:00 to {last:02}:00, {one['time_zone']}{holidays}"
    if one["default"]:
        yield "  told of whatever nobody owns"
    if one["infrastructure"]:
        yield "  told when Airflow, Spark, PostgreSQL or another component is down"


def _findings(data: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    yield "Owned by nobody", [f"{one['kind']} {one['name']}: {one['why']}" for one in data["owned_by_nobody"]]
    yield "Cannot be reached", [f"{one['maintainer']}: {one['why']}" for one in data["unreachable"]]
    yield "Not watched", [f"service {one['service']}: {one['why']}" for one in data["not_watched"]]
    yield "Owns nothing", data["owns_nothing"]
