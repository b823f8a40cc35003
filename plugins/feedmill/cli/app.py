"""The application and its commands, in four groups: a first look, your own table, on call, develop."""

from __future__ import annotations

import typer

from feedmill.cli.accept import accept
from feedmill.cli.account import account
from feedmill.cli.alerts import alerts
from feedmill.cli.build import build
from feedmill.cli.command import command
from feedmill.cli.demo import demo
from feedmill.cli.docs import docs
from feedmill.cli.doctor import doctor
from feedmill.cli.files import files
from feedmill.cli.land import land
from feedmill.cli.ledger import ledger
from feedmill.cli.maintainers import maintainers
from feedmill.cli.new_table import new_table
from feedmill.cli.simulate import simulate
from feedmill.cli.sql import sql
from feedmill.cli.stack import stack
from feedmill.cli.status import status
from feedmill.cli.watch import watch

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Feedmill: the ETL behind a recommendation feed. New here? Start with `feedmill demo`.",
    epilog=(
        "Exit codes: 0 fine, 1 a problem that a person must see to (such as a held partition), 2 a wrong request, "
        "3 a part of the stack does not answer, 4 another build is at work, 5 an unexpected error, 130 Ctrl-C."
    ),
)

FIRST, OWN, CALL, DEVELOP = "1. A first look", "2. Your own table", "3. On call", "4. Develop"
"""The steps of a newcomer, in the order in which ``--help`` lists them."""

command(app, "demo", FIRST)(demo)
command(app, "sql", FIRST)(sql)
app.add_typer(stack, name="stack", rich_help_panel=FIRST)
command(app, "new-table", OWN)(new_table)
command(app, "land", OWN)(land)
command(app, "build", OWN)(build)
command(app, "docs", OWN)(docs)
command(app, "status", CALL)(status)
app.add_typer(alerts, name="alerts", rich_help_panel=CALL)
command(app, "account", CALL)(account)
command(app, "accept", CALL)(accept)
app.add_typer(files, name="files", rich_help_panel=CALL)
command(app, "maintainers", CALL)(maintainers)
command(app, "doctor", CALL)(doctor)
command(app, "watch", CALL)(watch)
app.add_typer(ledger, name="ledger", rich_help_panel=CALL)
command(app, "simulate", DEVELOP)(simulate)
