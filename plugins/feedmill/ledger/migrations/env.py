"""Alembic's entry: runs the migrations on the connection that :func:`feedmill.ledger.store.migrate` hands in."""

from alembic import context

from feedmill.ledger.models import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
