"""``feedmill doctor``: where ledger, Iceberg and landing zone disagree, and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from feedmill.cli.command import ended, output
from feedmill.cli.options import utc_now
from feedmill.errors import Exit

if TYPE_CHECKING:
    from rich.console import RenderableType

    from feedmill.doctor.rule import Finding


def doctor(
    tables: Annotated[list[str] | None, typer.Argument(metavar="[TABLE…]", help="Default: all tables.")] = None,
    mend: Annotated[
        bool,
        typer.Option(
            "--mend",
            help="First mend what is always safe to mend: record commits that the ledger lacks, close the intents of "
            "dead publishes, mark dead builds as interrupted, drop branches that nobody needs, and forget files that "
            "were moved out of the folder of a wrong hour. No row changes.",
        ),
    ] = False,
    rows: Annotated[
        bool,
        typer.Option("--rows", help="Also read all published rows (in Spark) and all registered files again."),
    ] = False,
) -> None:
    """Compare ledger, Iceberg and landing zone; each finding says how to mend it.

    [bold]Examples:[/bold]  feedmill doctor

      feedmill doctor events.clean --rows

      feedmill doctor --mend

    It is harmless at any time. Stale or overdue partitions are no findings: `feedmill status` shows them.

    --rows cannot compare partitions that older code built, because their columns may differ. It says how many.

    Exits with 0 if there are no findings, else with 1.
    """
    from feedmill.deployment import open_deployment
    from feedmill.doctor import examination, rules
    from feedmill.doctor.table_rules import not_compared

    out = output()
    deployment = open_deployment()
    chosen = [deployment.tables[name] for name in tables] if tables else list(deployment.tables)
    with out.steps(f"looking at {len(chosen)} tables"):
        if mend:
            rules.mend(deployment, chosen, utc_now())
        facts = examination.examine(deployment, chosen, utc_now(), rows=rows)
    found = rules.findings(facts)
    out.result([_plain(one) for one in found], _text(found, len(chosen)))
    for sentence in not_compared(facts):
        out.note(sentence, style="yellow")
    ended(Exit.PROBLEM if found else Exit.OK)


def _plain(one: Finding) -> dict[str, Any]:
    return {
        "ill": one.ill,
        "table": one.table or None,
        "what": one.what,
        "mend": one.mend,
        "names": list(one.names),
        "mended_by_doctor": one.by_doctor,
    }


def _text(found: list[Finding], tables: int) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    if not found:
        return f"All is well: ledger, Iceberg and landing zone agree on {tables} tables."
    return Group(*(Text.assemble((f"{one.ill}  ", "bold"), str(one)) for one in found))
