"""One HTTP request to a receiver, and what its answer means for a message. No retries: the outbox retries."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from feedmill.alerts.channels.channel import Answer, Result

LARGEST = 1 << 20
"""Bytes of an answer that are read."""

SHOWN = 200
"""Characters of a receiver's own words that an answer keeps."""


@dataclass(frozen=True)
class Patience:
    """Seconds."""

    connect: float = 5
    read: float = 15
    whole: float = 25
    """For the whole call: a server that drips its body must not hold up the messages behind it."""


PATIENCE = Patience()


class _TooSlowError(Exception):
    """The whole call has taken too long."""


def request(
    method: str,
    url: str,
    body: Mapping[str, Any] | None,
    headers: Mapping[str, str],
    secret: str,
    patience: Patience = PATIENCE,
    accepted: Callable[[dict[str, Any]], Answer] = lambda _: Answer(Result.DELIVERED),
) -> Answer:
    """Send one request. ``accepted`` reads the answer of a success; ``secret`` is kept out of every reason."""
    timeout = httpx.Timeout(patience.read, connect=patience.connect)
    try:
        with (
            httpx.Client(timeout=timeout, follow_redirects=False) as client,
            client.stream(method, url, json=body, headers=dict(headers)) as response,
        ):
            text = _read(response, time.monotonic() + patience.whole)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
        return Answer(Result.LATER, _clean(f"it does not answer: {error}", secret))
    except (httpx.TransportError, _TooSlowError) as error:
        # The request was on its way: the receiver may have taken it.
        return Answer(Result.LATER, _clean(f"no answer came: {error or type(error).__name__}", secret), ambiguous=True)
    status = response.status_code
    if 200 <= status < 300:
        return accepted(_object(text))
    said = _clean(f"it answered {status}: {' '.join(text.split())[:SHOWN]}", secret)
    if status == 429:
        return Answer(Result.LATER, said, after=_retry_after(response.headers.get("Retry-After")))
    if status >= 500:
        after = _retry_after(response.headers.get("Retry-After"))
        return Answer(Result.LATER, said, after=after, ambiguous=True)
    if status in (401, 403):
        return Answer(Result.REFUSED, f"wrong credential: {said}")
    return Answer(Result.REFUSED, said)


def _read(response: httpx.Response, deadline: float) -> str:
    read = b""
    for chunk in response.iter_bytes():
        read += chunk
        if time.monotonic() > deadline:
            raise _TooSlowError("the answer took too long")
        if len(read) > LARGEST:
            break
    return read[:LARGEST].decode("utf-8", "replace")


def _object(text: str) -> dict[str, Any]:
    """The JSON object of an answer; empty where it is none: the status has said that all is well."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _retry_after(value: str | None) -> float | None:
    """Seconds, from a number or an HTTP date; an hour at most."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), 3600.0)


def _clean(text: str, secret: str) -> str:
    return text.replace(secret, "*****") if secret else text
