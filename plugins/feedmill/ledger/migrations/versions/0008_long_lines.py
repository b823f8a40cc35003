"""How many lines of a file are longer than Spark may see: it is read from a copy in which they are cut.

Before, such a file was a defect, and stays one until somebody readmits it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("files", sa.Column("long_lines", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("files", "long_lines")
