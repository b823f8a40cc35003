"""apprise: text to anybody, without keys. It stores nothing, calls nobody before it sends, and gives no URL away."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from receiver_messages import NOTICE, PAGE, RESOLVE
from receiver_servers import (
    Fault,
    WebhookServer,
    answers,
    drips_its_body,
    drips_its_headers,
    hangs,
    hangs_up,
    speaks_no_http,
)

from feedmill.alerts.channels.broadcast import Broadcast
from feedmill.alerts.channels.channel import Answer, ChannelError, Result

SECRET = "s3cr3t-t0k3n"

AUDITED: list[str] | None = None


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if AUDITED is None:
        return
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if writes or event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "os.mkdir", "os.rename"):
        AUDITED.append(f"{event} {args[:2]}")


sys.addaudithook(_audit)


@pytest.fixture
def audited() -> Iterator[list[str]]:
    """What of the network and the disk is touched."""
    global AUDITED
    AUDITED = found = []
    yield found
    AUDITED = None


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What a process shows that logs everything, and whatever it prints."""
    stream, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(stream), root.level
    root.addHandler(handler)
    for name in (None, "urllib3", "requests_oauthlib"):
        logging.getLogger(name).setLevel(1)
    yield lambda: f"{stream.getvalue()} {capfd.readouterr()}"
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture(scope="module", autouse=True)
def library() -> None:
    """Import it once, since that takes longer than a test may."""
    Broadcast("warm", "json://127.0.0.1")


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    with WebhookServer() as server:
        yield server  # type: ignore[misc]


def channel_to(server: WebhookServer, parameters: str = "", patience: float = 0.6) -> Broadcast:
    address = server.base.removeprefix("http://")
    return Broadcast("chat", f"json://user:{SECRET}@{address}/hooks/{SECRET}?rto=0.2{parameters}", patience)


def test_a_page_a_resolve_and_a_notice_are_messages_that_say_what_they_are(server: WebhookServer) -> None:
    channel = channel_to(server)
    assert [channel.send(one) for one in (PAGE, RESOLVE, NOTICE)] == [Answer(Result.DELIVERED)] * 3
    page, resolve, notice = server.incidents[0].bodies
    assert (page["title"], page["type"]) == (PAGE.summary, "failure")
    assert page["message"].startswith(PAGE.body)
    assert "https://airflow.example.com/pages/1" in page["message"]
    assert (resolve["title"], resolve["type"]) == (f"Resolved: {RESOLVE.summary}", "success")
    assert (notice["title"], notice["type"]) == (NOTICE.summary, "warning")
    assert not channel.keyed


def test_a_half_of_a_surrogate_pair_keeps_no_message_back(server: WebhookServer) -> None:
    channel_to(server).send(replace(PAGE, body="file \udcff", summary="\ud83d", links=()))
    assert [(one["title"], one["message"]) for one in server.incidents[0].bodies] == [("?", "file ?")]


@pytest.mark.parametrize(
    "fault",
    [
        answers(401),
        answers(404),
        answers(429),
        answers(500),
        answers(302, Location="http://127.0.0.1:1/"),
        hangs,
        hangs_up,
        drips_its_body,
        drips_its_headers,
        speaks_no_http,
    ],
)
@pytest.mark.parametrize("parameters", ["", "&optional=yes"])
def test_whatever_did_not_go_through_may_have_arrived(server: WebhookServer, fault: Fault, parameters: str) -> None:
    server.fault = fault
    begun = time.monotonic()
    answer = channel_to(server, parameters).send(PAGE)
    assert (answer.result, answer.ambiguous) == (Result.LATER, True)
    assert answer.reason.startswith("apprise could not send it: ")
    assert time.monotonic() - begun < 1.5


def test_a_redirect_is_not_followed(server: WebhookServer) -> None:
    with WebhookServer() as elsewhere:
        server.fault = answers(307, Location=elsewhere.base)
        channel_to(server).send(PAGE)
        assert elsewhere.seen == []


@pytest.mark.parametrize(
    "url",
    [
        f"nothing://{SECRET}",
        SECRET,
        f"slack://{SECRET}/a/b/c/d?footer=",
        "json://",
        f"tgram://{SECRET}",
        f"mailto://{SECRET}",
    ],
)
def test_a_url_that_apprise_does_not_know_is_an_error_that_does_not_quote_it(url: str, said: Callable[[], str]) -> None:
    with pytest.raises(ChannelError) as error:
        Broadcast("chat", url)
    assert "Connection chat: its password is not a URL that apprise knows" in str(error.value)
    assert SECRET not in f"{error.value} {said()}"


def test_several_urls_are_several_connections() -> None:
    with pytest.raises(ChannelError, match="Connection chat: its password has 2 URLs; make a connection for each"):
        Broadcast("chat", "json://127.0.0.1, json://127.0.0.2")


@pytest.mark.parametrize("fault", [None, answers(404, SECRET.encode()), hangs])
def test_no_reason_no_log_and_no_repr_has_a_part_of_the_url(
    server: WebhookServer, fault: Fault | None, said: Callable[[], str]
) -> None:
    server.fault = fault
    channel = channel_to(server)
    answer = channel.send(PAGE)
    assert server.seen
    assert SECRET not in f"{answer} {channel!r} {said()}"


def test_neither_network_nor_disk_is_touched_before_a_message_is_sent(audited: list[str]) -> None:
    for url in (
        "json://127.0.0.1",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general",
        "mailtos://user:password@example.com",
        "tgram://123456789:abcdefg_hijklmnop/12315544/",
        "matrixs://user:password@example.com/#room",
        "jira://key@user",
    ):
        Broadcast("chat", url)
    assert audited == []


def test_nothing_is_stored_when_a_message_is_sent(server: WebhookServer, audited: list[str]) -> None:
    channel_to(server).send(PAGE)
    assert server.seen
    assert [one for one in audited if not one.startswith("socket.")] == []


def test_the_library_is_not_imported_unless_such_a_channel_is_made() -> None:
    code = (
        "import os, sys\n"
        'os.environ[\'AIRFLOW_CONN_PAGER\'] = \'{"conn_type": "pagerduty", "password": "key"}\'\n'
        "from feedmill.alerts.channels.receivers import channel_of\n"
        "assert channel_of('pager').keyed\n"
        "assert 'apprise' not in sys.modules, 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
