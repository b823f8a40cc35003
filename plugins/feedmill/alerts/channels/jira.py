"""Jira Service Management's alerts, and Opsgenie's, which have the same shapes until Opsgenie ends in April 2027."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from feedmill.alerts.channels.channel import Action, Answer, Message, Result, Severity
from feedmill.alerts.channels.http import PATIENCE, Patience, request

BASE = "https://api.atlassian.com/jsm/ops/integration/v2"
OPSGENIE = "https://api.opsgenie.com/v2"
LONGEST_MESSAGE, LONGEST_ALIAS, LONGEST_DESCRIPTION, LONGEST_ENTITY, MOST_DETAILS = 130, 512, 15_000, 512, 8_000

_PRIORITIES: Mapping[Severity, str] = {"critical": "P1", "error": "P2", "warning": "P3", "info": "P5"}


class Jira:
    """One integration's API key. Requests are queued: :meth:`confirm` asks what became of them."""

    keyed = True

    def __init__(self, conn_id: str, api_key: str, base: str = BASE, patience: Patience = PATIENCE) -> None:
        self.conn_id = conn_id
        self._key, self._base, self._patience = api_key, base.rstrip("/"), patience

    def send(self, message: Message) -> Answer:
        """Queue the creation of an alert, or its close."""
        if message.action is Action.RESOLVE:
            path = f"/alerts/{quote(alias_of(message.alias), safe='')}/close?identifierType=alias"
            return self._call("POST", path, {"source": "Feedmill", "note": message.summary})
        return self._call("POST", "/alerts", _alert(message))

    def confirm(self, request: str) -> Answer:
        """What became of a queued request. An alert to close that is not there is closed already."""

        def read(body: dict[str, Any]) -> Answer:
            data = body.get("data") or {}
            status = str(data.get("status") or "")
            if data.get("success") or data.get("isSuccess"):
                return Answer(Result.DELIVERED)
            if not status:
                return Answer(Result.LATER, "the request is not processed yet")
            gone = data.get("action") == "Close" and "not" in status.lower()
            return Answer(Result.DELIVERED if gone else Result.REFUSED, status)

        answer = self._call("GET", f"/alerts/requests/{quote(request, safe='')}", None, read)
        # An unknown request is one that is not processed yet.
        return Answer(Result.LATER, answer.reason) if "answered 404" in answer.reason else answer

    def _call(self, method: str, path: str, body: dict[str, Any] | None, read: Any = None) -> Answer:
        headers = {"Authorization": f"GenieKey {self._key}"}
        return request(method, self._base + path, body, headers, self._key, self._patience, read or _queued)


def alias_of(alias: str) -> str:
    """The alias, shortened where it is too long; two aliases never share one."""
    if len(alias) <= LONGEST_ALIAS:
        return alias
    digest = hashlib.sha256(alias.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{alias[: LONGEST_ALIAS - 33]}~{digest}"


def _queued(body: dict[str, Any]) -> Answer:
    request_id = str(body.get("requestId") or "")
    return Answer(Result.ACCEPTED, request=request_id) if request_id else Answer(Result.DELIVERED)


def _alert(message: Message) -> dict[str, Any]:
    links = "".join(f"\n{text}: {url}" for text, url in message.links)
    is_notice = message.action is Action.NOTICE
    return {
        "message": message.summary[:LONGEST_MESSAGE],
        "alias": alias_of(message.alias),
        "description": (message.body + links)[:LONGEST_DESCRIPTION],
        "details": dict(message.details),
        "entity": message.source[:LONGEST_ENTITY],
        "source": "Feedmill",
        "priority": "P5" if is_notice else _PRIORITIES[message.severity],
    }
