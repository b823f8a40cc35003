"""``feedmill demo``: a real week, from nothing to published events and roll-ups."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from feedmill.cli.command import ended, output
from feedmill.cli.exits import Exit
from feedmill.cli.output import listing

if TYPE_CHECKING:
    from feedmill.demo import Count
    from feedmill.local.stack import Access
    from feedmill.timeline import Range

ROLL_UPS = ("rollups.item_engagement_hourly", "rollups.item_engagement_daily")


def demo(
    verify: Annotated[
        bool, typer.Option("--verify", help="Only compare what is published with the files that it was made from.")
    ] = False,
) -> None:
    """Start the stack, land a week of real impressions, let Airflow build it, and show what came out.

    Safe and quick to repeat: what is published already is left alone.

    [bold]Example:[/bold]  feedmill demo

    Exits with 1 where a run failed, or the published totals are not those of the files.
    """
    from feedmill import arrivals, demo
    from feedmill.airflow_api import AirflowApi
    from feedmill.deployment import open_deployment
    from feedmill.local import stack
    from feedmill.local.home import Home
    from feedmill.query import ask

    out = output()
    clock = time.monotonic()

    def say(sentence: str) -> None:
        out.note(f"{time.monotonic() - clock:4.0f} s  {sentence}")

    home = Home.find()
    access = stack.up(home, say=say)
    deployment = open_deployment()
    now = datetime.now(UTC)
    wheel = demo.fetch(home.path / "downloads", deployment.project)
    week = demo.week_of(deployment, now)
    if not verify:
        if not demo.is_landed(deployment):
            sources = [demo.SOURCE, demo.ITEMS]
            landed = arrivals.land(deployment.lake.landing, deployment.sources, sources, [wheel], now, week.end)
            say(f"Landed {len(landed)} files of the Open Bandit week, moved to {week}")
        demo.run(deployment, AirflowApi(access.url, access.login, access.password), week, now, say)
        say("Everything is published.")
    wanted = demo.expected(wheel)
    found = {
        name: demo.counts(ask(demo.totals_query(name, week), deployment.tables, deployment.lake).rows)
        for name in ROLL_UPS
    }
    equal = all(counts == wanted for counts in found.values())
    _show(found, week, equal, access)
    ended(Exit.OK if equal else Exit.PROBLEM)


def _show(found: dict[str, list[Count]], week: Range, equal: bool, access: Access) -> None:
    from rich.console import Group

    out = output()
    shown = found[ROLL_UPS[1]]
    total = (sum(count.impressions for count in shown), sum(count.clicks for count in shown))
    rows = [(c.policy, c.campaign, *_cells(c.impressions, c.clicks)) for c in shown]
    for policy in sorted({c.policy for c in shown}):
        mine = [c for c in shown if c.policy == policy]
        rows.append((policy, "", *_cells(sum(c.impressions for c in mine), sum(c.clicks for c in mine))))
    rows.append(("total", "", *_cells(*total)))
    headers = ["policy", "campaign", "impressions", "clicks", "CTR"]
    sentence = (
        "Hourly and daily roll-ups hold exactly what stands in the files."
        if equal
        else "The roll-ups DIFFER from the files: `feedmill status` shows what is not published."
    )
    hints = [
        f"\nAirflow   {access.url}   user {access.login}   password {access.password}",
        "          Each table has a DAG; open events.clean, a run's `check`, and there Details, Check page.",
        'Tables    .venv/bin/feedmill sql "select * from rollups.item_engagement_daily limit 5"',
        "          .venv/bin/feedmill status",
        "Stop      make down",
    ]
    data = {
        "week": {"start": week.start, "end": week.end},
        "equal": equal,
        "airflow": access.url,
        **{name: [vars(count) for count in counts] for name, counts in found.items()},
    }
    text = Group(
        f"\nPublished: rollups.item_engagement_daily, {week.start:%Y-%m-%d} to {week.end:%Y-%m-%d} (UTC)\n",
        listing(headers, rows, right=headers[2:]),
        sentence,
        *hints,
    )
    out.result(data, text)


def _cells(impressions: int, clicks: int) -> tuple[str, str, str]:
    return f"{impressions:,}", f"{clicks:,}", f"{clicks / impressions:.3%}" if impressions else ""
