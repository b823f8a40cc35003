"""``feedmill ledger``: commands for the ledger as a whole."""

from __future__ import annotations

from dataclasses import asdict

import typer

from feedmill.cli.command import command, output
from feedmill.cli.options import utc_now

ledger = typer.Typer(no_args_is_help=True, help="Bring the ledger's schema up to date, or rebuild a lost ledger.")


@command(ledger, "migrate")
def migrate() -> None:
    """Bring the ledger's schema up to date, in the database of the connection `feedmill_ledger`.

    [bold]Example:[/bold]  feedmill ledger migrate

    `make up` does this for the local stack. Elsewhere, run it before Airflow starts and after each upgrade. All rows
    stay. You may repeat it, and even run it twice at the same time.
    """
    from feedmill import connections
    from feedmill.ledger import store

    out = output()
    with out.steps("migrating the ledger"):
        store.migrate(connections.ledger_url())
    out.result({}, "The ledger's schema is up to date.")


@command(ledger, "rebuild")
def rebuild() -> None:
    """Rebuild a lost or restored ledger from Iceberg's commits and the landing zone.

    [bold]Example:[/bold]  feedmill ledger rebuild && feedmill doctor

    The database must exist, with its schema up to date (`feedmill ledger migrate`). It may be empty or an older dump.
    Running builds are interrupted. Builds that were not published cannot be published any more: build them again.
    Afterwards no stale partition looks fresh.

    Exits with 0. The result names what it could not bring back; `feedmill status` shows that as stale or outdated.
    """
    from feedmill.deployment import open_deployment
    from feedmill.doctor.rebuild import rebuild as bring_back

    out = output()
    with out.steps("reading Iceberg's commits"):
        done = bring_back(open_deployment(), utc_now())
    lines = [
        f"The ledger is rebuilt, in epoch {done.epoch}; its numbers go on from {done.counter:,}. "
        f"{done.partitions:,} partitions came back from {done.commits:,} commits. "
        f"{done.files:,} files are registered as before, {done.newly_found:,} as new.",
        *(
            f"{name}: {len(partitions):,} partitions are outdated now, because their commits had expired."
            for name, partitions in done.without_commit.items()
        ),
        *(
            f"Files of {kind}: in {len(hours):,} arrival hours the files are not those that builds had read. The "
            "partitions that read them are stale or outdated now."
            for kind, hours in done.doubtful.items()
        ),
    ]
    out.result(asdict(done), "\n".join(lines))
