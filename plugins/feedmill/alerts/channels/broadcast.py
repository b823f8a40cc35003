"""Slack, e-mail, Teams and some hundred more, through the library ``apprise``. None of them knows keys."""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import unquote

from feedmill.alerts.channels.channel import Action, Answer, ChannelError, Message, Result
from feedmill.alerts.channels.http import PATIENCE, SHOWN
from feedmill.printable import on_one_line

_KINDS = {"critical": "failure", "error": "failure", "warning": "warning", "info": "info"}


class Broadcast:
    """One apprise URL. A resolve is one more message, which says that it is one.

    A message that did not go through may have arrived all the same: apprise reports a read time-out, after which the
    receiver may have it, like any other failure.
    """

    keyed = False

    def __init__(self, conn_id: str, url: str, patience: float = PATIENCE.whole) -> None:
        """Read the URL.

        Raises:
            ChannelError: apprise does not know it, or these are several.
        """
        apprise = _library()
        # In memory: a channel stores nothing. And no credential follows a redirect.
        asset = apprise.AppriseAsset(
            app_id="Feedmill", storage_mode=apprise.PersistentStoreMode.MEMORY, http_redirects=False
        )
        self.conn_id, self._patience, self._secrets = conn_id, patience, _secrets(url)
        self._apprise: Any = apprise.Apprise(asset=asset)
        if not self._apprise.add(url):
            raise ChannelError(
                f"Connection {conn_id}: its password is not a URL that apprise knows; set it to one, such as "
                "mailtos://… or slack://…."
            )
        if len(self._apprise) != 1:
            raise ChannelError(
                f"Connection {conn_id}: its password has {len(self._apprise)} URLs; make a connection for each."
            )

    def send(self, message: Message) -> Answer:
        """Send the message as text."""
        is_resolve = message.action is Action.RESOLVE
        links = "".join(f"\n- [{text}]({url})" for text, url in message.links)
        done = self._apprise.notify(
            title=_utf8(f"Resolved: {message.summary}" if is_resolve else message.summary),
            body=_utf8(f"{message.body}\n{links}" if links else message.body),
            body_format="markdown",
            notify_type="success" if is_resolve else _KINDS[message.severity],
            timeout=self._patience,
        )
        # Not done's own truth: a URL with optional=yes makes a failure look like a success.
        if done.results and all(one.attempts and one.attempts[-1] for one in done.results):
            return Answer(Result.DELIVERED)
        said = [self._scrubbed(entry.message) for entry in done.logs()]
        return Answer(
            Result.LATER, f"apprise could not send it: {said[-1] if said else done.status.name}", ambiguous=True
        )

    def confirm(self, request: str) -> Answer:  # noqa: ARG002 - nothing is ever only accepted
        """Nothing to ask."""
        return Answer(Result.DELIVERED)

    def _scrubbed(self, text: str) -> str:
        for secret in self._secrets:
            text = re.sub(re.escape(secret), "*****", text, flags=re.IGNORECASE)
        return on_one_line(" ".join(text.split()))[:SHOWN]


def _utf8(text: str) -> str:
    """The text without halves of surrogate pairs, which no service takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _library() -> Any:
    """The library, which takes a second or two to import. Its logs are kept quiet, since they have tokens in them."""
    # Such as a token that is not valid. Why a message failed stands in its answer.
    own = logging.getLogger("apprise")
    own.propagate = False
    own.setLevel(logging.WARNING)
    for name in ("urllib3", "requests_oauthlib", "oauthlib"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.INFO))
    import apprise

    return apprise


def _secrets(url: str) -> list[str]:
    """The URL and its parts but the scheme, longest first: each service keeps its secrets in other ones."""
    parts = re.split(r"[/:@?&=,#\s]+", url.partition("://")[2])
    found = {form for part in parts for form in (part, unquote(part)) if len(form) >= 3}
    return [url, *sorted(found, key=len, reverse=True)]
