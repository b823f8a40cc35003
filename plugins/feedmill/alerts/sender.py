"""Sending what is due: one try for each message and round, and what became of it written down."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from feedmill.alerts.channels.channel import Answer, Channel, ChannelError, Message, Result
from feedmill.alerts.incident import Delivery, Outbox, Stage
from feedmill.connections import ConnectionNotDefinedError

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=1)

ASKED_FOR = timedelta(minutes=5)
"""After so long without a word, a receiver that has queued a message is taken for one that lost it."""

log = logging.getLogger(__name__)


def send(
    outbox: Outbox,
    channel_of: Callable[[str], Channel],
    message_of: Callable[[Delivery], Message],
    clock: Callable[[], datetime],
    may_send: Callable[[], bool],
) -> Iterator[Delivery]:
    """Try each message that is due once, oldest first: each as it is when it is under way, and as it is afterwards.

    The caller writes down what it gets before it goes on, so that a killed process leaves what it was about to do.

    ``may_send`` is asked before each: nobody else may be at work on the outbox. An incident's messages to one channel
    go in their order: while one is not through, those after it wait.
    """
    waiting: set[tuple[str, str]] = set()
    for delivery in sorted(outbox.deliveries.values(), key=lambda one: (one.decided_at, one.id)):
        lane = (delivery.incident_id, delivery.channel)
        if delivery.stage not in (Stage.DUE, Stage.ACCEPTED):
            continue
        now = clock()
        if lane in waiting or (delivery.next_try_at is not None and now < delivery.next_try_at):
            waiting.add(lane)
            continue
        if not may_send():
            return
        if delivery.stage is Stage.DUE:
            delivery = replace(
                delivery,
                is_under_way=True,
                attempts=delivery.attempts + 1,
                first_tried_at=delivery.first_tried_at or now,
                ambiguous=delivery.ambiguous or delivery.is_under_way,
            )
            yield delivery
        tried = _try(delivery, channel_of, message_of, now)
        if tried.stage in (Stage.DUE, Stage.ACCEPTED):
            waiting.add(lane)
        yield tried


def _try(
    delivery: Delivery,
    channel_of: Callable[[str], Channel],
    message_of: Callable[[Delivery], Message],
    now: datetime,
) -> Delivery:
    try:
        channel = channel_of(delivery.channel)
        asks = delivery.stage is Stage.ACCEPTED
        answer = channel.confirm(delivery.request) if asks else channel.send(message_of(delivery))
    except (ChannelError, ConnectionNotDefinedError) as error:
        answer = Answer(Result.REFUSED, str(error))
    except Exception as error:
        # A mistake in one message or one channel must not hold up every message behind it.
        log.exception("%s to %s ended in an unexpected error", delivery.purpose, delivery.channel)
        answer = Answer(Result.LATER, f"unexpected error: {type(error).__name__}", ambiguous=True)
    if answer.result is not Result.DELIVERED:
        log.warning("%s to %s: %s (%s)", delivery.purpose, delivery.channel, answer.result, answer.reason)
    return answered(delivery, answer, now)


def answered(delivery: Delivery, answer: Answer, now: datetime) -> Delivery:
    """The delivery after one answer. Pure."""
    asks = delivery.stage is Stage.ACCEPTED
    known = replace(
        delivery,
        is_under_way=False,
        ambiguous=delivery.ambiguous or answer.ambiguous,
        error=answer.reason,
    )
    match answer.result:
        case Result.DELIVERED:
            return replace(known, stage=Stage.DELIVERED, done_at=now, next_try_at=None, accepted_at=None, error="")
        case Result.REFUSED:
            return replace(known, stage=Stage.REFUSED, next_try_at=None, request="", accepted_at=None)
        case Result.ACCEPTED:
            pause = FIRST_PAUSE if answer.after is None else timedelta(seconds=answer.after)
            return replace(
                known, stage=Stage.ACCEPTED, request=answer.request, accepted_at=now, next_try_at=now + pause
            )
        case Result.LATER:
            # From when it was accepted: the receiver may have been busy for long before.
            accepted_at = known.accepted_at or known.first_tried_at or now
            lost = asks and now - accepted_at >= ASKED_FOR
            pause = min(FIRST_PAUSE * 2 ** min(known.attempts, 8), LONGEST_PAUSE)
            if answer.after is not None:
                pause = max(pause, timedelta(seconds=answer.after))
            known = replace(known, ambiguous=known.ambiguous or lost, next_try_at=now + pause)
            return replace(known, stage=Stage.DUE, request="", accepted_at=None) if lost else known


def stuck(deliveries: Iterable[Delivery]) -> dict[str, list[Delivery]]:
    """The messages that a channel has not taken, by channel; those after its last success. Pure."""
    found: dict[str, list[Delivery]] = {}
    for one in sorted(deliveries, key=lambda one: one.done_at or one.first_tried_at or one.decided_at):
        if one.stage is Stage.DELIVERED:
            found.pop(one.channel, None)
        elif one.error and one.stage is not Stage.CANCELLED:
            found.setdefault(one.channel, []).append(one)
    return found
