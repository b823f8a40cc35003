"""``feedmill demo``: build a real week of events and roll-ups from nothing; with ``--full``, every table."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedmill.cli.command import ended, output
from feedmill.cli.output import listing
from feedmill.errors import Exit

if TYPE_CHECKING:
    from rich.console import RenderableType

    from feedmill.demo.week import Count
    from feedmill.local.stack import Access
    from feedmill.timeline import Range

ROLL_UPS = ("rollups.item_engagement_hourly", "rollups.item_engagement_daily")


def demo(
    verify: Annotated[
        bool, typer.Option("--verify", help="Start nothing; only compare the published totals with those of the files.")
    ] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="Also simulate the five weeks before it, and build every table."),
    ] = False,
) -> None:
    """Start the stack, land a week of real impressions, let Airflow build it, and show what came out.

    You may repeat it: partitions that are already published are not built again.

    [bold]Examples:[/bold]  feedmill demo

      feedmill demo --full

    Exits with 1 if a run failed, or if the published totals differ from those of the files and of the simulator.
    """
    from rich.console import Group

    from feedmill.airflow_api import AirflowApi
    from feedmill.cli.demo_full import look, text
    from feedmill.demo import full as demo_full
    from feedmill.demo import week as demo
    from feedmill.deployment import open_deployment
    from feedmill.explore.sql import ask
    from feedmill.landing import land as arrivals
    from feedmill.local import stack
    from feedmill.local.home import Home

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
    weeks = demo_full.weeks_before(week)
    if not verify:
        if not demo.is_landed(deployment):
            sources = [demo.SOURCE, demo.ITEMS]
            landed = arrivals.land(deployment.lake.landing, deployment.sources, sources, [wheel], now, week.end)
            say(f"Landed {len(landed)} files of the Open Bandit week, moved to {week}")
        if full:
            landed_files = demo_full.land(demo_full.simulated(home, weeks), home.landing)
            demo_full.register(deployment, now)
            say(f"Landed {landed_files} files of the simulated weeks, {weeks}")
        api = AirflowApi(access.url, access.login, access.password)
        demo.run(deployment, api, week, now, say)
        if full:
            demo_full.run(deployment, api, weeks, now, say)
        say("Everything is published.")
    wanted = demo.expected(wheel)
    found = {
        name: demo.counts(ask(demo.totals_query(name, week), deployment.tables, deployment.lake).rows)
        for name in ROLL_UPS
    }
    equal = all(counts == wanted for counts in found.values())
    data: dict[str, Any] = {
        "week": {"start": week.start, "end": week.end},
        "equal": equal,
        "airflow": access.url,
        **{name: [vars(count) for count in counts] for name, counts in found.items()},
    }
    parts: list[RenderableType] = [_week(found, week, equal)]
    if full:
        shown = look(deployment, demo_full.simulated(home, weeks), weeks)
        equal = equal and shown.equal
        data["simulated"] = shown.plain()
        parts.append(text(shown, week))
    out.result(data, Group(*parts, *_hints(access)))
    ended(Exit.OK if equal else Exit.PROBLEM)


def _week(found: dict[str, list[Count]], week: Range, equal: bool) -> RenderableType:
    """The totals of the real week, and whether they equal those of its files."""
    from rich.console import Group

    shown = found[ROLL_UPS[1]]
    total = (sum(count.impressions for count in shown), sum(count.clicks for count in shown))
    rows = [(c.policy, c.campaign, *_cells(c.impressions, c.clicks)) for c in shown]
    for policy in sorted({c.policy for c in shown}):
        mine = [c for c in shown if c.policy == policy]
        rows.append((policy, "", *_cells(sum(c.impressions for c in mine), sum(c.clicks for c in mine))))
    rows.append(("total", "", *_cells(*total)))
    headers = ["policy", "campaign", "impressions", "clicks", "CTR"]
    sentence = (
        "The hourly and daily roll-ups hold exactly the totals of the files."
        if equal
        else "The roll-ups DIFFER from the files: `feedmill status` shows what is not published."
    )
    return Group(
        f"\nPublished: rollups.item_engagement_daily, {week.start:%Y-%m-%d} to {week.end:%Y-%m-%d} (UTC)\n",
        listing(headers, rows, right=headers[2:]),
        sentence,
    )


def _hints(access: Access) -> list[str]:
    return [
        f"\nAirflow   {access.url}   user {access.login}   password {access.password}",
        "          Each table has a DAG; open events.clean, a run's `check`, and there Details, Check page.",
        'Tables    .venv/bin/feedmill sql "select * from rollups.item_engagement_daily limit 5"',
        "          .venv/bin/feedmill status",
        "Next      docs/first-table.md   your first own table, step by step",
        "Stop      make down   keeps the data; make up starts it again",
    ]


def _cells(impressions: int, clicks: int) -> tuple[str, str, str]:
    return f"{impressions:,}", f"{clicks:,}", f"{clicks / impressions:.3%}" if impressions else ""
