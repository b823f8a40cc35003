"""spark-submit: one Spark application for each session, on the master that the connection names.

It runs in client mode. This process is the Python half of the driver; spark-submit starts the other half, a JVM, which
asks the cluster for executors. So builds, checks and housekeeping run the same code as over Spark Connect, and errors
keep their classes. The JVM reads a pipe that only this process holds, and ends when the pipe breaks. So the application
ends when this process is killed.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from feedmill import connections
from feedmill.connections import Connection, ConnectionNotDefinedError
from feedmill.spark import java
from feedmill.spark.archive import DUMP_SECONDS, Archive
from feedmill.spark.failures import SparkUnavailableError
from feedmill.spark.properties import (
    ONE_MACHINE,
    PACKAGES,
    package_settings,
    properties_text,
    secrets_of,
    session_settings,
)

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession

log = logging.getLogger(__name__)

START_SECONDS = 300.0
"""How long the JVM may take to report its port. It takes about 3 s, and downloads 60 MB the first time."""

END_SECONDS = 20.0
"""How long the JVM may take to end."""

GARBAGE_COLLECTOR = "-XX:+UseSerialGC"

LEAN = ("-XX:TieredStopAtLevel=1", GARBAGE_COLLECTOR)
"""Java's options on a local master. For an application that runs for seconds, the second compiler and a collector with
many threads cost more than they bring; docs/runners.md has the numbers."""

MEMORY = "2g"

_EXTRA = {"conf": dict, "cds": bool, "spark-home": str, "deploy-mode": str}
"""The keys that the connection's extra may have. Airflow's own hook uses the same names for the last two."""


@dataclass
class Application:
    """A running application; ``said`` holds the last lines that its JVM wrote."""

    session_id: str
    process: subprocess.Popen[str]
    said: deque[str] = field(default_factory=lambda: deque(maxlen=50))

    def kill(self) -> None:
        """End it at once, with all its child processes."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def last_words(self) -> str:
        """The line that says why it ended, if there is one."""
        telling = [line for line in self.said if re.search(r"exception|error", line, re.IGNORECASE)]
        return next(iter(telling or reversed(self.said)), "it wrote nothing")


_running: Application | None = None


@contextmanager
def session_on(connection: Connection, session_id: str) -> Iterator[SparkSession]:
    """The session of an application that ends with it. PySpark allows one at a time in a process.

    Raises:
        SparkUnavailableError: the application does not start, or it ended during the work.
        ConnectionNotDefinedError: the connection's fields are wrong for an application.
    """
    global _running
    if _running is not None:
        raise RuntimeError(f"this process has a Spark application already, of session {_running.session_id}")
    settings, archive = _settings(connection, session_id), None
    # Set for work over Spark Connect in this process; an application must not see it.
    connect_mode = os.environ.pop("SPARK_CONNECT_MODE_ENABLED", None)
    folder = Path(tempfile.mkdtemp(prefix="feedmill-spark-"))
    try:
        command, archive = _command(connection, settings, folder)
        application = _running = _start(session_id, command, folder, settings)
        try:
            session = _attach(application, folder)
            # Spark has read it by now. It holds a password, which must not stay on the disk after a kill.
            (folder / "spark.properties").unlink()
            try:
                yield cast("SparkSession", session)
            except Exception as error:
                raise _portable(error, application) from error.__cause__
            finally:
                _detach(session)
        finally:
            _end(application, DUMP_SECONDS if archive and archive.missing else END_SECONDS)
            if archive:
                archive.keep()
    finally:
        _running = None
        shutil.rmtree(folder, ignore_errors=True)
        if connect_mode is not None:
            os.environ["SPARK_CONNECT_MODE_ENABLED"] = connect_mode


def interrupt(session_id: str) -> None:
    """End the session's application if it is this process's. Others end with their process, or with their claim."""
    if _running is not None and _running.session_id == session_id:
        _running.kill()


def _settings(connection: Connection, session_id: str) -> dict[str, str]:
    """The application's settings. Those in the connection's ``conf`` override all others."""
    for name, value in connection.extra.items():
        if not isinstance(value, _EXTRA.get(name, ())):
            raise ConnectionNotDefinedError(
                # Without the value: it may be a secret, and the ledger stores this message.
                f"Connection {connection.conn_id} has {name!r} ({type(value).__name__}) in its extra, which a "
                "connection of type spark cannot have. It may have "
                f"{', '.join(f'{known} ({kind.__name__})' for known, kind in _EXTRA.items())}."
            )
    if connection.extra.get("deploy-mode", "client") != "client":
        raise ConnectionNotDefinedError(
            f"Connection {connection.conn_id} asks for deploy-mode {connection.extra['deploy-mode']}, but the task is "
            "the application's driver. Remove deploy-mode, or set it to client."
        )
    master = connection.spark_master
    own: dict[str, str] = {
        "spark.master": master,
        "spark.app.name": f"feedmill {session_id}",
        "spark.submit.deployMode": "client",
        "spark.driver.memory": MEMORY,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "WARN",
        **package_settings(),
        **session_settings(connections.get(connections.ICEBERG).catalog_properties),
    }
    if _is_local(master):
        own |= {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            # A cluster has its own secret. Here Spark makes one.
            "spark.authenticate": "true",
            "spark.driver.extraJavaOptions": " ".join(LEAN),
            **ONE_MACHINE,
        }
    return own | {name: str(value) for name, value in connection.extra.get("conf", {}).items()}


def _is_local(master: str) -> bool:
    """Whether the whole application is one process on this machine."""
    return re.fullmatch(r"local(\[.*\])?", master) is not None


def _command(connection: Connection, settings: dict[str, str], folder: Path) -> tuple[list[str], Archive | None]:
    """The command line. It holds no secret, because the settings are in a private file."""
    properties = folder / "spark.properties"
    end = ["--properties-file", str(properties), "pyspark-shell"]
    home = connection.extra.get("spark-home")
    archive = None
    if home is not None:
        command = [str(Path(home) / "bin" / "spark-submit"), *end]
    else:
        binary = java.find()
        # As the launcher does it: when Spark reads its file, the JVM runs already.
        options = settings.pop("spark.driver.extraJavaOptions", "").split()
        jars = _cached_jars() if settings.get("spark.jars.packages") == ",".join(PACKAGES) else []
        if jars and _is_local(settings["spark.master"]):
            # On the class path, jars need not be resolved and can be archived.
            settings.pop("spark.jars.packages")
        else:
            jars = []
        if connection.extra.get("cds"):
            spark_jars = sorted((java.spark_home() / "jars").glob("*.jar"))
            archive = Archive(binary, [*spark_jars, *jars], [o for o in options if re.fullmatch(r"-XX:\+Use\w+GC", o)])
        command = [
            str(binary),
            *java.MODULE_OPTIONS,
            f"-Xmx{settings['spark.driver.memory']}",
            "-XX:-UsePerfData",
            "-Duser.timezone=UTC",
            f"-Djava.io.tmpdir={folder}",
            *java.network_options(),
            *options,
            *(archive.options() if archive else []),
            "-cp",
            os.pathsep.join([f"{java.spark_home()}/jars/*", *map(str, jars)]),
            "org.apache.spark.deploy.SparkSubmit",
            *end,
        ]
    properties.touch(mode=0o600)
    properties.write_text(properties_text(settings))
    return command, archive


def _cached_jars() -> list[Path]:
    """The packages' jars in the cache, where Spark puts them; empty if one is missing."""
    folder = java.cache_folder() / "ivy" / "jars"
    jars = [folder / "{}_{}-{}.jar".format(*package.split(":")) for package in PACKAGES]
    return jars if all(jar.exists() for jar in jars) else []


def _start(session_id: str, command: list[str], folder: Path, settings: dict[str, str]) -> Application:
    environment = {k: v for k, v in os.environ.items() if k not in ("SPARK_REMOTE", "PYSPARK_SUBMIT_ARGS")}
    environment |= {"SPARK_CONNECT_MODE": "0", "_PYSPARK_DRIVER_CONN_INFO_PATH": str(folder / "gateway")}
    if _is_local(settings["spark.master"]):
        environment["SPARK_LOCAL_IP"] = "127.0.0.1"
    if Path(command[0]).name != "spark-submit":
        environment |= {"SPARK_HOME": str(java.spark_home()), "PYSPARK_PYTHON": sys.executable}
    log.info("spark-submit: %s", command[0])
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Ctrl-C must reach only this process, which handles it.
            start_new_session=True,
        )
    except OSError as error:
        raise SparkUnavailableError(
            f"{command[0]} cannot be started ({error}). Set spark-home in the extra of connection {connections.SPARK} "
            "to the folder that has bin/spark-submit"
        ) from error
    application = Application(session_id, process)
    assert process.stdout is not None
    listening = (process.stdout, application.said, secrets_of(settings))
    threading.Thread(target=_listen, args=listening, daemon=True).start()
    return application


def _listen(output: IO[str], said: deque[str], secrets: list[str]) -> None:
    """Write the JVM's output to the task's log, without the secrets: Spark's warnings may quote its settings."""
    for line in output:
        if text := line.strip():
            for secret in secrets:
                text = text.replace(secret, "*****")
            said.append(text)
            log.info("spark: %s", text)


def _attach(application: Application, folder: Path) -> Any:
    """A session on the application; its executors are running or requested.

    Raises:
        SparkUnavailableError: the JVM ended, or does not report its port.
    """
    from py4j.protocol import Py4JError
    from pyspark import SparkContext, java_gateway
    from pyspark.sql.session import SparkSession

    where, waited = folder / "gateway", time.monotonic()
    while not where.exists():
        if application.process.poll() is not None or time.monotonic() - waited > START_SECONDS:
            raise _ended(application, "did not start")
        time.sleep(0.05)
    # PythonGatewayServer writes it in one step: the port, the secret's length, the secret.
    port, length = struct.unpack_from(">ii", written := where.read_bytes())
    gateway = {"PYSPARK_GATEWAY_PORT": str(port), "PYSPARK_GATEWAY_SECRET": written[8 : 8 + length].decode()}
    os.environ.update(gateway)
    try:
        context = SparkContext(gateway=cast("Any", java_gateway).launch_gateway())
    except (Py4JError, OSError) as error:
        raise _ended(application, f"did not start ({str(error).splitlines()[-1]})") from error
    finally:
        for name in gateway:
            del os.environ[name]
    return SparkSession(context)


def _detach(session: Any) -> None:
    """Stop the session and clear PySpark's globals, because the next session has another JVM."""
    from pyspark import SparkContext

    with suppress(Exception):  # the JVM may be gone
        session.stop()
    with suppress(Exception):
        cast("Any", SparkContext._gateway).shutdown()
    SparkContext._gateway = SparkContext._jvm = None
    SparkContext._active_spark_context = None
    type(session)._instantiatedSession = None


def _end(application: Application, seconds: float) -> None:
    assert application.process.stdin is not None
    with suppress(OSError):
        application.process.stdin.close()
    try:
        application.process.wait(seconds)
    except subprocess.TimeoutExpired:
        application.kill()
        application.process.wait()


def _ended(application: Application, what: str) -> SparkUnavailableError:
    with suppress(subprocess.TimeoutExpired):
        application.process.wait(1)
    code = application.process.poll()
    ended = "" if code is None else f" and ended with {code}"
    return SparkUnavailableError(
        f"The Spark application {what}{ended}; the log has its last lines. This one may say why: "
        f"{application.last_words()}"
    )


def _portable(error: Exception, application: Application) -> Exception:
    """A copy of the error that can be read when the JVM is gone. PySpark's errors ask the JVM for their text."""
    from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
    from pyspark import errors
    from pyspark.errors.exceptions.captured import CapturedException

    if isinstance(error, Py4JError | errors.PySparkException | ConnectionError):
        if isinstance(error, Py4JNetworkError | ConnectionError):
            # The pipe breaks a moment before the process ends.
            with suppress(subprocess.TimeoutExpired):
                application.process.wait(2)
        if application.process.poll() is not None:
            return _ended(application, "died during the work")
    if isinstance(error, CapturedException):
        kind = getattr(errors, type(error).__name__, errors.PySparkException)
        contexts = [_CallSite(context) for context in error.getQueryContext()]
        plain = kind(message=str(error), contexts=cast("Any", contexts))
    elif isinstance(error, Py4JJavaError):
        plain = errors.PySparkException(message=str(error.java_exception.toString()))
    elif isinstance(error, Py4JError):
        plain = errors.PySparkException(message=str(error))
    else:
        return error
    return cast("Exception", plain.with_traceback(error.__traceback__))


class _CallSite:
    """The place in the code of a query's mistake, kept without the JVM."""

    def __init__(self, context: Any):
        self._site = "" if context.contextType().name == "SQL" else str(context.callSite())

    def contextType(self) -> Any:  # noqa: N802 - PySpark's name
        from pyspark.errors import QueryContextType

        return QueryContextType.DataFrame

    def callSite(self) -> str:  # noqa: N802 - PySpark's name
        return self._site
