"""PagerDuty, Jira Service Management and Opsgenie: whatever is repeated is one incident, and a resolve closes it."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from receiver_messages import NOTICE, PAGE, RESOLVE, Pair, channel_to, sent
from receiver_servers import JiraServer, OpsgenieServer, PagerDutyServer, answers

from feedmill.alerts.channels.channel import Answer, Message, Result
from feedmill.alerts.channels.fit import cut, details_of, key_of
from feedmill.alerts.channels.jira import LONGEST_ALIAS
from feedmill.alerts.channels.pagerduty import LONGEST_KEY

DELIVERED = Answer(Result.DELIVERED)

ALIASES = st.one_of(
    st.text(st.characters(), max_size=40),
    st.text(string.printable + "/%?#&.;é漢😀", max_size=40),
    st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=20), st.integers(20, 300)),
)


@pytest.fixture(scope="module")
def receivers() -> Iterator[list[Pair]]:
    with PagerDutyServer() as first, JiraServer() as second, OpsgenieServer() as third:
        yield [(server, channel_to(server)) for server in (first, second, third)]


def test_two_triggers_with_one_key_are_one_incident(pair: Pair) -> None:
    server, channel = pair
    assert [sent(channel, PAGE), sent(channel, PAGE)] == [DELIVERED] * 2
    assert [len(one.bodies) for one in server.incidents] == [2]


def test_a_resolve_closes_its_incident_and_no_other(pair: Pair) -> None:
    server, channel = pair
    other = replace(PAGE, alias=PAGE.alias + "2")
    assert [sent(channel, one) for one in (PAGE, other, RESOLVE)] == [DELIVERED] * 3
    assert [one.key for one in server.open] == [other.alias]


def test_a_trigger_after_a_resolve_is_a_new_incident(pair: Pair) -> None:
    server, channel = pair
    assert [sent(channel, one) for one in (PAGE, RESOLVE, PAGE)] == [DELIVERED] * 3
    assert [one.is_open for one in server.incidents] == [False, True]


def test_a_resolve_of_what_is_not_open_is_delivered_since_nothing_is_left_to_do(pair: Pair) -> None:
    server, channel = pair
    assert sent(channel, RESOLVE) == DELIVERED
    assert [sent(channel, one) for one in (PAGE, RESOLVE, RESOLVE)] == [DELIVERED] * 3
    assert not server.open


@settings(max_examples=10)
@given(alias=ALIASES)
@example("")
@example(".")
@example("..")
@example("a/b c?d#e%2F+é")
@example("half \ud83d of a pair")
@example("x" * 255 + "y" * 300)
@example("漢" * 171)
def test_a_resolve_has_the_key_of_its_trigger_whatever_the_alias(receivers: list[Pair], alias: str) -> None:
    for server, channel in receivers:
        before = len(server.incidents)
        for action in (PAGE, PAGE, RESOLVE):
            assert sent(channel, replace(action, alias=alias)) == DELIVERED
        assert [(len(one.bodies), one.is_open) for one in server.incidents[before:]] == [(2, False)]


@given(one=ALIASES, other=ALIASES, longest=st.sampled_from([LONGEST_KEY, LONGEST_ALIAS]))
def test_two_aliases_never_share_a_key(one: str, other: str, longest: int) -> None:
    assert (key_of(one, longest) == key_of(other, longest)) == (one == other)
    begin = "the same beginning" * 40
    assert (key_of(begin + one, longest) == key_of(begin + other, longest)) == (one == other)
    assert 0 < len(key_of(one, longest).encode()) <= longest


@settings(max_examples=8)
@example("a file's name with half \udcff of a pair", 1)
@given(text=st.text(st.characters(), min_size=1, max_size=30), times=st.sampled_from([1, 7, 500, 3_000]))
def test_a_message_of_any_length_and_with_any_character_is_taken(receivers: list[Pair], text: str, times: int) -> None:
    long = text * times
    message = replace(PAGE, summary=long, body=long, details={f"fact {i}": long for i in range(20)})
    for server, channel in receivers:
        for one in (message, replace(message, action=NOTICE.action), replace(message, action=RESOLVE.action)):
            assert sent(channel, one) == DELIVERED
        assert not server.open or isinstance(server, JiraServer)
        for incident in server.open:
            incident.is_open = False


def test_the_links_are_there_even_if_the_page_is_cut() -> None:
    with JiraServer() as server:
        sent(channel_to(server), replace(PAGE, body="x" * 20_000))
        description = server.incidents[0].bodies[0]["description"]
    assert len(description) == 15_000
    assert description.endswith(
        "…\nCheck page: https://airflow.example.com/pages/1\nDAG: https://airflow.example.com/dags/events"
    )


def test_a_pagerduty_event_says_what_how_bad_where_and_where_to_look() -> None:
    with PagerDutyServer() as server:
        sent(channel_to(server), PAGE)
        event = server.incidents[0].bodies[0]
    assert event["payload"] == {
        "summary": PAGE.summary,
        "source": "events.clean",
        "severity": "critical",
        "custom_details": {"kind": "held", "tier": "1", "page": PAGE.body},
    }
    assert event["links"][0] == {"href": "https://airflow.example.com/pages/1", "text": "Check page"}


def test_a_notice_to_pagerduty_is_a_change_and_opens_nothing() -> None:
    with PagerDutyServer() as server:
        assert sent(channel_to(server), NOTICE) == DELIVERED
        assert (server.incidents, server.changes[0]["payload"]["summary"]) == ([], NOTICE.summary)


def test_a_notice_to_jira_is_an_alert_that_is_marked_and_least_urgent() -> None:
    with JiraServer() as server:
        assert sent(channel_to(server), NOTICE) == DELIVERED
        alert = server.incidents[0].bodies[0]
    assert (alert["priority"], alert["tags"], alert["alias"]) == ("P5", ["notice"], NOTICE.alias)


@pytest.mark.parametrize(
    ("severity", "priority"), [("critical", "P1"), ("error", "P2"), ("warning", "P3"), ("info", "P5")]
)
def test_the_severity_is_the_priority_of_a_jira_alert(severity: str, priority: str) -> None:
    with JiraServer() as server:
        sent(channel_to(server), replace(PAGE, severity=severity))
        assert server.incidents[0].bodies[0]["priority"] == priority


def test_a_request_to_jira_is_accepted_then_waited_for_then_delivered() -> None:
    with JiraServer() as server:
        channel, server.is_slow = channel_to(server), True
        accepted = channel.send(PAGE)
        assert accepted.result is Result.ACCEPTED
        waits = channel.confirm(accepted.request)
        assert (waits.result, waits.ambiguous) == (Result.LATER, False)
        server.process()
        assert channel.confirm(accepted.request) == DELIVERED


@pytest.mark.parametrize("message", [PAGE, RESOLVE], ids=["trigger", "resolve"])
def test_a_request_that_jira_took_and_could_not_do_is_refused_with_its_reason(message: Message) -> None:
    with JiraServer() as server:
        server.fails = "Not permitted: the integration is off"
        answer = sent(channel_to(server), message)
    assert (answer.result, answer.reason) == (Result.REFUSED, "it was not done: Not permitted: the integration is off")


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ({"message": "Alert does not exist"}, Result.DELIVERED),
        ({"message": "Alert with alias [x] is not found"}, Result.DELIVERED),
        ({"message": "No handler found for the path"}, Result.REFUSED),
        ({}, Result.REFUSED),
    ],
)
def test_a_404_to_a_resolve_is_delivered_only_if_it_is_about_the_alert(said: object, result: Result) -> None:
    with JiraServer() as server:
        server.fault = answers(404, json.dumps(said).encode())
        assert channel_to(server).send(RESOLVE).result is result


def test_a_confirmation_that_is_lost_makes_no_message_ambiguous() -> None:
    with JiraServer() as server:
        channel = channel_to(server)
        accepted = channel.send(PAGE)
        server.fault = answers(500)
        answer = channel.confirm(accepted.request)
    assert (answer.result, answer.ambiguous) == (Result.LATER, False)


@given(text=st.text(st.characters(), max_size=50), longest=st.integers(1, 60))
def test_what_is_cut_fits_in_utf_16(text: str, longest: int) -> None:
    assert len(cut(text, longest).encode("utf-16-le", "surrogatepass")) <= 2 * longest
    assert cut(text, 100) == text


def test_details_keep_the_first_facts_that_have_room() -> None:
    assert details_of({"a": "1", "b": "2"}, 100) == {"a": "1", "b": "2"}
    assert details_of({"a": "1", "b": "2" * 20, "c": "3"}, 9) == {"a": "1", "b": "222222"[:5] + "…"}
