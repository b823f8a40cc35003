"""The channel of a connection: its type says which receiver it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import httpx

from feedmill import connections
from feedmill.alerts.channels import jira, pagerduty
from feedmill.alerts.channels.broadcast import Broadcast
from feedmill.alerts.channels.channel import Channel, ChannelError
from feedmill.alerts.channels.jira import Jira
from feedmill.alerts.channels.notebook import Notebook
from feedmill.alerts.channels.pagerduty import PagerDuty
from feedmill.connections import Connection
from feedmill.project import ProjectNotFoundError, project_path


def channel_of(conn_id: str) -> Channel:
    """The channel of an Airflow connection.

    Raises:
        ConnectionNotDefinedError: there is no such connection.
        ChannelError: it cannot be a channel; the message says what to set.
    """
    found = connections.get(conn_id)
    make = _RECEIVERS.get(found.conn_type)
    if make is None:
        raise ChannelError(
            f"Connection {conn_id} has the type {found.conn_type!r}, which is no channel: "
            f"make it one of {', '.join(_RECEIVERS)}."
        )
    return make(found)


def _secret(found: Connection, what: str) -> str:
    # A secret that was read from a file often ends in a line break.
    secret = (found.password or "").strip()
    if not secret:
        raise ChannelError(f"Connection {found.conn_id} has no password: set it to {what}.")
    return secret


def _key(found: Connection, what: str) -> str:
    """A key as HTTP can carry it: anything else fails in words that may quote it."""
    key = _secret(found, what)
    if not re.fullmatch(r"[!-~]+", key):
        raise ChannelError(
            f"Connection {found.conn_id}: its password has blanks or characters that no key has: set it to {what}."
        )
    return key


def _base(found: Connection, default: str) -> str:
    """The receiver's address: the default one, with what the host and the port replace of it."""
    if not found.host:
        return default
    try:
        base = httpx.URL(found.host if "://" in found.host else f"https://{found.host}")
    except httpx.InvalidURL:
        base = httpx.URL("")
    extra = base.userinfo or base.query or base.fragment
    if base.scheme not in ("http", "https") or not base.host or "%" in base.host or extra:
        raise ChannelError(
            f"Connection {found.conn_id}: its host is no address: set it to one such as {default}, or to nothing."
        )
    if found.port:
        base = base.copy_with(port=found.port)
    return str(base if base.path.strip("/") else base.copy_with(path=httpx.URL(default).path))


def _notebook(found: Connection) -> Channel:
    if not found.host:
        raise ChannelError(f"Connection {found.conn_id} has no host: set it to the path of a file.")
    path = Path(found.host).expanduser()
    try:
        return Notebook(found.conn_id, path if path.is_absolute() else project_path() / path)
    except ProjectNotFoundError as error:
        raise ChannelError(
            f"Connection {found.conn_id}: its host is a path in the project, which is not found: set it to an absolute "
            "path."
        ) from error


_RECEIVERS: dict[str, Callable[[Connection], Channel]] = {
    "pagerduty": lambda one: PagerDuty(one.conn_id, _key(one, "the routing key"), _base(one, pagerduty.BASE)),
    "jira": lambda one: Jira(one.conn_id, _key(one, "the integration's API key"), _base(one, jira.BASE)),
    "opsgenie": lambda one: Jira(one.conn_id, _key(one, "the integration's API key"), _base(one, jira.OPSGENIE)),
    "apprise": lambda one: Broadcast(one.conn_id, _secret(one, "an apprise URL")),
    "file": _notebook,
}
