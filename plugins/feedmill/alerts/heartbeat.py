"""The sign of life of ``watch``: a request to a service that pages when it stops, and shares nothing with us."""

from __future__ import annotations

import logging

import httpx

from feedmill import connections
from feedmill.connections import ConnectionNotDefinedError

EVERY = 60.0
"""Seconds between two signs of life; the service should page after five minutes without one."""

log = logging.getLogger(__name__)


def url() -> str | None:
    """Where the sign of life goes: the password of the connection, since whoever knows the URL can send one.

    None: no service is set, and nobody would notice that ``watch`` is dead.
    """
    try:
        return connections.get(connections.HEARTBEAT).password
    except ConnectionNotDefinedError:
        return None


def beat(address: str) -> bool:
    """Give a sign of life; False, and a line in the log: the service did not take it."""
    try:
        answer = httpx.get(address, timeout=10)
    except httpx.HTTPError as error:
        # Never the address: whoever knows it can keep a dead `watch` looking alive.
        log.warning("the heartbeat service does not answer: %s", type(error).__name__)
        return False
    if answer.is_error:
        log.warning("the heartbeat service answers %d", answer.status_code)
    return answer.is_success
