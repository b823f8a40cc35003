"""Codes: what each code identity was made of, so that an outdated partition can say which part of its code changed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "codes",
        sa.Column("table_name", sa.Text(), primary_key=True),
        sa.Column("identity", sa.Text(), primary_key=True),
        sa.Column("parts", postgresql.JSONB(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("codes")
