"""PagerDuty, by its Events API v2. The routing key decides the service, and so who is paged."""

from __future__ import annotations

from typing import Any

from feedmill.alerts.channels.channel import Action, Answer, Message, Result
from feedmill.alerts.channels.fit import cut, details_of, key_of
from feedmill.alerts.channels.http import PATIENCE, Patience, Reply, request

BASE = "https://events.pagerduty.com"
LONGEST_KEY, LONGEST_SUMMARY = 255, 1024

LONGEST_PAGE, LONGEST_DETAILS = 30_000, 30_000
"""An event may have 512 KB, and a character up to six bytes of JSON."""


class PagerDuty:
    """One routing key. A page is an alert event; a notice is a change event, which notifies nobody.

    People see change events at the service, and beside its next incident.
    """

    keyed = True

    def __init__(self, conn_id: str, routing_key: str, base: str = BASE, patience: Patience = PATIENCE) -> None:
        self.conn_id = conn_id
        self._key, self._base, self._patience = routing_key, base.rstrip("/"), patience

    def send(self, message: Message) -> Answer:
        """Send one event. PagerDuty queues it, and never says what became of it: 202 is delivered."""
        if message.action is Action.NOTICE:
            return self._post("/v2/change/enqueue", {"payload": _payload(message), "links": _links(message)})
        event: dict[str, Any] = {
            "event_action": message.action.value,
            "dedup_key": key_of(message.alias, LONGEST_KEY),
        }
        if message.action is Action.TRIGGER:
            payload = {**_payload(message), "severity": message.severity}
            event |= {"payload": payload, "links": _links(message), "client": "Feedmill"}
        return self._post("/v2/enqueue", event)

    def confirm(self, request: str) -> Answer:  # noqa: ARG002 - nothing is ever only accepted
        """Nothing to ask."""
        return Answer(Result.DELIVERED)

    def _post(self, path: str, event: dict[str, Any]) -> Answer:
        whole = {"routing_key": self._key, **event}
        return request("POST", self._base + path, whole, {}, self._key, _read, self._patience)


def _read(reply: Reply) -> Answer | None:
    return Answer(Result.DELIVERED) if reply.status == 202 else None


def _payload(message: Message) -> dict[str, Any]:
    details = details_of(message.details, LONGEST_DETAILS)
    return {
        "summary": cut(message.summary, LONGEST_SUMMARY),
        "source": message.source,
        "custom_details": {**details, "page": cut(message.body, LONGEST_PAGE)},
    }


def _links(message: Message) -> list[dict[str, str]]:
    return [{"href": url, "text": text} for text, url in message.links]
