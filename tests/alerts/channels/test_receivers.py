"""Which channel a connection is, and what its error says if it is none."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from receiver_messages import PAGE, RESOLVE, sent
from receiver_servers import JiraServer, OpsgenieServer, PagerDutyServer

from feedmill.alerts.channels.broadcast import Broadcast
from feedmill.alerts.channels.channel import Channel, ChannelError, Result
from feedmill.alerts.channels.jira import Jira
from feedmill.alerts.channels.notebook import Notebook
from feedmill.alerts.channels.pagerduty import PagerDuty
from feedmill.alerts.channels.receivers import channel_of
from feedmill.connections import ConnectionNotDefinedError

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The channel of a connection with these fields."""

    def make(**fields: Any) -> Channel:
        monkeypatch.setenv("AIRFLOW_CONN_MY_PAGER", json.dumps(fields))
        return channel_of("my_pager")

    return make


@pytest.mark.parametrize(
    ("fields", "kind", "base"),
    [
        ({"conn_type": "pagerduty"}, PagerDuty, "https://events.pagerduty.com"),
        ({"conn_type": "jira"}, Jira, "https://api.atlassian.com/jsm/ops/integration/v2"),
        ({"conn_type": "opsgenie"}, Jira, "https://api.opsgenie.com/v2"),
        ({"conn_type": "opsgenie", "host": "api.eu.opsgenie.com"}, Jira, "https://api.eu.opsgenie.com/v2"),
        ({"conn_type": "opsgenie", "host": "https://api.eu.opsgenie.com/v2/"}, Jira, "https://api.eu.opsgenie.com/v2"),
        (
            {"conn_type": "pagerduty", "host": "https://events.eu.pagerduty.com"},
            PagerDuty,
            "https://events.eu.pagerduty.com",
        ),
        ({"conn_type": "pagerduty", "host": "http://127.0.0.1", "port": 8080}, PagerDuty, "http://127.0.0.1:8080"),
        ({"conn_type": "jira", "host": "relay", "port": 8443}, Jira, "https://relay:8443/jsm/ops/integration/v2"),
        ({"conn_type": "jira", "host": "https://relay/jira"}, Jira, "https://relay/jira"),
    ],
)
def test_the_type_says_which_receiver_and_the_host_where_it_is(
    made: Any, fields: dict[str, Any], kind: type[Any], base: str
) -> None:
    channel = made(password="key", **fields)
    assert (type(channel), channel._base, channel.conn_id) == (kind, base, "my_pager")


@pytest.mark.parametrize(
    ("conn_type", "make"), [("pagerduty", PagerDutyServer), ("jira", JiraServer), ("opsgenie", OpsgenieServer)]
)
def test_a_message_reaches_the_receiver_that_the_connection_names(made: Any, conn_type: str, make: Any) -> None:
    with make() as server:
        host, _, port = server.base.removesuffix(server.base_path).rpartition(":")
        # As a secret from a file: with a line break at its end.
        channel = made(conn_type=conn_type, host=host, port=int(port), password=server.secret + "\n")
        assert sent(channel, PAGE).result is Result.DELIVERED
        assert len(server.open) == 1
        assert sent(channel, RESOLVE).result is Result.DELIVERED
        assert not server.open


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"conn_type": "slack"},
            " has the type 'slack', which is no channel: make it one of pagerduty",
        ),
        ({}, " has the type '', which is no channel"),
        ({"conn_type": "pagerduty"}, " has no password: set it to the routing key."),
        (
            {"conn_type": "jira", "password": " "},
            " has no password: set it to the integration's API key.",
        ),
        (
            {"conn_type": "opsgenie", "password": "hush hush"},
            ": its password has blanks or characters",
        ),
        ({"conn_type": "pagerduty", "password": "hush\nhush"}, ": its password has blanks or"),
        ({"conn_type": "pagerduty", "password": "hushü"}, ": its password has blanks or characters"),
        ({"conn_type": "apprise"}, " has no password: set it to an apprise URL."),
        (
            {"conn_type": "apprise", "password": "hush"},
            ": its password is not a URL that apprise knows",
        ),
        ({"conn_type": "file"}, " has no host: set it to the path of a file."),
        *(
            ({"conn_type": "jira", "password": "k", "host": host}, ": its host is no address")
            for host in (
                "ftp://x",
                "https://",
                "https://me:hush@x",
                "https://x/?a=hush",
                "https://x/#a",
                "a b",
                "https://[",
            )
        ),
    ],
)
def test_an_error_names_the_connection_the_field_and_what_to_set(made: Any, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ChannelError) as error:
        made(**fields)
    assert str(error.value).startswith(f"Connection my_pager{said}")
    assert "hush" not in str(error.value)


def test_a_connection_that_is_not_there_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_NOWHERE", raising=False)
    with pytest.raises(ConnectionNotDefinedError, match="Connection nowhere is not defined"):
        channel_of("nowhere")


def test_the_path_of_a_file_is_absolute_or_in_the_project(
    made: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FEEDMILL_PROJECT", str(tmp_path))
    monkeypatch.chdir("/")
    for host in ("pages.md", str(tmp_path / "pages.md")):
        channel = made(conn_type="file", host=host)
        assert isinstance(channel, Notebook)
        channel.send(PAGE)
    assert (tmp_path / "pages.md").read_text().count("## trigger") == 2


def test_the_connections_of_the_document_are_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (PROJECT / "docs" / "channels.md").read_text()
    found = re.findall(r"^AIRFLOW_CONN_(\w+)='(.+)'$", page, re.MULTILINE)
    kinds = {}
    for name, value in found:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", value)
        kinds[json.loads(value)["conn_type"]] = type(channel_of(name.lower()))
    assert kinds == {"pagerduty": PagerDuty, "jira": Jira, "opsgenie": Jira, "apprise": Broadcast, "file": Notebook}
