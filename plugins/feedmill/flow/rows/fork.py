"""A build's branch, forked from ``main``."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

from feedmill.connections import CATALOG
from feedmill.lake.catalog import branch_name
from feedmill.spark.failures import is_conflict
from feedmill.spec import Table

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession

log = logging.getLogger(__name__)

ATTEMPTS = 20
"""As many builds of other ranges may begin at the same moment, each with a commit of some 50 ms."""


def fork(table: Table, build_id: str, spark: SparkSession) -> str:
    """Make the build's branch; its name. Harmless where it exists.

    Iceberg 1.12 retries a write that met another commit, not the change of a reference: its retry compares with the
    metadata that it read at first, and fails each time with "Table metadata refresh is required". So it is asked anew.
    """
    branch = branch_name(build_id)
    # Without RETAIN, which counts from the forked snapshot: of a table that was not published for a week, expiry would
    # drop the branch before its first write. Housekeeping drops it by the ledger.
    statement = f"ALTER TABLE {CATALOG}.{table.name} CREATE BRANCH IF NOT EXISTS `{branch}`"
    for attempt in range(1, ATTEMPTS + 1):
        try:
            spark.sql(statement)
        except Exception as error:
            if attempt == ATTEMPTS or not is_conflict(error):
                raise
            log.info("%s: another commit came before branch %s, attempt %d", table.name, branch, attempt)
            time.sleep(random.uniform(0.02, 0.1) * min(attempt, 10))  # noqa: S311 - not for secrets
        else:
            break
    return branch
