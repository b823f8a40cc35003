"""Airflow's scheduler, with the heavy modules imported beforehand: ``python -m feedmill.local.scheduler``.

LocalExecutor forks its workers from the scheduler, and every task is forked from a worker. So an import here is paid
once: Great Expectations alone costs 8.6 CPU seconds, while the check of an hourly table costs 0.1. Nothing here may
open a connection or a gRPC channel, because it would not survive the fork.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module

import httpx

from feedmill.local.process import wait_until

HEAVY = (
    "great_expectations",
    "great_expectations.expectations.core",
    "pandas",
    "pyarrow.parquet",
    "pyiceberg.catalog.sql",
    "pyiceberg.table",
    "pyspark.sql.connect.session",
    "pyspark.sql.connect.functions",
    "duckdb",
    "sqlglot",
    "airflow.sdk.execution_time.task_runner",
    # Feedmill's own machinery: an upgrade replaces it and restarts. Nothing of include/, because the next task must
    # read an edited transform.
    "feedmill.airflow.dag",
    "feedmill.flow.build",
    "feedmill.flow.check",
    "feedmill.flow.publish",
)

log = logging.getLogger("feedmill.local.scheduler")


def preload() -> None:
    """Import them. If one cannot be imported, the task that needs it will fail and say so."""
    for name in HEAVY:
        try:
            import_module(name)
        except ImportError:
            log.exception("%s cannot be imported", name)


def api_answers() -> bool:
    """Whether the API server is up. Every task talks to it."""
    address = f"http://127.0.0.1:{os.environ['AIRFLOW__API__PORT']}/api/v2/version"
    try:
        return httpx.get(address, timeout=5).is_success
    except httpx.HTTPError:
        return False


def main() -> None:
    """Import, wait for the API server (a task that starts before it would fail), and become the scheduler."""
    preload()
    wait_until(api_answers, 120, every=0.5)
    airflow = import_module("airflow.__main__").main

    sys.argv = ["airflow", "scheduler", "--skip-serve-logs"]
    airflow()


if __name__ == "__main__":
    main()
