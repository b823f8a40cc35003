"""The application: its commands, in the order of a working day."""

from __future__ import annotations

import typer

from feedmill.cli.accept import accept
from feedmill.cli.build import build
from feedmill.cli.command import command
from feedmill.cli.demo import demo
from feedmill.cli.docs import docs
from feedmill.cli.doctor import doctor
from feedmill.cli.land import land
from feedmill.cli.ledger import ledger
from feedmill.cli.new_table import new_table
from feedmill.cli.simulate import simulate
from feedmill.cli.sql import sql
from feedmill.cli.stack import stack
from feedmill.cli.status import status

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Feedmill: the ETL behind a recommendation feed.",
    epilog=(
        "Exit codes: 0 fine, 1 a problem that a person must see to (such as a held partition), 2 a wrong request, "
        "3 a part of the stack does not answer, 4 another build is at work, 5 an unexpected error, 130 Ctrl-C."
    ),
)

command(app, "demo")(demo)
command(app, "land")(land)
command(app, "build")(build)
command(app, "status")(status)
command(app, "sql")(sql)
command(app, "accept")(accept)
command(app, "doctor")(doctor)
command(app, "new-table")(new_table)
command(app, "simulate")(simulate)
command(app, "docs")(docs)
app.add_typer(ledger, name="ledger")
app.add_typer(stack, name="stack")
