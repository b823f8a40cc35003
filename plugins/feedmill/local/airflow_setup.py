"""Airflow's database: migrated, with the connections, pools and variables of ``airflow_settings.yaml``.

``Airflow.set_up`` runs it as a process with Airflow's environment. It may run any number of times. It writes through
Airflow's own models, because each command of Airflow's CLI takes 4 to 14 seconds.
"""

from __future__ import annotations

import json

from feedmill.airflow_settings import Settings, load
from feedmill.connections import of_settings
from feedmill.local.home import Home


def main() -> None:
    """Migrate, then load."""
    from airflow.utils.db import upgradedb

    upgradedb()
    home = Home.find()
    store(load(home.settings_file, home.env()))


def store(settings: Settings) -> None:
    """Write the settings to Airflow's database, replacing entries of the same name."""
    from airflow.models import Connection, Pool, Variable
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        for found in of_settings(settings).values():
            session.execute(delete(Connection).where(Connection.conn_id == found.conn_id))
            session.add(
                Connection(
                    conn_id=found.conn_id,
                    conn_type=found.conn_type,
                    description="of the local stack: airflow_settings.yaml",
                    host=found.host,
                    login=found.login,
                    password=found.password,
                    schema=found.schema,
                    port=found.port,
                    extra=json.dumps(found.extra) if found.extra else None,
                )
            )
        for pool in settings.pools:
            Pool.create_or_update_pool(
                name=pool.name,
                slots=pool.slots,
                description=pool.description,
                include_deferred=False,
                session=session,
            )
        for name, value in settings.variables.items():
            Variable.set(name, value, session=session)


if __name__ == "__main__":
    main()
