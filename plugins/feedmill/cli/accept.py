"""``feedmill accept``: a person's word that a held partition may be published as it is."""

from __future__ import annotations

from typing import Annotated

import typer

from feedmill.cli.command import ended, output
from feedmill.cli.exits import Exit
from feedmill.cli.options import ledger_and_lake, table_of
from feedmill.timeline import parse


def accept(
    build: Annotated[str, typer.Argument(metavar="BUILD", help="The build that holds it: `feedmill status` names it.")],
    partition: Annotated[str, typer.Argument(metavar="PARTITION", help="Such as 2026-05-01T13 or 2026-05-01.")],
    name: Annotated[str, typer.Option(help="Who says so; it stays in the ledger.")],
    reason: Annotated[str, typer.Option(help="Why its rows are right as they are; it stays in the ledger.")],
) -> None:
    """Publish a partition that failed its check, by name and with a reason; what else the build holds stays held.

    [bold]Example:[/bold]  feedmill accept 0f3a… 2026-05-01T13 --name "Ada" --reason "The outage of INC-1234: no events"

    Exits with 1 where the build keeps other partitions held or is too old to be published, 2 where there is nothing to
    accept.
    """
    from feedmill.flow.publish import publish, require_publishable
    from feedmill.ledger import builds, verdicts

    out = output()
    ledger, lake = ledger_and_lake()
    with ledger.transaction() as session:
        found = builds.get(session, build)
    table = table_of(found.table_name)
    # First: what is accepted and cannot be published would be held by nobody, and wanted by all.
    require_publishable(table, build, ledger, lake)
    with ledger.transaction() as session:
        verdicts.accept(session, found, parse(partition), name, reason)
    outcome = publish(table, build, ledger, lake)
    sentence = f"{table.name}: {outcome.describe(table.every)}"
    out.result(
        {
            "table": table.name,
            "build": build,
            "accepted": table.every.name_of(parse(partition)),
            "published": [table.every.name_of(p) for p in outcome.published],
            "superseded": [table.every.name_of(p) for p in outcome.superseded],
            "held": [table.every.name_of(p) for p in outcome.held],
        },
        sentence,
    )
    ended(Exit.PROBLEM if outcome.held else Exit.OK)
