"""What the receivers take, as their documentation says it: schemas for each request, and limits that span fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

ROUTING_KEY, API_KEY = "R0utingK3y" + "0123456789abcdef" + "012345", "eb243592-faa2-4ba2-a551-1afdf565c889"

_LINKS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["href"],
        "additionalProperties": False,
        "properties": {"href": {"type": "string", "pattern": "^https?://"}, "text": {"type": "string"}},
    },
}
_PAYLOAD = {
    "summary": {"type": "string", "minLength": 1, "maxLength": 1024},
    "source": {"type": "string", "minLength": 1},
    "custom_details": {"type": "object"},
    "timestamp": {"type": "string"},
}
_ROUTING = {"type": "string", "minLength": 32, "maxLength": 32}
_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["routing_key", "event_action", "dedup_key"],
    "additionalProperties": False,
    "properties": {
        "routing_key": _ROUTING,
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "minLength": 1, "maxLength": 255},
        "payload": {
            "type": "object",
            "required": ["summary", "source", "severity"],
            "additionalProperties": False,
            "properties": {**_PAYLOAD, "severity": {"enum": ["critical", "error", "warning", "info"]}},
        },
        "links": _LINKS,
        "client": {"type": "string"},
    },
    "if": {"properties": {"event_action": {"const": "trigger"}}},
    "then": {"required": ["payload"]},
}
_CHANGE: dict[str, Any] = {
    "type": "object",
    "required": ["routing_key", "payload"],
    "additionalProperties": False,
    "properties": {
        "routing_key": _ROUTING,
        "payload": {
            "type": "object",
            "required": ["summary"],
            "additionalProperties": False,
            "properties": _PAYLOAD,
        },
        "links": _LINKS,
    },
}
_SOURCE = {"type": "string", "maxLength": 100}
_NOTE = {"type": "string", "maxLength": 25_000}
_CREATE: dict[str, Any] = {
    "type": "object",
    "required": ["message"],
    "additionalProperties": False,
    "properties": {
        "message": {"type": "string", "minLength": 1, "maxLength": 130},
        "alias": {"type": "string", "minLength": 1, "maxLength": 512},
        "description": {"type": "string", "maxLength": 15_000},
        "details": {"type": "object", "additionalProperties": {"type": "string"}},
        "entity": {"type": "string", "maxLength": 512},
        "priority": {"enum": ["P1", "P2", "P3", "P4", "P5"]},
        "tags": {"type": "array", "maxItems": 20, "items": {"type": "string", "maxLength": 50}},
        "source": _SOURCE,
        "note": _NOTE,
    },
}
_CLOSE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"source": _SOURCE, "note": _NOTE, "user": {"type": "string", "maxLength": 100}},
}
SCHEMAS = {"event": _EVENT, "change": _CHANGE, "create": _CREATE, "close": _CLOSE}


def wrong(kind: str, content: bytes, content_type: str) -> list[str]:
    """Why the receiver would not take the request; empty: it would."""
    if content_type.partition(";")[0].strip() != "application/json":
        return [f"the content type is {content_type!r}"]
    try:
        body = json.loads(content.decode("utf-8"))
    except ValueError as error:
        return [f"no JSON: {error}"]
    found = [error.message[:300] for error in Draft202012Validator(SCHEMAS[kind]).iter_errors(body)]
    return found or list(_beyond(kind, body, content))


def _beyond(kind: str, body: dict[str, Any], content: bytes) -> Iterator[str]:
    """Limits in the units that are the strictest: nobody documents what a character is."""
    if kind in ("event", "change") and len(content) > 512_000:
        yield "an event has 512 KB at most"
    if len(body.get("dedup_key", "").encode()) > 255:
        yield "dedup_key is too long in bytes"
    if kind == "create":
        if len(body.get("alias", "").encode()) > 512:
            yield "alias is too long in bytes"
        if _units(body["message"]) > 130:
            yield "message is too long in UTF-16"
        if sum(_units(name) + _units(value) for name, value in body.get("details", {}).items()) > 8_000:
            yield "details have 8,000 characters at most"


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
