"""The whole local stack: ``up``, ``down``, ``status`` and ``clean``.

The command line calls these. Each may be called again at any time. Errors are StackErrors: one sentence, and the end of
a log if there is one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from feedmill.local import preflight
from feedmill.local.airflow import LOGIN, Airflow
from feedmill.local.home import Home, StackError, port_variable, write_private
from feedmill.local.postgres import Postgres
from feedmill.local.process import Component, kill, leftovers
from feedmill.local.spark import SparkServer

Condition: TypeAlias = Literal["running", "not answering", "died", "stopped"]


@dataclass(frozen=True)
class State:
    """The state of one component. ``died``: it was started, nobody stopped it, and it does not run."""

    component: str
    condition: Condition
    pid: int | None
    where: str
    """Its address; empty if it has none."""
    log: Path


@dataclass(frozen=True)
class Access:
    """The address of the UI, and the login."""

    url: str
    login: str
    password: str


def up(home: Home, say: Callable[[str], None] = print) -> Access:
    """Start every part that does not run, and return when all parts are healthy. Parts that run are left alone."""
    home_was = home.env()
    if not home_was:
        preflight.disk(next(folder for folder in home.path.parents if folder.exists()))
    _ports_may_change(home, home_was)
    home.prepare()
    with home.lock("stack"):
        postgres, spark, airflow = Postgres(home), SparkServer(home), Airflow(home)
        missing = [state.component for state in status(home) if state.condition != "running"]
        if missing:
            if len(missing) > 3:
                preflight.memory()
                preflight.disk(home.path)
            _free_ports(home)
            # Processes whose parents were killed would hold ports and tables.
            kill(leftovers(home))
            say(f"Starting {', '.join(missing)} …")
            postgres.start()
            spark.launch()
            with ThreadPoolExecutor() as pool:
                ledger = pool.submit(_migrate_ledger, home, postgres)
                # Its imports take long, and it waits for the API server before it touches the database.
                airflow.launch("scheduler")
                airflow.set_up()
                ledger.result()
            airflow.launch()
            spark.wait()
            airflow.wait()
        else:
            postgres.start()
            _migrate_ledger(home, postgres)
            airflow.set_up()
    access = Access(airflow.url, LOGIN, airflow.password)
    say(f"Airflow: {access.url}  user {access.login}  password {access.password}")
    return access


def down(home: Home, say: Callable[[str], None] = print) -> None:
    """Stop everything, also children of killed parents. PostgreSQL stops last, so that the others can finish."""
    if not home.exists():
        say("Nothing runs.")
        return
    with home.lock("stack"):
        with ThreadPoolExecutor() as pool:
            for stopping in [pool.submit(Airflow(home).stop), pool.submit(SparkServer(home).stop)]:
                stopping.result()
        Postgres(home).stop()
        kill(leftovers(home))
    say("Stopped.")


def status(home: Home) -> list[State]:
    """The state of each component, in the order in which they are started."""
    postgres, spark, airflow = Postgres(home), SparkServer(home), Airflow(home)

    def state(component: Component, answers: bool, where: str = "") -> State:
        pid = component.pid()
        condition: Condition
        if pid is not None:
            condition = "running" if answers else "not answering"
        else:
            condition = "died" if component.expected() else "stopped"
        return State(component.name, condition, pid, where, home.logs / f"{component.name}.log")

    if not home.exists():
        names = ["postgres", "spark-supervisor", "spark", *airflow.components]
        return [State(name, "stopped", None, "", home.logs / f"{name}.log") for name in names]
    unhealthy = set(airflow.unhealthy())
    return [
        state(postgres.component, postgres.ready(), f"127.0.0.1:{postgres.port}"),
        state(spark.supervisor, True),
        state(spark.component, spark.ready(), f"sc://localhost:{spark.port}"),
        *(
            state(
                component,
                name not in unhealthy,
                airflow.url if name == "api-server" else "",
            )
            for name, component in airflow.components.items()
        ),
    ]


def clean(home: Home, say: Callable[[str], None] = print) -> None:
    """Stop everything and delete the home, data included."""
    if home.exists():
        down(home, say)
        Postgres(home).delete()
    shutil.rmtree(home.path, ignore_errors=True)


def _ports_may_change(home: Home, known: dict[str, str]) -> None:
    """Refuse a new port for a component that runs on the old one."""
    running = {"airflow": "api-server", "postgres": "postgres", "spark": "spark"}
    for component, name in running.items():
        variable = port_variable(component)
        wanted, old = os.environ.get(variable), known.get(variable)
        if wanted and old and wanted != old and Component(home, name).pid() is not None:
            raise StackError(f"{component} runs on port {old} and {variable} asks for {wanted}: make down first.")


def _free_ports(home: Home) -> None:
    """Check, before anything is started, that each port is free or held by our own component."""
    owners = {"postgres": ["postgres"], "spark": ["spark"], "airflow": ["api-server"]}
    for component, names in owners.items():
        if all(Component(home, name).pid() is None for name in names):
            preflight.port(component, home.port(component))


def _migrate_ledger(home: Home, postgres: Postgres) -> None:
    """Bring the ledger's tables up to date, once for each content of its modules and version of its database.

    The version comes from the database itself, because a new database or an older dump has another one.
    """
    modules = sorted(Path(__file__).parents[1].glob("ledger/**/*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in modules)).hexdigest()
    done = home.path / "ledger-migrated"
    if done.exists() and done.read_text() == f"{digest} {postgres.ledger_version()}":
        return
    # Imported here, because Alembic and the ledger's modules take half a second, and status and down do not need them.
    from feedmill.ledger.store import migrate

    migrate(postgres.url("ledger"))
    write_private(done, f"{digest} {postgres.ledger_version()}")
