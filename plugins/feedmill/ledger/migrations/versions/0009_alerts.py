"""Incidents, their deliveries, silences, outages, the kinds that are known, and who watches."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def _text(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _time(name: str, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "alert_incidents",
        *(_text(name) for name in ("id", "alias", "kind", "subject", "maintainer")),
        sa.Column("tier", sa.Integer(), nullable=False),
        _time("since"),
        _time("seen_at"),
        _time("opened_at", nullable=True),
        _time("closed_at", nullable=True),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("body", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "alert_incidents_not_closed", "alert_incidents", ["seen_at"], postgresql_where=sa.text("closed_at IS NULL")
    )
    op.create_index("alert_incidents_by_close", "alert_incidents", ["closed_at"])
    op.create_table(
        "alert_deliveries",
        *(_text(name) for name in ("id", "incident_id", "purpose", "channel", "maintainer", "stage")),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _time("decided_at"),
        _time("done_at", nullable=True),
        _text("error"),
        sa.Column("body", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("alert_deliveries_by_incident", "alert_deliveries", ["incident_id"])
    op.create_table(
        "alert_silences",
        _text("id"),
        _text("subject"),
        sa.Column("kinds", JSONB(), nullable=False),
        _text("ticket"),
        _text("author"),
        _time("starts_at"),
        _time("ends_at"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "outages",
        _text("id"),
        _text("component"),
        _time("began_at"),
        _time("ended_at", nullable=True),
        _text("detail"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "alert_tables", _text("name"), sa.Column("body", JSONB(), nullable=False), sa.PrimaryKeyConstraint("name")
    )
    op.create_table("alert_kinds", _text("name"), _time("shown_until", nullable=True), sa.PrimaryKeyConstraint("name"))
    op.create_table("leases", _text("name"), _text("holder"), _time("until"), sa.PrimaryKeyConstraint("name"))


def downgrade() -> None:
    op.drop_table("leases")
    op.drop_table("alert_kinds")
    op.drop_table("alert_tables")
    op.drop_table("outages")
    op.drop_table("alert_silences")
    op.drop_table("alert_deliveries")
    op.drop_table("alert_incidents")
