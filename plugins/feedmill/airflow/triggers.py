"""Waiting without a slot: each triggerer has one poller, which asks the ledger for all tasks that wait."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from feedmill.timeline import parse

if TYPE_CHECKING:
    from feedmill.flow.wait import Wait
    from feedmill.ledger.store import Ledger

log = logging.getLogger(__name__)

SHORTEST_PAUSE = 1.0
"""Seconds between two looks, if the ledger answers quickly."""
LONGEST_PAUSE = 10.0
"""The longest pause in seconds, also used after a look that failed: the database may be restarting."""
PAUSE_PER_LOOK = 9.0
"""Between these two, the pause is this many times as long as the look took. So the poller uses at most a tenth of one
processor while a look takes less than about a second."""


class LedgerTrigger(BaseTrigger):
    """Fires when the range's inputs are published and no other build has claimed the range, or at the time-out.

    Its event is ``{"ready": True}``, or ``{"ready": False, "why": <sentences>}`` at the time-out. If waiting can never
    help, that event comes at once.

    The trigger carries the inputs that the waiting task's map had. A triggerer runs for weeks with the map that it
    started with: it would not know an input that was added later.
    """

    def __init__(self, wait: dict[str, Any], until: str):
        """``wait`` is a packed :class:`~feedmill.flow.wait.Wait`, ``until`` an ISO time."""
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.wait, self.until = wait, until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What a triggerer needs to make this trigger again."""
        return "feedmill.airflow.triggers.LedgerTrigger", {"wait": self.wait, "until": self.until}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ask the poller, and pass on its answer."""
        from asgiref.sync import sync_to_async

        from feedmill.flow.wait import Wait
        from feedmill.ledger.store import open_ledger

        # Through asgiref: open_ledger asks Airflow's own API for the connection, which needs the event loop.
        ledger = await sync_to_async(open_ledger)()
        why = await _POLLER.answer(ledger, Wait.unpacked(self.wait), parse(self.until))
        event = {"ready": True} if why is None else {"ready": False, "why": why}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # Airflow's


class _Poller:
    """Looks at the ledger once a round for all waits of this process, as long as there is one."""

    def __init__(self) -> None:
        self._waits: dict[Wait, tuple[datetime, asyncio.Future[str | None]]] = {}
        self._rounds: asyncio.Task[None] | None = None

    async def answer(self, ledger: Ledger, wait: Wait, until: datetime) -> str | None:
        """None as soon as the wait is over; the reason, at ``until`` or as soon as the wait can never end."""
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waits[wait] = (until, future)
        if self._rounds is None or self._rounds.done():
            self._rounds = asyncio.create_task(self._poll(ledger))
        try:
            return await future
        finally:
            self._waits.pop(wait, None)

    async def _poll(self, ledger: Ledger) -> None:
        from feedmill.flow.wait import Never

        while self._waits:
            waits = dict(self._waits)
            began = time.monotonic()
            try:
                answers = await asyncio.to_thread(_look, ledger, list(waits))
                pause = min(max(SHORTEST_PAUSE, PAUSE_PER_LOOK * (time.monotonic() - began)), LONGEST_PAUSE)
            except Exception:
                # The database may be restarting; the tasks go on waiting.
                log.exception("the ledger did not answer the poller")
                answers, pause = {}, LONGEST_PAUSE
            now = datetime.now(UTC)
            for wait, (until, future) in waits.items():
                if wait not in answers or future.done():
                    continue
                if answers[wait] is None or isinstance(answers[wait], Never) or now >= until:
                    future.set_result(answers[wait])
            await asyncio.sleep(pause)


def _look(ledger: Ledger, waits: list[Wait]) -> dict[Wait, str | None]:
    from feedmill.flow.wait import not_ready

    with ledger.transaction() as session:
        return not_ready(session, waits)


_POLLER = _Poller()
