"""``feedmill alerts``: what is wrong now, who was told of it and why then; silences, redirects, and a test page."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedmill.cli.command import command, ended, output
from feedmill.cli.exits import CommandError
from feedmill.cli.options import user, utc_now
from feedmill.cli.output import harmless, listing
from feedmill.errors import Exit
from feedmill.timeline import parse

if TYPE_CHECKING:
    from rich.console import RenderableType

    from feedmill.alerts.channels.channel import Answer
    from feedmill.alerts.dispatch import Setting
    from feedmill.alerts.incident import Delivery, Incident, Outbox, Silence

alerts = typer.Typer(
    no_args_is_help=True, help="See what is wrong, who was told and why; silence it, or hand it to somebody else."
)

IncidentName = Annotated[
    str, typer.Argument(metavar="INCIDENT", help="Its subject, such as events.clean, or its key from `alerts open`.")
]
Until = Annotated[str, typer.Option(metavar="TIME", help="When it ends, in UTC, such as 2026-05-01T18.")]
Ticket = Annotated[str, typer.Option(help="The ticket that says why.")]


@command(alerts, "open")
def open_incidents() -> None:
    """List the incidents that are open, and those whose condition has not held for long enough yet.

    [bold]Example:[/bold]  feedmill alerts open

    Exits with 1 if one is open.
    """
    known, now = _outbox()
    shown = sorted((one for one in known.incidents.values() if one.closed_at is None), key=_urgency)
    setting = _setting()
    data = [_plain(one, known, setting, now) for one in shown]
    output().result(data, _listed(shown, known, setting, now) if shown else "Nothing is wrong.")
    ended(Exit.PROBLEM if any(one.is_open for one in shown) else Exit.OK)


@command(alerts, "history")
def history(
    limit: Annotated[int, typer.Option(min=1, help="At most so many incidents, the newest ones.")] = 50,
) -> None:
    """List the incidents that opened last, closed ones included.

    [bold]Example:[/bold]  feedmill alerts history --limit 100
    """
    from feedmill.alerts import outbox
    from feedmill.ledger.store import open_ledger

    known, now = _outbox()
    with open_ledger().transaction() as session:
        shown = outbox.history(session, limit)
    setting = _setting()
    data = [_plain(one, known, setting, now) for one in shown]
    output().result(data, _listed(shown, known, setting, now) if shown else "There was no incident yet.")


@command(alerts, "explain")
def explain(incident: IncidentName) -> None:
    """Say what an incident is, who was told of it, why, and why then; or why nobody was told.

    [bold]Example:[/bold]  feedmill alerts explain events.clean
    """
    from rich.console import Group
    from rich.text import Text

    known, now = _outbox()
    setting = _setting()
    parts: list[RenderableType] = []
    data = []
    for one in _named(incident, known):
        plain = _plain(one, known, setting, now)
        plain["deliveries"] = [_sent(delivery) for delivery in known.of(one)]
        data.append(plain)
        parts.append(Text(harmless(f"{plain['key']}: {plain['what']}, since {one.condition.since:%Y-%m-%d %H:%M} UTC")))
        parts += [
            Text(harmless(f"  {name}: {plain[name]}")) for name in ("why", "maintainer", "tier", "told") if plain[name]
        ]
        parts += [Text(harmless(f"  {_line(delivery)}")) for delivery in known.of(one)]
    output().result(data, Group(*parts))


@command(alerts, "redirect")
def redirect(
    incident: IncidentName,
    maintainer: Annotated[str, typer.Argument(metavar="MAINTAINER", help="Who is told from now on.")],
) -> None:
    """Hand an incident to another team: it is resolved where it was paged, and paged there.

    [bold]Example:[/bold]  feedmill alerts redirect events.clean personalization
    """
    from feedmill.alerts import outbox
    from feedmill.ledger.store import open_ledger
    from include.maintainers import MAINTAINERS

    known, _ = _outbox()
    target = MAINTAINERS[maintainer]
    chosen = [one for one in _named(incident, known) if one.closed_at is None]
    if not chosen:
        raise CommandError(
            f"no open incident is called {incident!r}; `feedmill alerts open` lists those that there are"
        )
    after = known.with_incidents([replace(one, redirected_to=target.name) for one in chosen])
    with open_ledger().transaction() as session:
        outbox.save(session, known, after)
    keys = ", ".join(_key(one) for one in chosen)
    sentence = (
        f"{keys}: {target.name} is told from now on. If it is always theirs, name them as the maintainer of "
        f"{chosen[0].condition.subject} in include/."
    )
    output().result([{"key": _key(one), "maintainer": target.name} for one in chosen], sentence)


@command(alerts, "silence")
def silence(
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="A table, a component, a source or a maintainer.")],
    until: Until,
    ticket: Ticket,
    kind: Annotated[list[str] | None, typer.Option(help="Only incidents of this kind, such as held.")] = None,
) -> None:
    """Tell nobody about a subject until a moment. An incident that is open when the silence ends is told then.

    [bold]Example:[/bold]  feedmill alerts silence events.clean --until 2026-05-01T18 --ticket OPS-12
    """
    _silence(subject, tuple(kind or ()), until, ticket)


@command(alerts, "maintenance")
def maintenance(until: Until, ticket: Ticket) -> None:
    """Tell nobody about anything until a moment, because somebody works on the installation.

    [bold]Example:[/bold]  feedmill alerts maintenance --until 2026-05-01T18 --ticket OPS-12
    """
    _silence("*", (), until, ticket)


@command(alerts, "silences")
def list_silences() -> None:
    """List the silences and maintenance windows that have not ended.

    [bold]Example:[/bold]  feedmill alerts silences
    """
    known, now = _outbox()
    shown = [one for one in known.silences if one.ends_at > now]
    data = [_of_silence(one) for one in shown]
    rows = [(d["subject"], ", ".join(d["kinds"]) or "all", d["until"], d["ticket"], d["author"]) for d in data]
    heads = ("subject", "kinds", "until (UTC)", "ticket", "author")
    output().result(data, listing(heads, rows) if rows else "There is no silence.")


@command(alerts, "test")
def test(maintainer: Annotated[str, typer.Argument(metavar="MAINTAINER", help="Whose channels are tried.")]) -> None:
    """Send a page that is marked as a test to each of a maintainer's channels, and resolve it.

    [bold]Example:[/bold]  feedmill alerts test feed-data

    Exits with 1 if a channel does not take it.
    """
    from feedmill.alerts.channels.channel import Action, ChannelError, Message, Result
    from feedmill.alerts.channels.receivers import channel_of
    from feedmill.alerts.dispatch import route
    from feedmill.alerts.open_watch import installation
    from feedmill.alerts.owners import of_project
    from feedmill.connections import ConnectionNotDefinedError

    owners = of_project()
    if maintainer not in owners.known:
        raise CommandError(f"there is no maintainer {maintainer!r}; there are {', '.join(sorted(owners.known))}")
    alias = f"{installation()}/test/{maintainer}/{utc_now():%Y-%m-%dT%H:%M:%S}"
    said = f"This is a test of the channels of {maintainer}, sent by {user()}. Nothing is wrong."
    rows = []
    for conn_id in route(owners.known[maintainer], owners):
        for action in (Action.TRIGGER, Action.RESOLVE):
            page = Message(action, alias, f"TEST, nothing is wrong: channels of {maintainer}", said, "info", maintainer)
            try:
                channel = channel_of(conn_id)
                answer = channel.send(page)
                while answer.result is Result.ACCEPTED:
                    time.sleep(answer.after or 1)
                    answer = channel.confirm(answer.request)
            except (ChannelError, ConnectionNotDefinedError) as error:
                answer = _refused(str(error))
            rows.append((conn_id, action.value, answer.result.value, answer.reason))
    data = [dict(zip(("channel", "action", "result", "reason"), row, strict=True)) for row in rows]
    heads = ("channel", "message", "result", "reason")
    text = listing(heads, rows) if rows else f"{maintainer} has no channel: nobody would be told."
    output().result(data, text)
    ended(Exit.OK if rows and all(row[2] == "delivered" for row in rows) else Exit.PROBLEM)


def _refused(reason: str) -> Answer:
    from feedmill.alerts.channels.channel import Answer, Result

    return Answer(Result.REFUSED, reason)


def _silence(subject: str, kinds: tuple[str, ...], until: str, ticket: str) -> None:
    from feedmill.alerts import outbox
    from feedmill.alerts.incident import Silence
    from feedmill.alerts.kinds import KINDS
    from feedmill.ledger.store import open_ledger

    now, ends = utc_now(), parse(until)
    if ends <= now:
        raise CommandError(f"{until} (UTC) is over: give a moment that is still to come")
    if ends - now > timedelta(days=90):
        raise CommandError("a silence may last 90 days: what nobody wants to hear of for longer should leave the map")
    if unknown := set(kinds) - KINDS.keys():
        raise CommandError(f"there is no kind {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    if not ticket.strip():
        raise CommandError("a silence needs a ticket: whoever looks later must find out why nobody was told")
    with open_ledger().transaction() as session:
        made = outbox.silence(session, Silence("", subject, kinds, ticket.strip(), user(), now, ends))
    whom = "anything" if subject == "*" else subject
    output().result(_of_silence(made), f"Nobody is told about {whom} until {ends:%Y-%m-%d %H:%M} UTC ({ticket}).")


def _outbox() -> tuple[Outbox, datetime]:
    from feedmill.alerts import outbox
    from feedmill.ledger.store import open_ledger

    now = utc_now()
    with open_ledger().transaction() as session:
        return outbox.load(session, now), now


def _setting() -> Setting:
    from feedmill.alerts.dispatch import Setting
    from feedmill.alerts.kinds import KINDS
    from feedmill.alerts.open_watch import installation
    from feedmill.alerts.owners import of_project

    return Setting(installation(), tuple(KINDS), of_project())


def _named(name: str, known: Outbox) -> list[Incident]:
    """The incidents of that subject or key: the open ones, or else the newest closed one."""
    found = [one for one in known.incidents.values() if name in (one.condition.subject, _key(one), one.alias)]
    if not found:
        raise CommandError(f"no incident of the last days is called {name!r}; `feedmill alerts open` lists them")
    lasting = [one for one in found if one.closed_at is None]
    return sorted(lasting, key=_urgency) or [max(found, key=lambda one: one.seen_at)]


def _urgency(incident: Incident) -> tuple[Any, ...]:
    return not incident.is_open, incident.condition.tier, incident.condition.since


def _key(incident: Incident) -> str:
    """Its alias without the installation."""
    return incident.alias.partition("/")[2]


def _plain(incident: Incident, known: Outbox, setting: Setting, now: datetime) -> dict[str, Any]:
    from feedmill.alerts.dispatch import standing

    one = incident.condition
    return {
        "key": _key(incident),
        "kind": incident.kind,
        "subject": one.subject,
        "what": one.what,
        "why": one.why,
        "since": one.since,
        "opened": incident.opened_at,
        "closed": incident.closed_at,
        "times": incident.times,
        "unknown_since": incident.unknown_since,
        "maintainer": incident.maintainer,
        "tier": one.tier,
        "told": standing(known, setting, incident, now),
    }


def _listed(shown: list[Incident], known: Outbox, setting: Setting, now: datetime) -> RenderableType:
    from feedmill.alerts.dispatch import standing

    rows = [
        (
            _key(one),
            one.condition.what,
            f"{one.condition.since:%m-%d %H:%M}",
            one.condition.tier,
            one.maintainer,
            standing(known, setting, one, now),
        )
        for one in shown
    ]
    return listing(("incident", "what", "since (UTC)", "tier", "maintainer", "told"), rows, right=("tier",))


def _sent(delivery: Delivery) -> dict[str, Any]:
    return {
        "purpose": delivery.purpose.value,
        "channel": delivery.channel,
        "maintainer": delivery.maintainer,
        "because": delivery.because,
        "decided": delivery.decided_at,
        "stage": delivery.stage.value,
        "attempts": delivery.attempts,
        "error": delivery.error,
    }


def _line(delivery: Delivery) -> str:
    error = f" ({delivery.error})" if delivery.error else ""
    return (
        f"{delivery.decided_at:%m-%d %H:%M:%S} {delivery.purpose} to {delivery.maintainer} by {delivery.channel}: "
        f"{delivery.stage}{error}; {delivery.because}"
    )


def _of_silence(one: Silence) -> dict[str, Any]:
    return {
        "subject": one.subject,
        "kinds": list(one.kinds),
        "until": f"{one.ends_at:%Y-%m-%d %H:%M}",
        "ticket": one.ticket,
        "author": one.author,
    }
