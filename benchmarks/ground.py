"""A separate ground for each question: PostgreSQL, Spark Connect and an empty deployment, deleted at the end."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import PROJECT

# As the local stack does for its processes; importing a benchmark must not need an installed package path.
sys.path[:0] = [path for path in (str(PROJECT), str(PROJECT / "plugins")) if path not in sys.path]

from feedmill.deployment import Deployment  # noqa: E402
from feedmill.lake.catalog import Lake  # noqa: E402
from feedmill.ledger.store import Ledger, migrate  # noqa: E402
from feedmill.local.home import Home, free_ports  # noqa: E402
from feedmill.local.postgres import Postgres  # noqa: E402
from feedmill.local.spark import SparkServer  # noqa: E402


@contextmanager
def ground() -> Iterator[Deployment]:
    """The project's map on an empty ledger and lake. PostgreSQL is as durable as the local stack's."""
    from include.spark.sources import SOURCES
    from include.tables import TABLES

    # pyspark.sql.functions reads this variable: a client of Spark Connect has no JVM in this process.
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    with tempfile.TemporaryDirectory(prefix="feedmill-bench-") as name:
        home = Home(Path(name) / "home").prepare(ports=free_ports())
        # If we are root, PostgreSQL runs as another user, who must be able to enter this folder.
        Path(name).chmod(0o711)
        for conn_id, connection in home.connections().items():
            fields = ("conn_type", "host", "port", "login", "password", "schema", "extra")
            values = {name: getattr(connection, name) for name in fields}
            os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(values)
        postgres, spark = Postgres(home), SparkServer(home)
        postgres.start()
        try:
            migrate(postgres.url("ledger"))
            spark.start()
            properties = home.connections()["iceberg_default"].catalog_properties
            lake = Lake(properties, home.landing.as_uri(), home.pages.as_uri(), PROJECT)
            yield Deployment(PROJECT, TABLES, SOURCES, Ledger(postgres.url("ledger")), lake)
        finally:
            spark.stop()
            postgres.stop()
            postgres.delete()


def processor_seconds(deployment: Deployment) -> Callable[[], float]:
    """Reads the processor time of this process, of the children that it has waited for, and of the Spark server."""
    import psutil

    home = Home(Path(deployment.lake.landing.removeprefix("file://")).parent)
    server = psutil.Process(SparkServer(home).component.pid())

    def spent() -> float:
        own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        java = [process.cpu_times() for process in (server, *server.children(recursive=True))]
        return sum(u.ru_utime + u.ru_stime for u in own) + sum(t.user + t.system for t in java)

    return spent
