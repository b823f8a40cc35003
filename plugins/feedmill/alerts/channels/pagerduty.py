"""PagerDuty, by its Events API v2. The routing key decides the service, and so who is paged."""

from __future__ import annotations

import hashlib
from typing import Any

from feedmill.alerts.channels.channel import Action, Answer, Message, Result
from feedmill.alerts.channels.http import PATIENCE, Patience, request

BASE = "https://events.pagerduty.com"
LONGEST_KEY = 255
LONGEST_SUMMARY = 1024


class PagerDuty:
    """One routing key. A page is an alert; a notice is a change event, which notifies nobody."""

    keyed = True

    def __init__(self, conn_id: str, routing_key: str, base: str = BASE, patience: Patience = PATIENCE) -> None:
        self.conn_id = conn_id
        self._key, self._base, self._patience = routing_key, base.rstrip("/"), patience

    def send(self, message: Message) -> Answer:
        """Queue one event: 202 is all that this API ever says, so it counts as delivered."""
        if message.action is Action.NOTICE:
            return self._post("/v2/change/enqueue", {"payload": _change(message)}, message)
        body: dict[str, Any] = {"event_action": message.action.value, "dedup_key": key_of(message.alias)}
        if message.action is Action.TRIGGER:
            body |= {"payload": _payload(message), "client": "Feedmill"}
        return self._post("/v2/enqueue", body, message)

    def confirm(self, request: str) -> Answer:  # noqa: ARG002 - nothing is ever only accepted
        """Nothing to ask."""
        return Answer(Result.DELIVERED)

    def _post(self, path: str, body: dict[str, Any], message: Message) -> Answer:
        links = [{"href": url, "text": text} for text, url in message.links]
        whole = {"routing_key": self._key, **body, **({"links": links} if links else {})}
        return request("POST", self._base + path, whole, {}, self._key, self._patience)


def key_of(alias: str) -> str:
    """The alias, shortened where it is too long for a key; two aliases never share one."""
    if len(alias) <= LONGEST_KEY:
        return alias
    digest = hashlib.sha256(alias.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{alias[: LONGEST_KEY - 33]}~{digest}"


def _payload(message: Message) -> dict[str, Any]:
    details = {**message.details, "page": message.body}
    return {
        "summary": message.summary[:LONGEST_SUMMARY],
        "source": message.source,
        "severity": message.severity,
        "custom_details": details,
    }


def _change(message: Message) -> dict[str, Any]:
    details = {**message.details, "page": message.body}
    return {"summary": message.summary[:LONGEST_SUMMARY], "source": message.source, "custom_details": details}
