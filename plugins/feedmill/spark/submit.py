"""spark-submit: an application of its own for each session, on whatever master the connection names.

In client mode, with this process as the Python half of the driver: spark-submit starts the other half, a JVM, which
asks the cluster for executors. So a build, a check or a housekeeping is the same code as over Spark Connect, and an
error keeps its class. The JVM reads a pipe that only this process holds, and ends when it breaks: whatever kills this
process ends the application.
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
from feedmill.spark.properties import ONE_MACHINE, PACKAGES, package_settings, properties_text, session_settings

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession

log = logging.getLogger(__name__)

START_SECONDS = 300.0
"""How long the JVM may take to say where it listens: about 3 s, and a download of 60 MB the first time."""

END_SECONDS = 20.0
"""How long it may take to end."""

GARBAGE_COLLECTOR = "-XX:+UseSerialGC"

LEAN = ("-XX:TieredStopAtLevel=1", GARBAGE_COLLECTOR)
"""Java's options on a local master: an application that lives for seconds never earns back what the second compiler
and a collector with many threads cost. What that is: docs/runners.md."""

MEMORY = "2g"

_EXTRA = {"conf": dict, "cds": bool, "spark-home": str, "deploy-mode": str}
"""What the connection's extra may hold; the last two are named as Airflow's own hook names them."""


@dataclass
class Application:
    """A running application; ``said`` is the end of what its JVM wrote."""

    session_id: str
    process: subprocess.Popen[str]
    said: deque[str] = field(default_factory=lambda: deque(maxlen=50))

    def kill(self) -> None:
        """End it at once, with whatever it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def last_words(self) -> str:
        """The line that says why it ended, as far as one does."""
        telling = [line for line in self.said if re.search(r"exception|error", line, re.IGNORECASE)]
        return next(iter(telling or reversed(self.said)), "it said nothing")


_running: Application | None = None


@contextmanager
def session_on(connection: Connection, session_id: str) -> Iterator[SparkSession]:
    """The session of an application that lives as long; one at a time in a process, as PySpark has it.

    Raises:
        SparkUnavailableError: it does not start, or it ended in the middle of the work.
        ConnectionNotDefinedError: the connection is not one of an application.
    """
    global _running
    if _running is not None:
        raise RuntimeError(f"this process has a Spark application already, of session {_running.session_id}")
    settings, archive = _settings(connection, session_id), None
    # Not in the environment of whatever works over Spark Connect in this process.
    connect_mode = os.environ.pop("SPARK_CONNECT_MODE_ENABLED", None)
    folder = Path(tempfile.mkdtemp(prefix="feedmill-spark-"))
    try:
        command, archive = _command(connection, settings, folder)
        application = _running = _start(session_id, command, folder, local=_is_local(settings["spark.master"]))
        try:
            session = _attach(application, folder)
            # Read by now, and nothing that holds a password outlives a kill.
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
    """End the session's application, if it is this process's: another's ends with its process, or with its claim."""
    if _running is not None and _running.session_id == session_id:
        _running.kill()


def _settings(connection: Connection, session_id: str) -> dict[str, str]:
    """The application's settings; what the connection's ``conf`` says is the last word."""
    for name, value in connection.extra.items():
        if not isinstance(value, _EXTRA.get(name, ())):
            raise ConnectionNotDefinedError(
                # Without the value, which may be a secret: the ledger keeps this sentence.
                f"Connection {connection.conn_id} has {name!r} ({type(value).__name__}) in its extra, which a "
                "connection of type spark does not know: "
                f"{', '.join(f'{known} ({kind.__name__})' for known, kind in _EXTRA.items())}."
            )
    if connection.extra.get("deploy-mode", "client") != "client":
        raise ConnectionNotDefinedError(
            f"Connection {connection.conn_id} asks for deploy-mode {connection.extra['deploy-mode']}, and a task is "
            "its application's driver: take it out, or say client."
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
            "spark.driver.extraJavaOptions": " ".join(LEAN),
            **ONE_MACHINE,
        }
    return own | {name: str(value) for name, value in connection.extra.get("conf", {}).items()}


def _is_local(master: str) -> bool:
    """Whether the application is one process on this machine."""
    return re.fullmatch(r"local(\[.*\])?", master) is not None


def _command(connection: Connection, settings: dict[str, str], folder: Path) -> tuple[list[str], Archive | None]:
    """The command line, without any secret: the settings go through a private file."""
    properties = folder / "spark.properties"
    end = ["--properties-file", str(properties), "pyspark-shell"]
    home = connection.extra.get("spark-home")
    archive = None
    if home is not None:
        command = [str(Path(home) / "bin" / "spark-submit"), *end]
    else:
        binary = java.find()
        # As the launcher would: the JVM runs already when Spark reads its file.
        options = settings.pop("spark.driver.extraJavaOptions", "").split()
        jars = _cached_jars() if settings.get("spark.jars.packages") == ",".join(PACKAGES) else []
        if jars and _is_local(settings["spark.master"]):
            # On the class path they need no resolving, and can be archived.
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
    """The packages' jars in the cache, where Spark has put them; none of them unless all are there."""
    folder = java.cache_folder() / "ivy" / "jars"
    jars = [folder / "{}_{}-{}.jar".format(*package.split(":")) for package in PACKAGES]
    return jars if all(jar.exists() for jar in jars) else []


def _start(session_id: str, command: list[str], folder: Path, *, local: bool) -> Application:
    environment = {k: v for k, v in os.environ.items() if k not in ("SPARK_REMOTE", "PYSPARK_SUBMIT_ARGS")}
    environment |= {"SPARK_CONNECT_MODE": "0", "_PYSPARK_DRIVER_CONN_INFO_PATH": str(folder / "gateway")}
    if local:
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
            # Ctrl-C is this process's to deal with.
            start_new_session=True,
        )
    except OSError as error:
        raise SparkUnavailableError(
            f"{command[0]} cannot be started ({error}): spark-home in the extra of connection {connections.SPARK} "
            "is the folder that has bin/spark-submit"
        ) from error
    application = Application(session_id, process)
    assert process.stdout is not None
    threading.Thread(target=_listen, args=(process.stdout, application.said), daemon=True).start()
    return application


def _listen(output: IO[str], said: deque[str]) -> None:
    """What the JVM writes becomes lines of the task's log."""
    for line in output:
        if text := line.strip():
            said.append(text)
            log.info("spark: %s", text)


def _attach(application: Application, folder: Path) -> Any:
    """A session on the application, whose executors are there or asked for.

    Raises:
        SparkUnavailableError: the JVM ended, or does not say where it listens.
    """
    from py4j.protocol import Py4JError
    from pyspark import SparkContext, java_gateway
    from pyspark.sql.session import SparkSession

    where, waited = folder / "gateway", time.monotonic()
    while not where.exists():
        if application.process.poll() is not None or time.monotonic() - waited > START_SECONDS:
            raise _ended(application, "did not start")
        time.sleep(0.05)
    # Written by PythonGatewayServer, in one step: the port, the secret's length, the secret.
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
    """Stop the session, and leave nothing of it in PySpark's globals: the next one has another JVM."""
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
        f"The Spark application {what}{ended}; the log has what it said last: {application.last_words()}"
    )


def _portable(error: Exception, application: Application) -> Exception:
    """The error as one that can be read when the JVM is gone: PySpark's ask it for their own text."""
    from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
    from pyspark import errors
    from pyspark.errors.exceptions.captured import CapturedException

    if isinstance(error, Py4JError | errors.PySparkException | ConnectionError):
        if isinstance(error, Py4JNetworkError | ConnectionError):
            # The pipe breaks a moment before the process is gone.
            with suppress(subprocess.TimeoutExpired):
                application.process.wait(2)
        if application.process.poll() is not None:
            return _ended(application, "went away in the middle of the work")
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
    """Where a query's mistake was written, without the JVM that knew it."""

    def __init__(self, context: Any):
        self._site = "" if context.contextType().name == "SQL" else str(context.callSite())

    def callSite(self) -> str:  # noqa: N802 - PySpark's name
        return self._site
