"""The whole local stack: ``up``, ``down``, ``status`` and ``clean``.

The command line calls these. Each may be called again at any time. Errors are StackErrors: one sentence, and the end of
a log if there is one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from feedmill.local import logs, preflight
from feedmill.local.airflow import LOGIN, Airflow
from feedmill.local.home import Home, StackError, port_variable, write_private
from feedmill.local.postgres import Postgres
from feedmill.local.process import Component, kill, leftovers, stop
from feedmill.local.spark import SparkServer
from feedmill.local.watch import Watching

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


STARTS = 3
"""How often one ``up`` starts a part."""

SILENCE = 30.0
"""Seconds for which a part that was well may be silent before it is started again. Airflow beats every 5 seconds."""

STARTING = 300.0
"""Seconds that a part may take until it answers for the first time; Spark downloads 60 MB then."""


RELEASE = 15.0
"""Seconds for which a killed part may hold its port. Java's first thread is gone before its two gigabytes are."""


def up(home: Home, say: Callable[[str], None] = print) -> Access:
    """Start every part that does not run or does not answer, and return when all parts are healthy.

    Healthy parts are left alone. If a part dies while we wait for it, it is started again.

    Raises:
        StackError: a part does not start; the message ends with the end of its log.
    """
    home_was = home.env()
    if not home_was:
        preflight.disk(next(folder for folder in home.path.parents if folder.exists()))
    _ports_may_change(home, home_was)
    home.prepare()
    with home.lock("stack"):
        logs.bound(home)
        sick = [state for state in status(home) if state.condition != "running"]
        if len([state for state in sick if state.pid is None]) > 3:
            preflight.memory()
            preflight.disk(home.path)
        # Processes whose parents were killed would hold ports and tables.
        kill(leftovers(home))
        _free_ports(home)
        if sick:
            say(f"Starting {', '.join(state.component for state in sick)} …")
        parts = _Parts(home, say)
        parts.start()
        parts.settle()
    airflow = parts.airflow
    access = Access(airflow.url, LOGIN, airflow.password)
    say(f"Airflow: {access.url}  user {access.login}  password {access.password}")
    return access


class _Parts:
    """The parts of a stack that is being started."""

    def __init__(self, home: Home, say: Callable[[str], None]) -> None:
        self.home = home
        self.say = say
        self.postgres, self.spark, self.airflow = Postgres(home), SparkServer(home), Airflow(home)
        self.watching = Watching(home)
        self._starts: Counter[str] = Counter()
        self._spark_starts = self._of_supervisor()
        self._since: dict[str, float] = {}

    def start(self) -> None:
        """Start what does not run, each part as early as it can be."""
        self.postgres.start()
        self.spark.launch()
        for last in (False, False, True):
            try:
                self._prepare()
                break
            except Exception:
                # Of whatever kind, if PostgreSQL died under it.
                if last or self.postgres.ready():
                    raise
                self.postgres.start()
        self.airflow.launch()

    def _prepare(self) -> None:
        with ThreadPoolExecutor() as pool:
            ledger = pool.submit(_migrate_ledger, self.home, self.postgres)
            # Its imports take long, and it waits for the API server before it touches the database.
            self.airflow.launch("scheduler")
            self.airflow.set_up()
            ledger.result()

    def settle(self) -> None:
        """Wait until every part is healthy. Start again what dies meanwhile, and what stays silent."""
        while sick := [state for state in status(self.home) if state.condition != "running"]:
            if [state.component for state in sick] == ["watch"]:
                # Last of all: until then it would tell people that the others do not answer.
                self.watching.launch()
                continue
            now = time.monotonic()
            self._since = {state.component: self._since.get(state.component, now) for state in sick}
            for state in sick:
                if state.component != "watch":
                    self._look_after(state, now)
            time.sleep(0.5)

    def _look_after(self, state: State, now: float) -> None:
        name = state.component
        if name == "spark" and state.pid is None:
            # The supervisor starts it.
            if self._of_supervisor() - self._spark_starts >= STARTS:
                self.spark.stop()
                raise self._never_well(state)
        elif state.pid is None:
            self._again(state, "died")
        elif now - self._since.get(name, now) > (SILENCE if self._is_past_its_start(name) else STARTING):
            self._again(state, "does not answer")

    def _is_past_its_start(self, name: str) -> bool:
        """Whether it answered before, or had the time to."""
        started = Component(self.home, name).started()
        old = started is not None and time.time() - started > STARTING
        # PostgreSQL's own start tells a server that recovers from one that hangs.
        return old or name == "postgres" or (name in self.airflow.components and self.airflow.was_healthy(name))

    def _again(self, state: State, why: str) -> None:
        name = state.component
        self._starts[name] += 1
        if self._starts[name] > STARTS:
            raise self._never_well(state)
        self.say(f"{name} {why}: starting it again …")
        self._since.pop(name, None)
        if name == "postgres":
            self.postgres.start()
            # Whatever talks to it has as long again.
            self._since.clear()
        elif name == "spark-supervisor":
            self.spark.launch()
        elif name == "spark":
            stop([self.spark.component])
        else:
            stop([self.airflow.components[name]], grace=5)
            self.airflow.launch(name)

    def _of_supervisor(self) -> int:
        return int(self.spark.component.record().get("restarts", 0))

    def _never_well(self, state: State) -> StackError:
        name = state.component
        return StackError(f"{name} does not start; the end of its log:\n{self.home.log_tail(name)}")


def down(home: Home, say: Callable[[str], None] = print) -> None:
    """Stop everything, also children of killed parents. PostgreSQL stops last, so that the others can finish."""
    if not home.exists():
        say("Nothing runs.")
        return
    with home.lock("stack"):
        Watching(home).stop()
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
        names = ["postgres", "spark-supervisor", "spark", *airflow.components, "watch"]
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
        state(Watching(home).component, True),
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
    owners = {"postgres": "postgres", "spark": "spark", "airflow": "api-server"}
    for component, name in owners.items():
        owner = Component(home, name)
        if owner.pid() is None:
            preflight.port(component, home.port(component), RELEASE if owner.expected() else 0.0)


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
