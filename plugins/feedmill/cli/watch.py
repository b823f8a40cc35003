"""``feedmill watch``: looks after everything, and tells whoever must know."""

from __future__ import annotations

import signal
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedmill.cli.command import output

if TYPE_CHECKING:
    from feedmill.alerts.watch import Round, Watch


def watch(
    once: Annotated[bool, typer.Option("--once", help="One round, for a cron job or a Kubernetes job.")] = False,
) -> None:
    """Find out what is wrong, and tell its maintainer: once, with the evidence, at the right hour.

    It looks at the ledger, at Airflow's API and at Spark, PostgreSQL, the landing zone and the disks, every ten
    seconds. Two of them do no harm: one is at work, the other stands by. On the local stack, `make up` runs it.

    [bold]Examples:[/bold]  feedmill watch

      feedmill watch --once
    """
    from feedmill.alerts.map_changes import MapChanges, start_again
    from feedmill.alerts.open_watch import open_watch
    from feedmill.alerts.watch import forever
    from feedmill.project import project_path

    made = open_watch()
    if once:
        made.waits = timedelta(0)
        said = made.round()
        made.stop()
        output().result(_plain(said), _text(said))
        return
    changes, over = MapChanges(project_path()), False

    def leave(_number: int, _frame: FrameType | None) -> None:
        nonlocal over
        over = True

    def reload(running: Watch) -> None:
        found = changes.look()
        if found == "":
            start_again()
        running.map_error = found or ""

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    forever(made, lambda: over, reload)
    made.stop()


def _plain(said: Round) -> dict[str, Any]:
    return {
        "at_work": said.is_leader,
        "opened": [one.alias for one in said.opened],
        "closed": [one.alias for one in said.closed],
        "sent": [{"channel": one.channel, "purpose": one.purpose.value, "stage": one.stage.value} for one in said.sent],
        "silent": sorted(origin.value for origin in said.silent),
    }


def _text(said: Round) -> str:
    if not said.is_leader:
        return "Another process watches; this one did nothing."
    lines = [f"opened: {one.alias}" for one in said.opened] + [f"closed: {one.alias}" for one in said.closed]
    lines += [f"{one.purpose.value} to {one.channel}: {one.stage.value} {one.error}".rstrip() for one in said.sent]
    lines += [f"{origin.value} said nothing" for origin in sorted(said.silent)]
    return "\n".join(lines) or "Nothing new."
