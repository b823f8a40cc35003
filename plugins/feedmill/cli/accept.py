"""``feedmill accept``: publish a held partition as it is, because a person says so."""

from __future__ import annotations

from typing import Annotated

import typer

from feedmill.cli.command import ended, output
from feedmill.cli.options import ledger_and_lake, table_of
from feedmill.errors import Exit
from feedmill.timeline import parse


def accept(
    build: Annotated[
        str, typer.Argument(metavar="BUILD", help="The build of the held partition: `feedmill status` names it.")
    ],
    partition: Annotated[str, typer.Argument(metavar="PARTITION", help="For example 2026-05-01T13 or 2026-05-01.")],
    name: Annotated[str, typer.Option(help="Your name. The ledger keeps it.")],
    reason: Annotated[str, typer.Option(help="Why the rows are right. The ledger keeps it.")],
) -> None:
    """Publish a partition that failed its check. The build's other held partitions stay held.

    [bold]Example:[/bold]  feedmill accept 0f3a… 2026-05-01T13 --name "Ada" --reason "The outage of INC-1234: no events"

    Exits with 1 if other partitions of the build stay held or the build is too old to be published, and with 2 if
    there is nothing to accept.
    """
    from feedmill.flow.publish import publish, require_publishable
    from feedmill.ledger import builds, verdicts

    out = output()
    ledger, lake = ledger_and_lake()
    with ledger.transaction() as session:
        found = builds.get(session, build)
    table = table_of(found.table_name)
    # This comes first: an accepted partition that cannot be published would not be held, and all would wait for it.
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
