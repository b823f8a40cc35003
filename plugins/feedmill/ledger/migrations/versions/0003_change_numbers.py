"""Change numbers: which transaction wrote a fact last, so that a look reads only what changed since the one before."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FACTS = ("files", "builds", "verdicts", "acceptances", "partitions")


def upgrade() -> None:
    op.add_column("counter", sa.Column("forgotten", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(
        "CREATE FUNCTION feedmill_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.change := pg_current_xact_id()::text::bigint; RETURN NEW; END $$"
    )
    for table in FACTS:
        op.add_column(table, sa.Column("change", sa.BigInteger(), nullable=False, server_default="0"))
        op.create_index(f"{table}_by_change", table, ["change"])
        op.execute(
            f"CREATE TRIGGER change BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION feedmill_change()"
        )
    op.create_index(
        "builds_undone",
        "builds",
        ["table_name"],
        postgresql_where=sa.text("state IN ('failed', 'interrupted', 'running')"),
    )
    op.create_index("verdicts_failed", "verdicts", ["build_id"], postgresql_where=sa.text("NOT passed"))


def downgrade() -> None:
    op.drop_index("verdicts_failed", "verdicts")
    op.drop_index("builds_undone", "builds")
    for table in FACTS:
        op.execute(f"DROP TRIGGER change ON {table}")
        op.drop_column(table, "change")
    op.execute("DROP FUNCTION feedmill_change()")
    op.drop_column("counter", "forgotten")
