"""A build's branch, forked from ``main``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feedmill.connections import CATALOG
from feedmill.lake.attempts import until_first
from feedmill.lake.catalog import branch_name
from feedmill.spark.failures import is_conflict
from feedmill.spec import Table

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession


def fork(table: Table, build_id: str, spark: SparkSession) -> str:
    """Make the build's branch; return its name. If the branch exists, it stays as it is.

    Builds of other ranges may begin at the same moment, and each makes a branch too. Iceberg 1.12 retries a write that
    met another commit, but not the change of a reference: its retry compares with the metadata that it read at first,
    and fails each time with "Table metadata refresh is required". So the whole statement is sent again.

    Raises:
        CommitFailedException: another commit came first each time.
    """
    branch = branch_name(build_id)
    # Without RETAIN, which counts from the forked snapshot: if the table was not published for a week, expiry would
    # drop the branch before its first write. Housekeeping drops it by the ledger.
    statement = f"ALTER TABLE {CATALOG}.{table.name} CREATE BRANCH IF NOT EXISTS `{branch}`"
    until_first(table, lambda: spark.sql(statement), f"making branch {branch}", is_conflict)
    return branch
