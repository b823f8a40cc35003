"""Jira Service Management's alerts, and Opsgenie's, which have the same shapes until Opsgenie ends in April 2027."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from feedmill.alerts.channels.channel import Action, Answer, Message, Result, Severity
from feedmill.alerts.channels.fit import cut, details_of, key_of
from feedmill.alerts.channels.http import PATIENCE, Patience, Reply, request

BASE = "https://api.atlassian.com/jsm/ops/integration/v2"
OPSGENIE = "https://api.opsgenie.com/v2"
LONGEST_MESSAGE, LONGEST_ALIAS, LONGEST_ENTITY = 130, 512, 512
LONGEST_DESCRIPTION, LONGEST_NOTE, LONGEST_DETAILS = 15_000, 25_000, 8_000

_PRIORITIES: Mapping[Severity, str] = {"critical": "P1", "error": "P2", "warning": "P3", "info": "P5"}

_REQUEST = re.compile(r"[A-Za-z0-9_-]{1,200}")
"""A request's id; it becomes a part of a URL."""

_GONE = ("does not exist", "not found", "already closed")
"""How they say that an alert which should be closed is not open."""


class Jira:
    """One integration's API key. Requests are queued: :meth:`confirm` asks what became of them.

    There are only alerts. A notice is one with the lowest priority, a key of its own and the tag ``notice``; nothing
    closes it but a policy of the receiver.
    """

    keyed = True

    def __init__(self, conn_id: str, api_key: str, base: str = BASE, patience: Patience = PATIENCE) -> None:
        self.conn_id = conn_id
        self._key, self._base, self._patience = api_key, base.rstrip("/"), patience

    def send(self, message: Message) -> Answer:
        """Queue the creation of an alert, or its close."""
        if message.action is not Action.RESOLVE:
            return self._call("POST", "/alerts", _alert(message), _queued)
        path = f"/alerts/{quote(key_of(message.alias, LONGEST_ALIAS), safe='')}/close?identifierType=alias"
        note = cut(f"{message.summary}\n\n{message.body}", LONGEST_NOTE)
        return self._call("POST", path, {"source": "Feedmill", "note": note}, _closed)

    def confirm(self, request: str) -> Answer:
        """What became of a queued request. An alert to close that is not open is closed already."""
        answer = self._call("GET", f"/alerts/requests/{request}", None, _processed)
        # Whatever is lost here is an answer, and no message.
        return replace(answer, ambiguous=False)

    def _call(
        self, method: str, path: str, body: dict[str, Any] | None, read: Callable[[Reply], Answer | None]
    ) -> Answer:
        headers = {"Authorization": f"GenieKey {self._key}"}
        return request(method, self._base + path, body, headers, self._key, read, self._patience)


def _queued(reply: Reply) -> Answer | None:
    request_id = str(reply.fields.get("requestId") or "") if reply.is_success else ""
    return Answer(Result.ACCEPTED, request=request_id) if _REQUEST.fullmatch(request_id) else None


def _closed(reply: Reply) -> Answer | None:
    """The same; but some say at once, with 404, that there is no such alert."""
    said = str(reply.fields.get("message")).lower()
    is_gone = reply.status == 404 and "alert" in said and any(words in said for words in _GONE)
    return Answer(Result.DELIVERED) if is_gone else _queued(reply)


def _processed(reply: Reply) -> Answer | None:
    if reply.status == 404:
        return Answer(Result.LATER, "the request is not processed yet")
    data = reply.fields.get("data") if reply.is_success else None
    if not isinstance(data, dict):
        return None
    status = str(data.get("status") or "")
    if data.get("success") is True or data.get("isSuccess") is True:
        return Answer(Result.DELIVERED)
    if not status:
        return Answer(Result.LATER, "the request is not processed yet")
    is_gone = data.get("action") == "Close" and any(words in status.lower() for words in _GONE)
    return Answer(Result.DELIVERED) if is_gone else Answer(Result.REFUSED, f"it was not done: {status}")


def _alert(message: Message) -> dict[str, Any]:
    is_notice = message.action is Action.NOTICE
    links = cut("".join(f"\n{text}: {url}" for text, url in message.links), LONGEST_DESCRIPTION // 2)
    return {
        "message": cut(message.summary, LONGEST_MESSAGE),
        "alias": key_of(message.alias, LONGEST_ALIAS),
        "description": cut(message.body, LONGEST_DESCRIPTION - len(links.encode("utf-16-le", "replace")) // 2) + links,
        "details": details_of(message.details, LONGEST_DETAILS),
        "entity": cut(message.source, LONGEST_ENTITY),
        "source": "Feedmill",
        "priority": "P5" if is_notice else _PRIORITIES[message.severity],
        "tags": ["notice"] if is_notice else [],
    }
