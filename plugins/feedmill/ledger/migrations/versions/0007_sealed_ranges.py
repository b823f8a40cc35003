"""Sealed hours as ranges, so that years of them are a few rows; and publishes by their number, which pins ask for."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sealed_hours", sa.Column("until", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE sealed_hours SET until = hour + interval '1 hour'")
    op.alter_column("sealed_hours", "until", nullable=False)
    op.create_index("publishes_by_number", "publishes", ["table_name", "number"])
    op.create_index("publishes_by_build", "publishes", ["build_id"])
    op.create_index("partitions_by_build", "partitions", ["build_id"])


def downgrade() -> None:
    op.drop_index("partitions_by_build", "partitions")
    op.drop_index("publishes_by_build", "publishes")
    op.drop_index("publishes_by_number", "publishes")
    op.drop_column("sealed_hours", "until")
