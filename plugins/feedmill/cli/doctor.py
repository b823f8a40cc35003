"""``feedmill doctor``: what the ledger, Iceberg and the landing zone disagree on, and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedmill.cli.command import ended, output
from feedmill.cli.exits import Exit
from feedmill.cli.options import utc_now

if TYPE_CHECKING:
    from rich.console import RenderableType

    from feedmill.doctor.findings import Finding


def doctor(
    tables: Annotated[list[str] | None, typer.Argument(metavar="[TABLE…]", help="Only these; without, all.")] = None,
    mend: Annotated[
        bool,
        typer.Option(
            "--mend",
            help="First mend what is always safe: record commits that the ledger lacks, settle intents, mark dead "
            "builds as interrupted, drop branches that nobody needs, and registrations of files that were moved out of "
            "a wrong hour. No row changes.",
        ),
    ] = False,
    rows: Annotated[
        bool,
        typer.Option("--rows", help="Also read every published row (in Spark) and every registered file again."),
    ] = False,
) -> None:
    """Compare ledger, Iceberg and landing zone; each finding says how to mend it.

    [bold]Examples:[/bold]  feedmill doctor

      feedmill doctor events.clean --rows

      feedmill doctor --mend

    Harmless at any time. What is stale or overdue is no finding: `feedmill status` shows it.

    Of rows that other code than today's made, --rows says how many it could not compare: their columns may be others.

    Exits with 0 where all agree, 1 with findings.
    """
    from feedmill.deployment import open_deployment
    from feedmill.doctor import examination
    from feedmill.doctor.findings import findings, not_compared

    out = output()
    deployment = open_deployment()
    chosen = [deployment.tables[name] for name in tables] if tables else list(deployment.tables)
    with out.steps(f"looking at {len(chosen)} tables"):
        if mend:
            examination.mend(deployment, chosen, utc_now())
        facts = examination.examine(deployment, chosen, utc_now(), rows=rows)
    found = findings(facts)
    out.result([_plain(one) for one in found], _text(found, len(chosen)))
    for sentence in not_compared(facts):
        out.note(sentence, style="yellow")
    ended(Exit.PROBLEM if found else Exit.OK)


def _plain(one: Finding) -> dict[str, Any]:
    from feedmill.doctor.findings import MENDED

    return {
        "ill": one.ill.value,
        "table": one.table or None,
        "what": one.what,
        "mend": one.mend,
        "names": list(one.names),
        "mended_by_doctor": one.ill in MENDED,
    }


def _text(found: list[Finding], tables: int) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    if not found:
        return f"Well: ledger, Iceberg and landing zone agree on {tables} tables."
    return Group(*(Text.assemble((f"{one.ill.value}  ", "bold"), str(one)) for one in found))
