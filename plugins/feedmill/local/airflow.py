"""Airflow on the local stack: its environment, its four processes, and whether they are healthy.

We start them one by one, because ``airflow standalone`` leaves orphans when it is stopped, and restarts nothing.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

from feedmill.local.home import Home, StackError, write_private
from feedmill.local.postgres import Postgres
from feedmill.local.process import Component, stop, wait_until

LOGIN = "admin"

# Logs are read from the files: --skip-serve-logs keeps two servers from listening on every interface.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "api-server": ("-m", "airflow", "api-server"),
    "scheduler": ("-m", "feedmill.local.scheduler"),
    "dag-processor": ("-m", "airflow", "dag-processor"),
    "triggerer": ("-m", "airflow", "triggerer", "--skip-serve-logs"),
}

HEALTH = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}
"""The name of each process in Airflow's health report."""


class Airflow:
    """The Airflow of one home folder."""

    def __init__(self, home: Home, python: str = sys.executable) -> None:
        """``python`` runs the four processes."""
        self.home = home
        self.python = python
        self.folder = home.path / "airflow"
        self.components = {name: Component(home, name) for name in COMMANDS}

    @property
    def port(self) -> int:
        """Where the UI and the API listen, on 127.0.0.1."""
        return self.home.port("airflow")

    @property
    def url(self) -> str:
        """The UI."""
        return f"http://localhost:{self.port}"

    @property
    def password(self) -> str:
        """The password of user ``admin``."""
        return self.home.env()["FEEDMILL_AIRFLOW_PASSWORD"]

    def environment(self) -> dict[str, str]:
        """The environment of every Airflow process of this stack."""
        env = self.home.env()
        base = f"http://127.0.0.1:{self.port}"
        logs = self.home.logs / "airflow"
        return {
            **self.home.process_env(),
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.home.project / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.home.project / "plugins"),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "6",
            # Python 3.14's default, forkserver, imports everything anew in each worker: see scheduler.py.
            "AIRFLOW__CORE__MP_START_METHOD": "fork",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__FERNET_KEY": env["FEEDMILL_AIRFLOW_FERNET_KEY"],
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{LOGIN}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.folder / "passwords.json"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{base}/execution/",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": Postgres(self.home).url("airflow"),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": env["FEEDMILL_AIRFLOW_SECRET_KEY"],
            "AIRFLOW__API_AUTH__JWT_SECRET": env["FEEDMILL_AIRFLOW_JWT_SECRET"],
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(logs),
            "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(logs / "dag_processor"),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "GX_ANALYTICS_ENABLED": "False",
            # macOS ends a process that forks after Objective-C was touched.
            **({"OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES"} if sys.platform == "darwin" else {}),
        }

    def set_up(self) -> None:
        """Migrate Airflow's database, and load connections and pools. Done once for each version and settings file."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        write_private(self.folder / "passwords.json", json.dumps({LOGIN: self.password}))
        state = self._state()
        done = self.folder / "set-up"
        if done.exists() and done.read_text() == state:
            return
        with self.home.open_log("airflow-setup") as log:
            ended = subprocess.run(
                [sys.executable, "-m", "feedmill.local.airflow_setup"],
                env=self.environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if ended.returncode:
            raise StackError(f"Airflow's set-up failed; the end of its log:\n{self.home.log_tail('airflow-setup')}")
        write_private(done, state)

    def launch(self, *names: str) -> None:
        """Start the named processes (by default all) unless they run. Call ``wait`` to wait for them."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        for name in names or self.components:
            if self.components[name].pid() is None:
                argv = [self.python, *COMMANDS[name]]
                self.components[name].start(argv, env=self.environment(), cwd=self.folder)

    def wait(self, seconds: float = 180) -> None:
        """Wait until every process is healthy. If one is not, raise StackError with the end of its log."""
        sick = list(self.components)

        def settled() -> bool:
            # The answer is kept: on a busy machine the next one may be late.
            sick[:] = self.died() or self.unhealthy()
            return not sick or bool(self.died())

        wait_until(settled, seconds, every=0.5)
        for name in sick:
            raise StackError(f"Airflow's {name} did not start; the end of its log:\n{self.home.log_tail(name)}")

    def died(self) -> list[str]:
        """The names of processes that have died."""
        return [name for name, component in self.components.items() if component.pid() is None]

    def unhealthy(self) -> list[str]:
        """The names of processes that do not run, do not answer, or have sent no heartbeat lately.

        A heartbeat must be younger than the start of the process and the last start of PostgreSQL. Airflow calls a
        process healthy for 30 seconds after its last one. In this time it may have died with PostgreSQL, or hang.
        """
        report = self.health()
        names = [] if report else ["api-server"]
        floor = Component(self.home, "postgres").started() or 0.0
        for name, key in HEALTH.items():
            beat, started = _beat(report, key), self.components[name].started()
            fresh = beat is not None and started is not None and beat > max(started, floor)
            healthy = (report.get(key) or {}).get("status") == "healthy"
            if self.components[name].pid() is None or not healthy or not fresh:
                names.append(name)
        return names

    def was_healthy(self, name: str) -> bool:
        """Whether a process has beaten since it was started: it is no longer starting."""
        beat, started = _beat(self.health(), HEALTH.get(name, "")), self.components[name].started()
        return beat is not None and started is not None and beat > started

    def health(self) -> dict[str, Any]:
        """Airflow's own report; empty if the API does not answer."""
        if self.components["api-server"].pid() is None:
            return {}
        # A ValueError: what answers on this port does not speak JSON.
        with suppress(httpx.HTTPError, ValueError):
            answer = httpx.get(f"http://127.0.0.1:{self.port}/api/v2/monitor/health", timeout=5)
            return dict(answer.raise_for_status().json())
        return {}

    def stop(self) -> None:
        """Stop them all at once."""
        stop(self.components.values(), grace=10)

    def _state(self) -> str:
        """What the set-up depends on, as a digest."""
        parts = [
            version("apache-airflow-core"),
            self.home.settings_file.read_text(),
            self.home.env_file.read_text(),
        ]
        parts.append(Path(__file__).with_name("airflow_setup.py").read_text())
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _beat(report: Mapping[str, Any], key: str) -> float | None:
    """When a process beat last, in seconds since the epoch; None if it never did."""
    beat = (report.get(key) or {}).get(f"latest_{key}_heartbeat")
    return None if beat is None else datetime.fromisoformat(beat).timestamp()
