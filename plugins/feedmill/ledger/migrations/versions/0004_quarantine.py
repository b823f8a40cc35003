"""Quarantine: files that a build could not read, and files that a person has ruled out."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A change of them is a change of the file's row, whose trigger gives it a change number (0003).
    for name in ("reader", "disowned_by", "disowned_because"):
        op.add_column("files", sa.Column(name, sa.Text(), nullable=True))
    op.create_index(
        "files_not_read",
        "files",
        ["kind", "arrival_hour"],
        postgresql_where=sa.text("defect IS NOT NULL OR disowned_by IS NOT NULL"),
    )
    op.create_table(
        "file_decisions",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("file_decisions_by_path", "file_decisions", ["path"])


def downgrade() -> None:
    op.drop_index("file_decisions_by_path", "file_decisions")
    op.drop_table("file_decisions")
    op.drop_index("files_not_read", "files")
    for name in ("disowned_because", "disowned_by", "reader"):
        op.drop_column("files", name)
