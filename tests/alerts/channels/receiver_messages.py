"""Messages, and the channel to a receiver on this machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

from receiver_servers import PagerDutyServer, Server

from feedmill.alerts.channels.channel import Action, Answer, Channel, Message, Result
from feedmill.alerts.channels.http import Patience
from feedmill.alerts.channels.jira import Jira
from feedmill.alerts.channels.pagerduty import PagerDuty

SHORT = Patience(connect=0.3, read=0.15, whole=0.5)

PAGE = Message(
    Action.TRIGGER,
    "feedmill/held/events.clean",
    "events.clean is held: 3 partitions failed their check",
    "**Why:** 4 % of the rows have no user.\n\n**Next:** open the check page.",
    "critical",
    "events.clean",
    (("Check page", "https://airflow.example.com/pages/1"), ("DAG", "https://airflow.example.com/dags/events")),
    {"kind": "held", "tier": "1"},
)
RESOLVE = replace(PAGE, action=Action.RESOLVE, summary="Over: events.clean is held", body="This is over.")
NOTICE = replace(PAGE, action=Action.NOTICE, alias="feedmill/held/events.clean/notice/1", severity="warning")

Pair: TypeAlias = tuple[Server, Channel]


def channel_to(server: Server, secret: str = "", patience: Patience = SHORT, base: str = "") -> Channel:
    """The channel whose receiver the server is."""
    make: Any = PagerDuty if isinstance(server, PagerDutyServer) else Jira
    channel: Channel = make("pager", secret or server.secret, base or server.base, patience)
    return channel


def sent(channel: Channel, message: Message) -> Answer:
    """Send, and ask until the receiver knows."""
    answer = channel.send(message)
    return channel.confirm(answer.request) if answer.result is Result.ACCEPTED else answer
