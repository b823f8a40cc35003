"""Spark Connect: sessions on a server. On this machine in plain text; on others with token and TLS."""

from __future__ import annotations

import logging
import os
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlparse

from feedmill.connections import SPARK, Connection
from feedmill.spark import pools
from feedmill.spark.failures import SparkUnavailableError

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession
    from pyspark.sql.connect.shell.progress import ProgressHandler, StageInfo

log = logging.getLogger(__name__)

_USER = "feedmill"

_GONE = (
    "StatusCode.UNAVAILABLE",
    "INVALID_HANDLE.SESSION_NOT_FOUND",
    "INVALID_HANDLE.SESSION_CHANGED",
    "INVALID_HANDLE.OPERATION_NOT_FOUND",
)
"""In PySpark's errors: the server has died, or a restarted one answers, which does not know the session."""

KEEPALIVE = {"grpc.keepalive_time_ms": 360_000, "grpc.keepalive_timeout_ms": 20_000}
"""After so long without traffic, the client asks whether the server is still there.

A query may be silent for hours. Without this, gRPC waits for ever if the server vanished or a firewall dropped the
connection. A server closes connections that ask more often than every five minutes.
"""

_PROBE = 5.0
"""Seconds that the check of a server's TLS may take."""


def connect(url: str, session_id: str, ca_file: str | None = None) -> SparkSession:
    """A session with that id on the server. A dead server is noticed after some seconds, not after ten minutes.

    ``ca_file`` holds the certificates to check the server's with; without it, gRPC uses its own.

    Raises:
        SparkUnavailableError: the server does not answer, or refuses the token or TLS of the URL.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql.connect.client.retries import DefaultPolicy
    from pyspark.sql.connect.session import SparkSession

    certificates = None if ca_file is None else _certificates(ca_file)
    # Otherwise each server-side error is printed as one line of JSON beside the Python exception.
    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # What pyspark.sql.functions looks at; without it, they ask for a JVM in this process.
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    separator = "" if url.endswith(";") else (";" if "/;" in url or url.endswith("/") else "/;")
    session: SparkSession | None = None
    try:
        builder = _channel(f"{url}{separator}session_id={session_id};user_id={_USER}", certificates)
        session = SparkSession.builder.channelBuilder(builder).create()
        session.client.set_retry_policies([DefaultPolicy(max_retries=4, initial_backoff=200, max_backoff=1000)])
        session.conf.set("spark.sql.session.timeZone", "UTC")
    except Exception as error:
        if session is not None:
            # By now it is the thread's active session, which pyspark.sql.functions uses. If the server has closed it
            # (an earlier try's session, to be interrupted), the next session's work would fail.
            session.release_session_on_close = False
            session.stop()
        if isinstance(error, PySparkException | OSError) or _is_of_grpc(error):
            raise _unavailable(url, ca_file, error) from error
        raise
    return session


@contextmanager
def session_on(connection: Connection, session_id: str, pool: str | None = None) -> Iterator[SparkSession]:
    """A session on the connection's server, closed at the end. Its jobs are in the ``pool``.

    Raises:
        SparkUnavailableError: the server does not answer, or died meanwhile.
    """
    from pyspark.sql.connect.client.reattach import ExecutePlanResponseReattachableIterator

    url = connection.spark_url
    session = connect(url, session_id, connection.extra.get("ca_file"))
    _log_progress(session)
    try:
        if pool is not None:
            session.conf.set(pools.SETTING, pool)
        yield session
    except Exception as error:
        if _went_away(error):
            raise SparkUnavailableError(
                f"Spark Connect at {_where(url)} died during the work; its log says why. A retry works as soon as it "
                "answers again. The local stack restarts it by itself"
            ) from error
        raise
    finally:
        with suppress(Exception):  # the server may be gone; the session ends with it
            # Release what is left first. Otherwise this failed after the session had ended, with a dozen lines in every
            # third build's log.
            ExecutePlanResponseReattachableIterator.shutdown()
            session.stop()


def interrupt(connection: Connection, session_id: str) -> None:
    """Stop what the session still runs. A killed client leaves its query running for minutes."""
    try:
        session = connect(connection.spark_url, session_id, connection.extra.get("ca_file"))
        session.interruptAll()
        session.stop()
    except Exception as error:
        log.info("nothing to interrupt in Spark session %s: %s", session_id, error)


def _channel(url: str, certificates: bytes | None) -> Any:
    import grpc
    from pyspark.sql.connect.client.core import DefaultChannelBuilder

    class Channel(DefaultChannelBuilder):
        """PySpark's channel with our certificates. Its own uses gRPC's, which one variable sets for a process."""

        def toChannel(self) -> grpc.Channel:  # noqa: N802 - PySpark's name
            if certificates is None or not self.secure or (self.host == "localhost" and not self.use_ssl):
                return super().toChannel()
            credentials = grpc.ssl_channel_credentials(certificates)
            if self.token is not None:
                bearer = grpc.access_token_call_credentials(self.token)
                credentials = grpc.composite_channel_credentials(credentials, bearer)
            return self._secure_channel(self.endpoint, credentials)

    channel = Channel(url)
    for name, value in KEEPALIVE.items():
        channel.setChannelOption(name, value)
    return channel


def _certificates(ca_file: str) -> bytes:
    try:
        return Path(ca_file).read_bytes()
    except OSError as error:
        raise SparkUnavailableError(
            f"The ca_file of connection {SPARK} cannot be read ({error}); set it to the path of a PEM file."
        ) from error


def _where(url: str) -> str:
    """The server's address, without the token."""
    return url.partition("/;")[0]


def _is_of_grpc(error: BaseException | None) -> bool:
    # grpc's errors have no common public base besides grpc.RpcError, which is imported with the client only.
    import grpc

    return isinstance(error, grpc.RpcError)


def _went_away(error: Exception) -> bool:
    """Whether the server died, or was restarted and does not know the session."""
    text = f"{error} {error.__cause__} {error.__context__}"
    return any(sign in text for sign in _GONE)


def _unavailable(url: str, ca_file: str | None, error: Exception) -> SparkUnavailableError:
    """The error as one sentence: what is wrong with the token or TLS, otherwise what gRPC says."""
    # PySpark wraps grpc's error. Its text is a whole page that begins with the class; its details are one sentence.
    text, cause = str(error), error.__cause__ or error.__context__
    for one in (error, cause):
        details = getattr(one, "details", None)
        if callable(details):
            text = str(details())
    if "UNAUTHENTICATED" in f"{error} {cause}":
        given = "refuses the token" if ";token=" in url else "asks for a token, and none is given"
        return SparkUnavailableError(
            f"Spark Connect at {_where(url)} {given}. Set the password of connection {SPARK} to the server's "
            "spark.connect.authenticate.token"
        )
    if (wrong := _tls_trouble(url, ca_file)) is not None:
        return SparkUnavailableError(f"Spark Connect at {_where(url)} {wrong}")
    reason = text.splitlines()[0] if text else type(error).__name__
    return SparkUnavailableError(
        f"Spark Connect does not answer at {_where(url)} ({reason}); `feedmill stack status` shows which part is down"
    )


def _tls_trouble(url: str, ca_file: str | None) -> str | None:
    """What is wrong with TLS, found by our own handshake: gRPC's messages differ by version and often do not say."""
    parts = urlparse("http" + url.removeprefix("sc"))
    host, port = parts.hostname or "localhost", parts.port or 15002
    # As the client decides: see DefaultChannelBuilder.toChannel.
    wanted = "use_ssl=true" in url or ("token=" in url and host != "localhost")
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["h2"])
    if not wanted:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=_PROBE) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            if not wanted:
                return f'uses TLS, but connection {SPARK} does not; add "use_ssl": true to its extra'
    except ssl.SSLCertVerificationError as error:
        checked = f"the certificates in {ca_file}" if ca_file else "this machine's certificates"
        return (
            f"has a certificate that {checked} do not confirm ({error.verify_message}); "
            f'set "ca_file" in the extra of connection {SPARK} to the right certificates'
        )
    except (ssl.SSLError, ConnectionResetError, TimeoutError) as error:
        if wanted and not (isinstance(error, TimeoutError) and not isinstance(error, ssl.SSLError)):
            return f"does not use TLS, but connection {SPARK} does; remove use_ssl from its extra, or add TLS"
    except OSError:
        pass
    return None


def _log_progress(session: SparkSession) -> None:
    """Write Spark's progress to the task's log, whenever another fifth of the tasks is done."""
    seen: dict[str, int] = {}

    def report(stages: Iterable[StageInfo] | None, inflight_tasks: int, operation_id: str | None, done: bool) -> None:
        stages = list(stages or [])
        total = sum(stage.num_tasks for stage in stages)
        complete = sum(stage.num_completed_tasks for stage in stages)
        share = 100 * complete // total if total else 0
        if operation_id and share >= seen.get(operation_id, 0) + 20 and not done:
            seen[operation_id] = share
            log.info("Spark: %d of %d tasks done, %d running", complete, total, inflight_tasks)

    session.registerProgressHandler(cast("ProgressHandler", report))
