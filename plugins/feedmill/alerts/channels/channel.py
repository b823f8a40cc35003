"""What a channel is: it hands one message to one receiver, and says what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol, TypeAlias

from feedmill.errors import Exit, FeedmillError, Turn

Severity: TypeAlias = Literal["critical", "error", "warning", "info"]

SUMMARY = 130
"""Characters of a summary: what Jira Service Management takes, and what a lock screen shows."""


class Action(StrEnum):
    """What a message does to the incident at the receiver."""

    TRIGGER = "trigger"
    """Opens it. A receiver that honours keys adds a repeated one to the incident that is open."""
    RESOLVE = "resolve"
    """Closes it."""
    NOTICE = "notice"
    """Tells somebody, and opens nothing: a digest, or the news that a table waits for another team's."""


@dataclass(frozen=True)
class Message:
    """One message about one incident, the same for every receiver."""

    action: Action
    alias: str
    """The incident's key: the same from its first page to its resolve, whoever sends."""
    summary: str
    """One line of at most ``SUMMARY`` characters that is useful on a lock screen."""
    body: str
    """The page below the summary, as Markdown."""
    severity: Severity
    source: str
    """The subject: a table, a component, a service."""
    links: tuple[tuple[str, str], ...] = ()
    """Texts and URLs."""
    details: Mapping[str, str] = field(default_factory=dict)
    """Short facts by name, for receivers that show a table."""
    repeats: bool = False
    """The message may have been delivered already: the answer to the first try was lost."""


class Result(StrEnum):
    """What became of a message."""

    DELIVERED = "delivered"
    """The receiver has it."""
    ACCEPTED = "accepted"
    """The receiver has queued it: :meth:`Channel.confirm` asks what became of it."""
    LATER = "later"
    """The receiver is busy, or does not answer; try again."""
    REFUSED = "refused"
    """The receiver will never take it: a wrong credential, or a wrong request. A retry cannot help."""


@dataclass(frozen=True)
class Answer:
    """A receiver's answer to one try."""

    result: Result
    reason: str = ""
    """Why, where it is not delivered; never a credential."""
    after: float | None = None
    """Seconds that the receiver asked us to wait."""
    ambiguous: bool = False
    """LATER only: the receiver may have taken it, since its answer was lost on the way."""
    request: str = ""
    """ACCEPTED only: what :meth:`Channel.confirm` asks for."""


class ChannelError(FeedmillError, code=Exit.USAGE, retry=False, turn=Turn.OPERATOR):
    """A connection cannot be a channel; the message names it and says what to set."""


class Channel(Protocol):
    """One receiver. A call takes at most 30 seconds, never raises for what the receiver does, and never retries."""

    conn_id: str
    keyed: bool
    """Whether the receiver honours keys: repeated triggers are one incident there, and a resolve closes it."""

    def send(self, message: Message) -> Answer:
        """Hand over one message, once."""

    def confirm(self, request: str) -> Answer:
        """What became of a request that was accepted; only where :meth:`send` answers ACCEPTED."""
