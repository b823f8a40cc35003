"""The channel of a connection: its type says which receiver it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from feedmill import connections
from feedmill.alerts.channels import jira, pagerduty
from feedmill.alerts.channels.broadcast import Broadcast
from feedmill.alerts.channels.channel import Channel, ChannelError
from feedmill.alerts.channels.jira import Jira
from feedmill.alerts.channels.notebook import Notebook
from feedmill.alerts.channels.pagerduty import PagerDuty
from feedmill.connections import Connection


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
    if not found.password:
        raise ChannelError(f"Connection {found.conn_id} has no password: set it to {what}.")
    return found.password


def _base(found: Connection, default: str) -> str:
    """The receiver's address: the default one, or the host, which may name its scheme."""
    if not found.host:
        return default
    host = found.host if "://" in found.host else f"https://{found.host}"
    return f"{host}:{found.port}" if found.port else host


def _notebook(found: Connection) -> Channel:
    if not found.host:
        raise ChannelError(f"Connection {found.conn_id} has no host: set it to the path of a file.")
    return Notebook(found.conn_id, Path(found.host).expanduser())


_RECEIVERS: dict[str, Callable[[Connection], Channel]] = {
    "pagerduty": lambda one: PagerDuty(one.conn_id, _secret(one, "the routing key"), _base(one, pagerduty.BASE)),
    "jira": lambda one: Jira(one.conn_id, _secret(one, "the integration's API key"), _base(one, jira.BASE)),
    "opsgenie": lambda one: Jira(one.conn_id, _secret(one, "the integration's API key"), _base(one, jira.OPSGENIE)),
    "apprise": lambda one: Broadcast(one.conn_id, _secret(one, "an apprise URL")),
    "file": _notebook,
}
