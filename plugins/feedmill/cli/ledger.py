"""``feedmill ledger``: what is done to the ledger as a whole."""

from __future__ import annotations

from dataclasses import asdict

import typer

from feedmill.cli.command import command, output
from feedmill.cli.options import utc_now

ledger = typer.Typer(no_args_is_help=True, help="The ledger: its tables, and what was lost of it.")


@command(ledger, "migrate")
def migrate() -> None:
    """Bring the database of the connection `feedmill_ledger` to this version's tables.

    [bold]Example:[/bold]  feedmill ledger migrate

    `make up` does it for the local stack. Elsewhere: before Airflow starts, and after each upgrade. Rows stay; it is
    harmless to repeat, and safe to run twice at once.
    """
    from feedmill import connections
    from feedmill.ledger import store

    out = output()
    with out.steps("bringing the ledger to its tables"):
        store.migrate(connections.ledger_url())
    out.result({}, "The ledger has this version's tables.")


@command(ledger, "rebuild")
def rebuild() -> None:
    """Bring a lost or restored ledger up to what Iceberg's commits and the landing zone say.

    [bold]Example:[/bold]  feedmill ledger rebuild && feedmill doctor

    The database must be there and have its tables (`feedmill ledger migrate`); it may be empty, or an older dump.
    Builds at work are interrupted, and builds of before are refused at publish: build them again. Afterwards nothing
    that is stale looks fresh.

    Exits with 0; what it could not bring back stands in its result, and is stale or outdated in `feedmill status`.
    """
    from feedmill.deployment import open_deployment
    from feedmill.doctor.rebuild import rebuild as bring_back

    out = output()
    with out.steps("reading Iceberg's commits"):
        done = bring_back(open_deployment(), utc_now())
    lines = [
        f"Epoch {done.epoch}, numbers go on from {done.counter:,}: {done.commits:,} commits gave "
        f"{done.partitions:,} partitions; {done.files:,} files registered as they were, {done.newly_found:,} newly.",
        *(
            f"{name}: {len(partitions):,} partitions whose commits were expired are outdated now."
            for name, partitions in done.without_commit.items()
        ),
        *(
            f"Files of {kind}: {len(hours):,} arrival hours do not hold the files that were read; what read them is "
            "stale or outdated now."
            for kind, hours in done.doubtful.items()
        ),
    ]
    out.result(asdict(done), "\n".join(lines))
