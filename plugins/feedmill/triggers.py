"""Waiting without a slot: one poller a triggerer asks the ledger for everybody who waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from feedmill.timeline import parse

if TYPE_CHECKING:
    from feedmill.deployment import Deployment
    from feedmill.ledger.readiness import Wait

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0


class LedgerTrigger(BaseTrigger):
    """Fires when the range's inputs are published and no other build has claimed it, or at the time-out.

    Its event is ``{"ready": True}``, or ``{"ready": False, "why": <sentences>}`` at the time-out, and earlier where no
    waiting will help.
    """

    def __init__(self, table: str, start: str, end: str, owner: str, since: str, until: str):
        """Times are ISO texts; ``owner`` is the waiting run, whose own claims do not count."""
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.table, self.start, self.end = table, start, end
        self.owner, self.since, self.until = owner, since, until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What a triggerer needs to make this trigger again."""
        names = ("table", "start", "end", "owner", "since", "until")
        return "feedmill.triggers.LedgerTrigger", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ask the poller, and pass on its answer."""
        from asgiref.sync import sync_to_async

        from feedmill.deployment import open_deployment
        from feedmill.ledger.readiness import Wait

        # Through asgiref: inside, Airflow's own API is asked for the connections, and wants the event loop.
        deployment = await sync_to_async(open_deployment)()
        table = deployment.tables[self.table]
        span = table.range(parse(self.start), parse(self.end))
        wait = Wait(table, span, self.owner, parse(self.since))
        why = await _POLLER.answer(deployment, wait, parse(self.until))
        event = {"ready": True} if why is None else {"ready": False, "why": why}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # Airflow's


class _Poller:
    """Looks at the ledger once a round for all waits of this process, as long as there are any."""

    def __init__(self) -> None:
        self._waits: dict[Wait, tuple[datetime, asyncio.Future[str | None]]] = {}
        self._rounds: asyncio.Task[None] | None = None

    async def answer(self, deployment: Deployment, wait: Wait, until: datetime) -> str | None:
        """None as soon as the wait is over; at ``until``, or as soon as it never will be, why it is not."""
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waits[wait] = (until, future)
        if self._rounds is None or self._rounds.done():
            self._rounds = asyncio.create_task(self._poll(deployment))
        try:
            return await future
        finally:
            self._waits.pop(wait, None)

    async def _poll(self, deployment: Deployment) -> None:
        from feedmill.ledger.readiness import Never

        while self._waits:
            waits = dict(self._waits)
            try:
                answers = await asyncio.to_thread(_look, deployment, list(waits))
            except Exception:
                # The database may be restarting; who waits goes on waiting.
                log.exception("the ledger did not answer the poller")
                answers = {}
            now = datetime.now(UTC)
            for wait, (until, future) in waits.items():
                if wait not in answers or future.done():
                    continue
                if answers[wait] is None or isinstance(answers[wait], Never) or now >= until:
                    future.set_result(answers[wait])
            await asyncio.sleep(POLL_SECONDS)


def _look(deployment: Deployment, waits: list[Wait]) -> dict[Wait, str | None]:
    from feedmill.ledger.readiness import not_ready

    with deployment.ledger.transaction() as session:
        return not_ready(session, waits)


_POLLER = _Poller()
