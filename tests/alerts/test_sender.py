"""Sending what is due: in which order, when again, and what is written down. No I/O, and a clock of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedmill.alerts.channels.channel import Action, Answer, ChannelError, Message, Result
from feedmill.alerts.incident import Delivery, Outbox, Purpose, Stage
from feedmill.alerts.sender import ASKED_FOR, FIRST_PAUSE, LONGEST_PAUSE, answered, send, stuck
from feedmill.connections import ConnectionNotDefinedError

NOW = datetime(2026, 5, 4, 8, tzinfo=UTC)

DELIVERED = Answer(Result.DELIVERED)
BUSY = Answer(Result.LATER, "it answered 429")
LOST = Answer(Result.LATER, "no answer came", ambiguous=True)
REFUSED = Answer(Result.REFUSED, "wrong credential")
QUEUED = Answer(Result.ACCEPTED, request="r1")


@dataclass
class Script:
    """A channel that answers by a script, and delivers once that is over."""

    conn_id: str = "pager"
    keyed: bool = True
    answers: list[Answer] = field(default_factory=list)
    confirms: list[Answer] = field(default_factory=list)
    got: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def send(self, message: Message) -> Answer:
        self.got.append(message.alias)
        return self.answers.pop(0) if self.answers else DELIVERED

    def confirm(self, request: str) -> Answer:
        self.asked.append(request)
        return self.confirms.pop(0) if self.confirms else DELIVERED


def page(ident: str = "a page pager 1", *, incident: str = "a", after: float = 0, **changes) -> Delivery:
    """A page that was decided so many seconds after the others."""
    made = Delivery(ident, incident, Purpose.PAGE, "pager", "data", "tier 1", NOW + timedelta(seconds=after))
    return replace(made, **changes)


def resolve(**changes) -> Delivery:
    return page("a resolve pager 1", purpose=Purpose.RESOLVE, **{"after": 1, **changes})


def message_of(delivery: Delivery) -> Message:
    return Message(Action.TRIGGER, delivery.id, "", "", "error", "", repeats=delivery.ambiguous)


class Sending:
    """An outbox, and what the rounds made of it."""

    def __init__(self, *deliveries: Delivery, **channels: Script) -> None:
        self.known = Outbox(deliveries={one.id: one for one in deliveries})
        self.channels, self.now = channels or {"pager": Script()}, NOW + timedelta(seconds=2)
        self.repeats: list[bool] = []

    def round(self, *, may_send=lambda: True, **later: float) -> list[Delivery]:
        """Some time passes, and all that is due is tried. What was written down, in that order."""
        self.now += timedelta(**later)
        written = []
        for one in send(self.known, self.channels.__getitem__, self._message_of, lambda: self.now, may_send):
            self.known = self.known.with_deliveries([one])
            written.append(one)
        return written

    def _message_of(self, delivery: Delivery) -> Message:
        self.repeats.append(delivery.ambiguous)
        return message_of(delivery)

    def one(self, ident: str = "a page pager 1") -> Delivery:
        return self.known.deliveries[ident]


# Order


def test_what_was_decided_first_is_sent_first():
    pager = Script()
    Sending(page("b", incident="b", after=1), page("a"), page("c", incident="c", after=-1), pager=pager).round()
    assert pager.got == ["c", "a", "b"]


@pytest.mark.parametrize("answer", [BUSY, LOST, QUEUED])
def test_no_resolve_overtakes_its_page(answer):
    pager = Script(answers=[answer])
    sending = Sending(resolve(), page(), pager=pager)
    sending.round()
    assert pager.got == ["a page pager 1"]
    sending.round(seconds=1)
    assert sending.one("a resolve pager 1").attempts == 0  # the page waits for its time, and the resolve for the page
    sending.round(minutes=2)
    assert pager.got[-1] == "a resolve pager 1"
    assert [one.stage for one in sending.known.deliveries.values()] == [Stage.DELIVERED] * 2


def test_a_page_that_is_through_lets_its_resolve_go_in_the_same_round():
    pager = Script()
    Sending(page(), resolve(), pager=pager).round()
    assert pager.got == ["a page pager 1", "a resolve pager 1"]


def test_other_incidents_and_other_channels_do_not_wait():
    pager, chat = Script(answers=[BUSY]), Script("chat")
    sending = Sending(
        page(), page("b", incident="b", after=1), page("a by chat", channel="chat", after=1), pager=pager, chat=chat
    )
    sending.round()
    assert pager.got == ["a page pager 1", "b"]
    assert chat.got == ["a by chat"]


@given(st.data())
def test_however_a_channel_answers_each_lane_goes_in_its_order(data):
    answers = st.lists(st.sampled_from([DELIVERED, BUSY, LOST, QUEUED]), max_size=8)
    pager = Script(answers=data.draw(answers), confirms=data.draw(answers.map(lambda a: [*filter(QUEUED.__ne__, a)])))
    order = data.draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=6))
    sending = Sending(*(page(f"{n}", incident=i, after=n / 10) for n, i in enumerate(order)), pager=pager)
    through: defaultdict[str, list[str]] = defaultdict(list)
    for _ in range(40):
        for one in sending.round(minutes=1):
            if one.stage is Stage.DELIVERED:
                through[one.incident_id].append(one.id)
    assert through == {i: [f"{n}" for n, j in enumerate(order) if j == i] for i in order}


def test_what_is_done_is_not_sent_again():
    done = [page(stage.value, incident=stage.value, stage=stage) for stage in Stage if stage not in {"due", "accepted"}]
    assert len(done) == 4
    assert Sending(*done).round() == []


# One try


def test_it_is_written_down_before_it_is_sent():
    pager = Script()
    outbox = Outbox(deliveries={"x": page("x")})
    sent = send(outbox, lambda _: pager, message_of, lambda: NOW, lambda: True)
    under_way = next(sent)
    assert (under_way.is_under_way, under_way.attempts, under_way.first_tried_at, pager.got) == (True, 1, NOW, [])
    tried = next(sent)
    assert (tried.is_under_way, tried.stage, tried.done_at, pager.got) == (False, Stage.DELIVERED, NOW, ["x"])


def test_a_message_that_a_killed_process_had_under_way_is_marked_as_a_repeat():
    sending = Sending(page(is_under_way=True, attempts=1))
    sending.round()
    assert sending.repeats == [True]


@pytest.mark.parametrize(("first", "marked"), [(BUSY, False), (LOST, True)])
def test_only_a_try_whose_answer_was_lost_makes_the_next_one_a_repeat(first, marked):
    sending = Sending(page(), pager=Script(answers=[first, BUSY]))
    for _ in range(3):
        sending.round(minutes=2)
    assert sending.repeats == [False, marked, marked]
    assert sending.one().stage is Stage.DELIVERED


def test_each_message_is_tried_once_a_round():
    pager = Script(answers=[BUSY] * 9)
    Sending(page(), pager=pager).round()
    assert len(pager.got) == 1


def test_nothing_is_sent_once_another_process_may_be_at_work():
    pager, may = Script(), iter([True, False])
    sending = Sending(page(), page("b", incident="b", after=1), page("c", incident="c", after=1), pager=pager)
    sending.round(may_send=lambda: next(may))
    assert pager.got == ["a page pager 1"]
    assert sending.one("b") == page("b", incident="b", after=1)


def test_nobody_is_asked_for_leave_while_nothing_is_due():
    assert Sending(page(next_try_at=NOW + timedelta(hours=1))).round(may_send=lambda: pytest.fail("asked")) == []


@pytest.mark.parametrize(
    "error",
    [
        ConnectionNotDefinedError("Connection pager is not defined: set AIRFLOW_CONN_PAGER."),
        ChannelError("Connection pager has no password: set it to the routing key."),
    ],
)
def test_a_connection_that_is_no_channel_refuses_in_its_own_words_and_holds_up_nobody(error):
    def channel_of(conn_id: str) -> Script:
        if conn_id == "pager":
            raise error
        return Script(conn_id)

    outbox = Outbox(deliveries={"a": page("a"), "b": page("b", channel="chat", after=1)})
    done = [
        one
        for one in send(outbox, channel_of, message_of, lambda: NOW + timedelta(seconds=2), lambda: True)
        if not one.is_under_way
    ]
    assert [(one.stage, one.error) for one in done] == [(Stage.REFUSED, str(error)), (Stage.DELIVERED, "")]


# When again


def test_a_mistake_in_one_message_holds_up_no_other():
    def broken(delivery: Delivery) -> Message:
        if delivery.id == "a":
            raise KeyError("a token in here")
        return message_of(delivery)

    outbox = Outbox(deliveries={"a": page("a"), "b": page("b", incident="b", after=1)})
    channel = Script()
    done = [
        one
        for one in send(outbox, lambda _: channel, broken, lambda: NOW + timedelta(seconds=2), lambda: True)
        if not one.is_under_way
    ]
    assert [(one.stage, one.error) for one in done] == [
        (Stage.DUE, "unexpected error: KeyError"),
        (Stage.DELIVERED, ""),
    ]


def pauses(tries: int, answer: Answer = BUSY) -> list[float]:
    """Seconds between a try and the next one."""
    found, one = [], page()
    for n in range(tries):
        one = answered(replace(one, attempts=n + 1, first_tried_at=one.first_tried_at or NOW), answer, NOW)
        assert one.next_try_at is not None
        found.append((one.next_try_at - NOW).total_seconds())
    return found


def test_the_pauses_grow_to_a_minute():
    found = pauses(12)
    assert found == sorted(found)
    assert FIRST_PAUSE.total_seconds() <= found[0] <= 10
    assert set(found[4:]) == {LONGEST_PAUSE.total_seconds()}


def test_a_pause_that_the_receiver_asks_for_is_kept_and_never_makes_ours_shorter():
    assert pauses(6, replace(BUSY, after=600)) == [600] * 6
    assert pauses(6, replace(BUSY, after=0)) == pauses(6)


def test_nothing_is_tried_before_its_time():
    pager = Script(answers=[replace(BUSY, after=120)])
    sending = Sending(page(), pager=pager)
    sending.round()
    sending.round(seconds=119)
    assert len(pager.got) == 1
    sending.round(seconds=1)
    assert len(pager.got) == 2
    assert (sending.one().stage, sending.one().error, sending.one().attempts) == (Stage.DELIVERED, "", 2)


def test_a_refusal_is_final_and_keeps_its_reason():
    pager = Script(answers=[REFUSED])
    sending = Sending(page(), pager=pager)
    for _ in range(3):
        sending.round(minutes=10)
    assert len(pager.got) == 1
    assert (sending.one().stage, sending.one().error) == (Stage.REFUSED, "wrong credential")


# Queued by the receiver


def test_a_queued_message_is_asked_for_and_then_delivered():
    pager = Script(answers=[QUEUED])
    sending = Sending(page(), pager=pager)
    sending.round()
    assert (sending.one().stage, sending.one().request, pager.asked) == (Stage.ACCEPTED, "r1", [])
    sending.round(seconds=FIRST_PAUSE.seconds)
    assert (sending.one().stage, sending.one().attempts, pager.asked) == (Stage.DELIVERED, 1, ["r1"])
    assert len(pager.got) == 1


def test_a_queued_message_may_be_refused_in_the_end():
    sending = Sending(page(), pager=Script(answers=[QUEUED], confirms=[REFUSED]))
    sending.round()
    sending.round(minutes=1)
    assert (sending.one().stage, sending.one().error, sending.one().request) == (Stage.REFUSED, "wrong credential", "")


def test_a_queued_message_without_a_word_for_five_minutes_is_sent_again_as_a_repeat():
    pager = Script(answers=[QUEUED, replace(QUEUED, request="r2")], confirms=[BUSY] * 99)
    sending = Sending(page(), pager=pager)
    sending.round()
    while len(pager.got) == 1:
        sending.round(seconds=10)
        assert sending.now < NOW + timedelta(minutes=10)
    assert sending.now >= NOW + ASKED_FOR
    assert sending.repeats == [False, True]
    assert (sending.one().stage, sending.one().request, sending.one().attempts) == (Stage.ACCEPTED, "r2", 2)


def test_the_five_minutes_begin_when_the_receiver_has_queued_it_each_time_anew():
    pager = Script(answers=[BUSY] * 8 + [QUEUED, QUEUED], confirms=[BUSY] * 99)
    sending = Sending(page(), pager=pager)
    queued: list[datetime] = []
    while len(queued) < 2:
        before = len(pager.got)
        sending.round(seconds=10)
        if len(pager.got) > before and sending.one().stage is Stage.ACCEPTED:
            queued.append(sending.now)
    assert queued[0] - NOW > ASKED_FOR
    assert queued[1] - queued[0] >= ASKED_FOR


# Channels that take nothing


def failing(channel: str, minute: float, stage: Stage = Stage.DUE, error: str = "no answer") -> Delivery:
    moment = NOW + timedelta(minutes=minute)
    done = moment if stage is Stage.DELIVERED else None
    ident = f"{channel} {minute}"
    return page(ident, channel=channel, stage=stage, error=error, first_tried_at=moment, done_at=done)


def names(found: Iterable[Delivery]) -> list[str]:
    return [one.id for one in found]


def test_stuck_are_the_messages_since_a_channel_took_one():
    ok = failing("pager", 1, Stage.DELIVERED, "")
    found = stuck([failing("pager", 2), failing("pager", 0), ok, failing("chat", 0, Stage.GIVEN_UP)])
    assert {name: names(some) for name, some in found.items()} == {"pager": ["pager 2"], "chat": ["chat 0"]}


def test_a_channel_that_takes_a_message_again_is_not_stuck():
    assert stuck([failing("pager", 0, Stage.REFUSED), failing("pager", 1, Stage.DELIVERED, "")]) == {}


def test_nothing_is_stuck_that_was_never_tried_or_is_not_needed_any_more():
    assert stuck([page(), failing("pager", 0, Stage.CANCELLED), failing("pager", 1, Stage.DUE, "")]) == {}
