"""Slack, e-mail, Teams and some hundred more, through the library ``apprise``. None of them knows keys."""

from __future__ import annotations

from typing import Any

from feedmill.alerts.channels.channel import Action, Answer, ChannelError, Message, Result

_KINDS = {"critical": "failure", "error": "failure", "warning": "warning", "info": "info"}


class Broadcast:
    """One apprise URL. The library says only whether it worked: whatever did not may have arrived all the same."""

    keyed = False

    def __init__(self, conn_id: str, url: str) -> None:
        """Read the URL.

        Raises:
            ChannelError: apprise does not know it.
        """
        import apprise

        self.conn_id = conn_id
        # Nothing on disk: a channel has no memory of its own.
        asset = apprise.AppriseAsset(storage_mode=apprise.PersistentStoreMode.MEMORY, app_id="Feedmill")
        self._apprise: Any = apprise.Apprise(asset=asset)
        if not self._apprise.add(url):
            raise ChannelError(
                f"Connection {conn_id}: its password is not a URL that apprise knows, such as mailtos://… or slack://…"
            )

    def send(self, message: Message) -> Answer:
        """Send the message as text; a resolve says that it is one."""
        import apprise

        links = "".join(f"\n- [{text}]({url})" for text, url in message.links)
        kind = "success" if message.action is Action.RESOLVE else _KINDS[message.severity]
        done = self._apprise.notify(
            title=message.summary,
            body=message.body + links,
            body_format=apprise.NotifyFormat.MARKDOWN,
            notify_type=kind,
        )
        if done:
            return Answer(Result.DELIVERED)
        return Answer(Result.LATER, "apprise could not send it; its log says why", ambiguous=True)

    def confirm(self, request: str) -> Answer:  # noqa: ARG002 - nothing is ever only accepted
        """Nothing to ask."""
        return Answer(Result.DELIVERED)
