"""One HTTP request to a receiver, and what its answer means for a message. No retries: the outbox retries."""

from __future__ import annotations

import asyncio
import json
import math
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx

from feedmill.alerts.channels.channel import Answer, Result
from feedmill.printable import on_one_line

LARGEST = 1 << 16
"""Bytes of an answer that are read."""

SHOWN = 200
"""Characters of a receiver's own words that an answer keeps."""

LONGEST_PAUSE = 3600.0
"""Seconds: a receiver that asks for more is tried after an hour all the same."""

_UNSENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
"""Errors from before the request left."""


@dataclass(frozen=True)
class Patience:
    """Seconds."""

    connect: float = 5
    read: float = 15
    """For the next bytes."""
    whole: float = 25
    """For the whole call: a server that drips its answer must not hold up the messages behind it."""


PATIENCE = Patience()


@dataclass(frozen=True)
class Reply:
    """What a receiver answered."""

    status: int
    text: str
    retry_after: str | None = None

    @property
    def is_success(self) -> bool:
        """Whether the status says that all is well."""
        return 200 <= self.status < 300

    @property
    def fields(self) -> dict[str, Any]:
        """The answer's JSON object; empty where it is none."""
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def request(
    method: str,
    url: str,
    body: Mapping[str, Any] | None,
    headers: Mapping[str, str],
    secret: str,
    read: Callable[[Reply], Answer | None],
    patience: Patience = PATIENCE,
) -> Answer:
    """Send one request. ``secret`` is kept out of every reason.

    ``read`` knows the receiver: it says what its own replies mean, and None for all others. A success that it does not
    know is no delivery: another server, such as a proxy with a page to log in, may have answered.
    """
    # Half of a surrogate pair has no UTF-8: a name of a file may have one.
    content = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    try:
        reply = _within(patience.whole, _exchange(method, url, content, headers, patience))
    except _UNSENT as error:
        return Answer(Result.LATER, f"it cannot be reached: {_shown(_said(error), secret)}")
    except (httpx.HTTPError, OSError) as error:
        # The request was on its way: the receiver may have taken it.
        return Answer(Result.LATER, f"no answer came: {_shown(_said(error), secret)}", ambiguous=True)
    known = read(reply)
    return _meaning(reply, secret) if known is None else replace(known, reason=_shown(known.reason, secret))


def _meaning(reply: Reply, secret: str) -> Answer:
    said = f"it answered {reply.status}: {_shown(reply.text, secret)}"
    if reply.is_success:
        reason = f"{said}; this is no answer of this receiver, so look at the connection's host"
        return Answer(Result.LATER, reason, ambiguous=True)
    if 300 <= reply.status < 400:
        reason = (
            f"it redirects ({reply.status}), and no credential is sent on: set the connection's host to the new one"
        )
        return Answer(Result.REFUSED, reason)
    if reply.status == 429:
        return Answer(Result.LATER, said, after=_seconds(reply.retry_after))
    if reply.status == 408 or reply.status >= 500:
        return Answer(Result.LATER, said, after=_seconds(reply.retry_after), ambiguous=True)
    return Answer(Result.REFUSED, f"wrong credential: {said}" if reply.status in (401, 403) else said)


def _within(seconds: float, exchange: Any) -> Reply:
    """Run the exchange, and give up after so long, whatever it waits for."""
    loop = asyncio.new_event_loop()
    try:
        reply: Reply = loop.run_until_complete(asyncio.wait_for(exchange, seconds))
        return reply
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        # Not asyncio.run: it would wait for a look-up of a name that hangs.
        loop.close()


@cache
def _trust() -> ssl.SSLContext:
    """The certificates that are trusted, read once: that takes a tenth of a second."""
    return httpx.create_ssl_context()


async def _exchange(
    method: str, url: str, content: bytes | None, headers: Mapping[str, str], patience: Patience
) -> Reply:
    # Not packed: a small answer that unpacks to a huge one is not read.
    whole = {"Accept-Encoding": "identity", "Content-Type": "application/json", "User-Agent": "Feedmill", **headers}
    timeout = httpx.Timeout(patience.read, connect=patience.connect)
    async with (
        httpx.AsyncClient(verify=_trust(), timeout=timeout, follow_redirects=False) as client,
        client.stream(method, url, content=content, headers=whole) as response,
    ):
        text = b""
        async for piece in response.aiter_raw():
            text += piece
            if len(text) >= LARGEST:
                break
    return Reply(response.status_code, text[:LARGEST].decode("utf-8", "replace"), response.headers.get("Retry-After"))


def _seconds(retry_after: str | None) -> float | None:
    """What the header asks for, as a number or an HTTP date."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        try:
            moment = parsedate_to_datetime(retry_after or "")
        except ValueError:
            return None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()
    return None if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_PAUSE)


def _said(error: Exception) -> str:
    # Time-outs have no words of their own.
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return "it took too long"
    return str(error) or type(error).__name__


def _shown(text: str, secret: str) -> str:
    """Somebody else's words on one line, without the secret; cut only afterwards, so that no part of it is left."""
    forms = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]} - {""}
    for form in sorted(forms, key=len, reverse=True):
        text = re.sub(re.escape(form), "*****", text, flags=re.IGNORECASE)
    return on_one_line(" ".join(text.split()))[:SHOWN]
