"""Putting ``watch`` together from the project, the connections and the local home."""

from __future__ import annotations

import os

from feedmill import connections
from feedmill.alerts import owners as owners_module
from feedmill.alerts.channels.receivers import channel_of
from feedmill.alerts.dispatch import Setting
from feedmill.alerts.look import Lookout
from feedmill.alerts.page import Ground
from feedmill.alerts.services import Services
from feedmill.alerts.watch import Watch
from feedmill.connections import ConnectionNotDefinedError
from feedmill.ledger.store import open_ledger
from feedmill.project import home_path

INSTALLATION = "FEEDMILL_INSTALLATION"
"""Tells two installations apart that page the same people: it is the first part of every key."""


def open_watch() -> Watch:
    """What ``feedmill watch`` runs.

    Raises:
        MapError: a fact of ``include/`` is wrong.
        ConnectionNotDefinedError: the ledger's connection is missing.
    """
    from include.services import SERVICES
    from include.tables import TABLES

    owners, ledger = owners_module.of_project(), open_ledger()
    return Watch(
        ledger,
        Lookout(TABLES, owners, ledger, Services(SERVICES)),
        Ground(owners.known, TABLES, airflow_ui()),
        Setting(installation(), (), owners),
        channel_of,
        home_path() / "alerts" / "outbox.json",
    )


def installation() -> str:
    """This installation's name, as receivers see it."""
    return os.environ.get(INSTALLATION) or "feedmill"


def airflow_ui() -> str:
    """Where people find Airflow's UI: ``ui`` in the extra of the connection, or the API's own address."""
    try:
        found = connections.get(connections.AIRFLOW)
    except ConnectionNotDefinedError:
        return ""
    return str(found.extra.get("ui") or f"{found.conn_type}://{found.host}:{found.port}")
