"""The local stack's home: one folder with its secrets, ports, logs, pid files and data.

The folder is ``<project>/.feedmill`` unless FEEDMILL_HOME names another. Secrets, ports and the first hour are decided
once and kept in ``stack.env``, which only its owner can read.
"""

from __future__ import annotations

import base64
import fcntl
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Self

from feedmill.airflow_settings import load
from feedmill.connections import Connection, of_settings
from feedmill.errors import Exit, FeedmillError, Turn
from feedmill.project import home_path, project_path, stack_env

PORTS: dict[str, int] = {"airflow": 8080, "postgres": 5455, "spark": 15002, "trino": 8090}
"""The default port of each component. ``FEEDMILL_PORT_<COMPONENT>`` changes it, and ``stack.env`` keeps the change."""


SECRET = ("_PASSWORD", "_TOKEN", "_KEY", "_SECRET")
"""How the name of a generated secret ends, in ``stack.env``."""


class StackError(FeedmillError, code=Exit.UNREACHABLE, retry=True, turn=Turn.OPERATOR):
    """The local stack cannot do what it was asked. The message is one sentence that says what to do."""


def port_variable(component: str) -> str:
    """The environment variable that sets a component's port."""
    return f"FEEDMILL_PORT_{component.upper()}"


def free_ports() -> dict[str, int]:
    """A free port for each component, for a stack that runs beside another one."""
    held = {component: socket.create_server(("127.0.0.1", 0)) for component in PORTS}
    ports = {component: held_socket.getsockname()[1] for component, held_socket in held.items()}
    for held_socket in held.values():
        held_socket.close()
    return ports


@dataclass(frozen=True)
class Home:
    """The folder of one local stack. ``prepare`` makes it; all other methods only read it."""

    path: Path
    project: Path = field(default_factory=project_path)

    @classmethod
    def find(cls) -> Self:
        """The home that FEEDMILL_HOME names, or else the project's."""
        return cls(home_path())

    @property
    def env_file(self) -> Path:
        """Secrets, ports and the first hour, as NAME=value lines."""
        return self.path / "stack.env"

    @property
    def settings_file(self) -> Path:
        """The project's connections and pools, with placeholders."""
        return self.project / "airflow_settings.yaml"

    @property
    def logs(self) -> Path:
        """Every component's log."""
        return self.path / "logs"

    @property
    def run(self) -> Path:
        """Pid files."""
        return self.path / "run"

    @property
    def warehouse(self) -> Path:
        """Where the Iceberg tables' files are."""
        return self.path / "warehouse"

    @property
    def landing(self) -> Path:
        """The landing zone."""
        return self.path / "landing"

    @property
    def pages(self) -> Path:
        """The check pages."""
        return self.path / "pages"

    @property
    def alerts(self) -> Path:
        """What the alerts said: a Markdown file, the channel of a stack that has no other."""
        return self.path / "alerts.md"

    def exists(self) -> bool:
        """Whether ``prepare`` was ever called."""
        return self.env_file.exists()

    def prepare(self, ports: Mapping[str, int] | None = None) -> Self:
        """Make the folders, and decide what is still open. Earlier decisions stay, unless the caller names other ones.

        ``ports`` and the variables FEEDMILL_PORT_* name ports; FEEDMILL_SINCE names the first hour.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        # If we are root, PostgreSQL runs as another user, who must be able to enter this folder: see postgres.py.
        self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for folder in (self.logs, self.run, self.warehouse, self.landing, self.pages):
            folder.mkdir(mode=0o700, exist_ok=True)
        with self.lock("env"):
            known = self.env()
            decided = {**_decisions(self), **known}
            for component in PORTS:
                name = port_variable(component)
                if ports and component in ports:
                    decided[name] = str(ports[component])
                elif os.environ.get(name):
                    decided[name] = os.environ[name]
                if not decided[name].isdigit() or not 0 < int(decided[name]) < 65536:
                    raise StackError(f"{name}={decided[name]} is not a port: give a number from 1 to 65535.")
            decided["FEEDMILL_SINCE"] = os.environ.get("FEEDMILL_SINCE") or decided["FEEDMILL_SINCE"]
            if decided != known:
                write_private(self.env_file, "".join(f"{name}={value}\n" for name, value in decided.items()))
        return self

    def env(self) -> dict[str, str]:
        """What was decided: ports, secrets, places. Empty before ``prepare``."""
        return stack_env(self.path)

    def secrets(self) -> list[str]:
        """Every secret that was generated."""
        return [value for name, value in self.env().items() if name.endswith(SECRET)]

    def connections(self) -> dict[str, Connection]:
        """The stack's connections, by id."""
        return of_settings(load(self.settings_file, self.env()))

    def port(self, component: str) -> int:
        """The port that a component listens on."""
        return int(self.env()[port_variable(component)])

    @property
    def stack_id(self) -> str:
        """Every process of this stack carries this id in its environment, so that ``leftovers`` finds all of them."""
        return self.env()["FEEDMILL_STACK_ID"]

    def process_env(self) -> dict[str, str]:
        """The environment of this stack's processes: the caller's, and the decisions of ``stack.env``."""
        # Without bytecode files each of these processes would compile Airflow again: 20 CPU seconds each.
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {
            **inherited,
            **self.env(),
            "FEEDMILL_HOME": str(self.path),
            "PYTHONPATH": os.pathsep.join([str(self.project), str(self.project / "plugins")]),
            # setproctitle would overwrite what /proc shows of the environment, FEEDMILL_STACK_ID included.
            "SPT_NOENV": "1",
            "TZ": "UTC",
        }

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """A lock that one process holds at a time; others wait for it."""
        with (self.path / f".{name}.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def open_log(self, component: str) -> IO[bytes]:
        """A component's log, opened to append, which :mod:`feedmill.local.logs` relies on."""
        path = self.logs / f"{component}.log"
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")

    def log_tail(self, component: str, lines: int = 12) -> str:
        """The last lines of a component's log, to be shown with an error."""
        path = self.logs / f"{component}.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        return "\n".join(f"    {line[:300]}" for line in text.splitlines()[-lines:])


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can ever read. It replaces an old file in one step."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)
    draft.replace(path)


def _decisions(home: Home) -> dict[str, str]:
    """The values that a new home decides once. Secrets are URL-safe, because they become parts of URLs."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return {
        "FEEDMILL_STACK_ID": secrets.token_hex(8),
        "FEEDMILL_SINCE": hour.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "FEEDMILL_POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        "FEEDMILL_SPARK_TOKEN": secrets.token_urlsafe(24),
        "FEEDMILL_AIRFLOW_PASSWORD": secrets.token_urlsafe(12),
        "FEEDMILL_AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "FEEDMILL_AIRFLOW_JWT_SECRET": secrets.token_urlsafe(48),
        "FEEDMILL_AIRFLOW_SECRET_KEY": secrets.token_urlsafe(48),
        "FEEDMILL_WAREHOUSE": home.warehouse.as_uri(),
        "FEEDMILL_LANDING": home.landing.as_uri(),
        "FEEDMILL_PAGES": home.pages.as_uri(),
        "FEEDMILL_ALERTS": str(home.alerts),
        **{port_variable(component): str(port) for component, port in PORTS.items()},
    }
