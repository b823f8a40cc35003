"""Access to the ledger: its engine, transactions, counter and locks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, select, text, update
from sqlalchemy.orm import Session

from feedmill import connections
from feedmill.ledger.models import Counter

# Namespaces of PostgreSQL advisory locks, so that ours never meet another application's.
_PUBLISH_LOCK = 0x0FEED
_RECORD_LOCK = 0x0FEEE
_MIGRATE_LOCK = 0x0FEED0

# If the other host vanishes, both ends give up after a minute. TCP's default is two hours: for so long the server would
# keep the publish lock, and a client would wait for its answer.
_CONNECTION = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
# Set by statements, because pgbouncer refuses connections with options.
_SERVERS_KEEPALIVES = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"

log = logging.getLogger(__name__)


class Ledger:
    """The relational record of files, builds, verdicts and published partitions; always PostgreSQL."""

    def __init__(self, url: str):
        """``url`` is an SQLAlchemy URL, ``postgresql+psycopg2://…``. This does not connect yet."""
        self.url = url
        self.engine: Engine = create_engine(
            url, pool_size=2, max_overflow=8, pool_pre_ping=True, connect_args=_CONNECTION
        )
        event.listen(self.engine, "connect", _keep_alive)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session that commits at the end, or rolls back on an error."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def table_lock(self, table_name: str) -> Iterator[None]:
        """Hold the table's publish lock on a connection of its own. If the holder is killed, the lock is released."""
        key = {"space": _PUBLISH_LOCK, "name": table_name}
        with self.engine.connect() as connection:
            if not connection.scalar(text("SELECT pg_try_advisory_lock(:space, hashtext(:name))"), key):
                log.info("%s: waiting for the table's lock; a publish, housekeeping or doctor holds it", table_name)
                connection.execute(text("SELECT pg_advisory_lock(:space, hashtext(:name))"), key)
            # End the transaction: an idle one would hold back PostgreSQL's vacuum. The lock belongs to the session.
            connection.commit()
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:space, hashtext(:name))"), key)
                connection.commit()


@cache
def open_ledger(url: str | None = None) -> Ledger:
    """The ledger of the ``feedmill_ledger`` connection (or of ``url``); one engine per process."""
    return Ledger(url or connections.ledger_url())


def _keep_alive(connection: Any, _: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SERVERS_KEEPALIVES)
    # Otherwise a rollback, such as that of the pool's first ping, would undo them.
    connection.commit()


def lock_counter(session: Session) -> Counter:
    """The counter, locked until the transaction ends."""
    return session.execute(select(Counter).with_for_update()).scalar_one()


def lock_records(session: Session, table_name: str) -> None:
    """Let nobody else record publishes of the table until the transaction ends."""
    key = {"space": _RECORD_LOCK, "name": table_name}
    session.execute(text("SELECT pg_advisory_xact_lock(:space, hashtext(:name))"), key)


def next_number(session: Session) -> int:
    """The next number. Take it as late in a transaction as possible: all others wait until it ends."""
    return session.execute(_TAKE).scalar_one()


_TAKE = update(Counter).values(value=Counter.value + 1).returning(Counter.value)


def migrate(url: str) -> None:
    """Bring the ledger's schema up to date. It is safe to repeat, and to run twice at once."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    engine = create_engine(url, connect_args=_CONNECTION)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATE_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
