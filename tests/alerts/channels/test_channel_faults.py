"""What a message becomes when its receiver, or the way to it, misbehaves. Each fault is a real server's."""

from __future__ import annotations

import gzip
import logging
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from receiver_messages import PAGE, RESOLVE, Pair, channel_to, sent
from receiver_rules import API_KEY, ROUTING_KEY
from receiver_servers import (
    Fault,
    Handler,
    JiraServer,
    PagerDutyServer,
    answers,
    drips_its_body,
    drips_its_headers,
    hangs,
    hangs_up,
    never_ends,
    speaks_no_http,
)

from feedmill.alerts.channels.channel import Answer, Result
from feedmill.alerts.channels.http import LONGEST_PAUSE, SHOWN, Patience, _seconds, _shown

LATER, REFUSED = Result.LATER, Result.REFUSED


def became(answer: Answer) -> tuple[Result, bool]:
    return answer.result, answer.ambiguous


@pytest.mark.parametrize(
    ("fault", "result", "ambiguous"),
    [
        (answers(400, b'{"message": "no"}'), REFUSED, False),
        (answers(401), REFUSED, False),
        (answers(402), REFUSED, False),
        (answers(403), REFUSED, False),
        (answers(404), REFUSED, False),
        (answers(408), LATER, True),
        (answers(413), REFUSED, False),
        (answers(422), REFUSED, False),
        (answers(429), LATER, False),
        (answers(500, b"<html>"), LATER, True),
        (answers(502), LATER, True),
        (answers(503), LATER, True),
        (answers(599), LATER, True),
        (answers(200, b"<html>log in to the guest network</html>"), LATER, True),
        (answers(204), LATER, True),
        (answers(500, b"\x1f\x8b\x08 not gzip", Content_Encoding="gzip"), LATER, True),
        (drips_its_body, LATER, True),
        (drips_its_headers, LATER, True),
        (hangs, LATER, True),
        (hangs_up, LATER, True),
        (speaks_no_http, LATER, True),
    ],
)
def test_each_fault_says_whether_to_try_again_and_whether_it_may_have_arrived(
    pair: Pair, fault: Fault, result: Result, ambiguous: bool
) -> None:
    server, channel = pair
    server.fault = fault
    answer = channel.send(PAGE)
    assert became(answer) == (result, ambiguous)
    assert answer.reason
    assert len(server.seen) == 1, "a channel never tries again by itself"


@pytest.mark.parametrize("fault", [hangs, hangs_up, drips_its_headers, answers(500)])
def test_what_arrived_before_the_answer_was_lost_is_one_incident_after_the_repeat(pair: Pair, fault: Fault) -> None:
    server, channel = pair
    server.answer_fault = fault
    assert became(channel.send(PAGE)) == (LATER, True)
    assert len(server.open) == 1
    server.answer_fault = None
    assert sent(channel, PAGE).result is Result.DELIVERED
    assert len(server.open) == 1
    assert sent(channel, RESOLVE).result is Result.DELIVERED
    assert not server.open


@pytest.mark.parametrize("fault", [drips_its_body, drips_its_headers])
def test_a_server_that_drips_is_given_up_after_the_whole_time(pair: Pair, fault: Fault) -> None:
    server, channel = pair
    server.fault = fault
    begun = time.monotonic()
    answer = channel.send(PAGE)
    assert 0.4 < time.monotonic() - begun < 1.5
    assert "took too long" in answer.reason


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    with PagerDutyServer() as server:
        server.fault = never_ends
        # 202 stands in its first line: PagerDuty has the event.
        assert channel_to(server, patience=Patience(0.5, 0.5, 30)).send(PAGE) == Answer(Result.DELIVERED)


def test_an_answer_that_unpacks_to_a_huge_one_is_not_unpacked() -> None:
    with JiraServer() as server:
        server.fault = answers(200, gzip.compress(bytes(50_000_000)), Content_Encoding="gzip")
        answer = channel_to(server).send(PAGE)
    assert became(answer) == (LATER, True)
    assert server.seen[0].headers["accept-encoding"] == "identity"


def test_a_202_whatever_its_body_is_an_event_that_pagerduty_has() -> None:
    with PagerDutyServer() as server:
        server.answer_fault = answers(202, b"\xff{garbage")
        assert channel_to(server).send(PAGE) == Answer(Result.DELIVERED)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff{garbage",
        b"[]",
        b"null",
        b"{}",
        b'{"requestId": []}',
        b'{"requestId": "../x"}',
        b'{"requestId": "\\ud800"}',
        b'{"requestId": "' + b"x" * 5_000 + b'"}',
        b"[" * 60_000,
    ],
)
def test_an_answer_of_jira_without_a_request_id_is_no_delivery(body: bytes) -> None:
    with JiraServer() as server:
        server.answer_fault = answers(202, body)
        answer = channel_to(server).send(PAGE)
    assert (became(answer), "look at the connection's host" in answer.reason) == ((LATER, True), True)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"data": []}', b'{"data": {}}', b'{"data": {"status": 7, "success": "yes"}}', b"garbage"]
)
def test_a_confirmation_in_other_words_never_raises_and_never_delivers(body: bytes) -> None:
    with JiraServer() as server:
        server.fault = answers(200, body)
        assert channel_to(server).confirm("some-id").result is not Result.DELIVERED


def test_a_refusal_has_the_receivers_words() -> None:
    with PagerDutyServer() as server:
        answer = channel_to(server, secret="tooshort").send(PAGE)
    assert answer.result is REFUSED
    assert answer.reason.startswith('it answered 400: {"status": "invalid event", "message": "Event object is invalid"')


def test_a_wrong_key_is_refused_as_a_wrong_credential() -> None:
    with JiraServer() as server:
        answer = channel_to(server, secret="another-key").send(PAGE)
        assert (answer.result, answer.reason.split(":")[0]) == (REFUSED, "wrong credential")
        assert channel_to(server, secret="another-key").confirm("x").result is REFUSED


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_so_that_no_credential_goes_elsewhere(pair: Pair, status: int) -> None:
    server, channel = pair
    with type(server)() as elsewhere:
        server.fault = answers(status, Location=elsewhere.base + "/alerts")
        answer = channel.send(PAGE)
        assert (answer.result, elsewhere.seen) == (REFUSED, [])
        assert "set the connection's host" in answer.reason


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_says_when_to_come_back(pair: Pair, status: int) -> None:
    server, channel = pair
    server.fault = answers(status, Retry_After="7")
    assert channel.send(PAGE).after == 7
    moment = datetime.now(UTC) + timedelta(seconds=90)
    server.fault = answers(status, Retry_After=format_datetime(moment, usegmt=True))
    after = channel.send(PAGE).after
    assert after is not None
    assert 85 < after <= 90


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("-5", 0),
        ("0.5", 0.5),
        ("1e9", LONGEST_PAUSE),
        ("inf", LONGEST_PAUSE),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 01 Jan 1970 00:00:00 -0000", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_PAUSE),
    ],
)
def test_retry_after_is_a_number_or_a_date_and_an_hour_at_most(header: str | None, seconds: float | None) -> None:
    assert _seconds(header) == seconds


@given(
    header=st.one_of(st.text(max_size=40), st.floats().map(str), st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+ [+-]\d+"))
)
def test_no_retry_after_is_beyond_its_bounds(header: str) -> None:
    seconds = _seconds(header)
    assert seconds is None or 0 <= seconds <= LONGEST_PAUSE


@pytest.mark.parametrize("make", [PagerDutyServer, JiraServer])
def test_a_closed_port_is_not_ambiguous(make: Any) -> None:
    with make() as server:
        channel = channel_to(server)
    assert became(channel.send(PAGE)) == (LATER, False)


def test_a_name_that_does_not_exist_is_not_ambiguous(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    answer = channel_to(PagerDutyServer, base="https://events.invalid", secret=ROUTING_KEY).send(PAGE)
    assert became(answer) == (LATER, False)


def test_a_look_up_of_a_name_that_hangs_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    is_over = threading.Event()

    def hanging(*_: Any, **__: Any) -> Any:
        is_over.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    begun = time.monotonic()
    answer = channel_to(PagerDutyServer, base="https://events.invalid", secret=ROUTING_KEY).send(PAGE)
    assert time.monotonic() - begun < 1.5
    is_over.set()
    assert became(answer) == (LATER, False)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections, and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_handshake_that_never_ends_is_not_ambiguous(silent: int) -> None:
    answer = channel_to(PagerDutyServer, base=f"https://127.0.0.1:{silent}", secret=ROUTING_KEY).send(PAGE)
    assert became(answer) == (LATER, False)


def test_a_server_without_tls_behind_an_https_address_is_not_ambiguous() -> None:
    with PagerDutyServer() as server:
        answer = channel_to(server, base=server.base.replace("http:", "https:")).send(PAGE)
    assert (became(answer), server.seen) == ((LATER, False), [])


def echoes(handler: Handler) -> None:
    """An answer that quotes the whole request, as a careless gateway does."""
    seen = handler.server.seen[-1]
    handler.answer(handler.server.status, b"\x1b[2J" + seen.headers.get("authorization", "").encode() + seen.content)  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_no_reason_no_log_and_no_repr_has_the_credential(
    pair: Pair, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server, channel = pair
    server.status, server.fault = status, echoes  # type: ignore[attr-defined]
    got = [channel.send(PAGE), channel.send(RESOLVE)]
    text = f"{got} {channel!r} {channel} {caplog.text}"
    assert ROUTING_KEY not in text
    assert API_KEY not in text
    assert not any("\x1b" in one.reason for one in got)


@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40),
    before=st.integers(0, 300),
)
def test_no_cut_leaves_a_part_of_the_credential(secret: str, before: int) -> None:
    shown = _shown("." * before + secret + "." * 50, secret)
    assert set(shown) <= {".", "*"} or set(secret) <= {".", "*"}
    assert len(shown) <= SHOWN
