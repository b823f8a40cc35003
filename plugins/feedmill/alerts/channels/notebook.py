"""A file on this machine: whoever has no account anywhere sees what pages look like. The local stack's own channel."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from feedmill.alerts.channels.channel import Answer, Message, Result

_NO_RETRY_HELPS = (PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError)


class Notebook:
    """One Markdown file, to which messages are appended."""

    keyed = False

    def __init__(self, conn_id: str, path: Path) -> None:
        self.conn_id, self._path = conn_id, path

    def send(self, message: Message) -> Answer:
        """Append the message in one write, so that two processes never mix theirs."""
        links = "".join(f"\n- [{text}]({url})" for text, url in message.links)
        head = f"## {message.action.value}: {message.summary}\n\n{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n\n"
        text = f"{head}{message.body}\n{links}\n\n".encode("utf-8", "replace")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                written = os.write(handle, text)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            result = Result.REFUSED if isinstance(error, _NO_RETRY_HELPS) else Result.LATER
            return Answer(result, f"{self._path}: {error.strerror}")
        if written < len(text):
            return Answer(Result.LATER, f"{self._path}: the disk took only a part of it", ambiguous=True)
        return Answer(Result.DELIVERED)

    def confirm(self, request: str) -> Answer:  # noqa: ARG002 - nothing is ever only accepted
        """Nothing to ask."""
        return Answer(Result.DELIVERED)
