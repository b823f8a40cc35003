"""``feedmill stack``: start, stop and show the local stack."""

from __future__ import annotations

from dataclasses import asdict

import typer

from feedmill.cli.command import command, ended, output
from feedmill.cli.output import listing
from feedmill.errors import Exit

stack = typer.Typer(no_args_is_help=True, help="The local stack: PostgreSQL, Spark and Airflow on this machine.")


@command(stack, "up")
def up() -> None:
    """Start every part that does not run. You may repeat it.

    [bold]Example:[/bold]  feedmill stack up

    Prints Airflow's address, user and password. Exits with 3 if a part cannot start.
    """
    from feedmill.local import stack as local
    from feedmill.local.home import Home

    out = output()
    access = local.up(Home.find(), say=out.note)
    out.result(asdict(access))


@command(stack, "down")
def down() -> None:
    """Stop everything. The data stays.

    [bold]Example:[/bold]  feedmill stack down
    """
    from feedmill.local import stack as local
    from feedmill.local.home import Home

    local.down(Home.find(), say=output().note)
    output().result({"stopped": True})


@command(stack, "status")
def status() -> None:
    """Show which parts run, and where.

    [bold]Example:[/bold]  feedmill stack status --json

    Exits with 3 if a part does not run or does not answer.
    """
    from feedmill.local import stack as local
    from feedmill.local.home import Home

    states = local.status(Home.find())
    rows = [
        (
            state.component,
            state.condition,
            state.pid or "",
            state.where or (f"log: {state.log}" if state.condition in ("died", "not answering") else ""),
        )
        for state in states
    ]
    output().result([asdict(state) for state in states], listing(("component", "condition", "pid", "where"), rows))
    ended(Exit.OK if all(state.condition == "running" for state in states) else Exit.UNREACHABLE)
