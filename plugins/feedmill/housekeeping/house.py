"""One table's housekeeping: its steps, in order. If it is killed, the next run does the rest."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from datetime import datetime

from feedmill.deployment import Deployment
from feedmill.housekeeping import branches, retention, upkeep
from feedmill.housekeeping import ledger as ledger_retention
from feedmill.landing.shorten import remove_leftovers
from feedmill.ledger import builds
from feedmill.spark import session
from feedmill.spec import Files, Table

log = logging.getLogger(__name__)


def keep_house(
    table: Table, deployment: Deployment, now: datetime, started: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Do all steps for the table. Returns one sentence for each step.

    ``started`` is called with the Spark session's id, so that a caller that is asked to stop can interrupt it.

    Raises:
        SparkUnavailableError: Spark does not answer; retention, branches and the ledger are done by then.
    """
    ledger, lake = deployment.ledger, deployment.lake
    told: list[str] = []

    def tell(sentence: str) -> None:
        log.info("%s: %s", table.name, sentence)
        told.append(sentence)

    with ledger.transaction() as ledger_session:
        builds.close_dead(ledger_session)
    # Retention is first: it also records commits that the ledger lacks, before their snapshots can expire.
    tell(retention.expire(table, deployment, now))
    tell(branches.drop(table, ledger, lake, now))
    tell(branches.delete_pages(table, lake, now))
    tell(ledger_retention.tidy(table, deployment, now))
    if any(isinstance(entry, Files) for entry in table.inputs):
        tell(remove_leftovers(lake.landing, now))
    if lake.load_if_exists(table) is None:
        return told
    session_id = str(uuid.uuid4())
    started(session_id)
    with session.session_of(session_id) as spark:
        # Snapshots first: afterwards there is less to plan and to list. Orphan files last.
        tell(upkeep.expire_snapshots(table, ledger, lake, spark, now))
        tell(upkeep.compact(table, lake, spark))
        tell(upkeep.rewrite_manifests(table, lake, spark))
        tell(upkeep.remove_orphans(table, ledger, spark, now))
    return told
