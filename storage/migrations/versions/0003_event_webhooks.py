"""Outgoing event webhooks: a tenant's endpoints, and the messages that go to them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlmodel.sql.sqltypes import AutoString

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "event_endpoint",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant", sa.Uuid(), sa.ForeignKey("tenant.id"), nullable=False),
        sa.Column("key", AutoString(), nullable=False),
        sa.Column("url", AutoString(), nullable=False),
        sa.Column("events", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("secret", AutoString(), nullable=False),
        sa.Column("previous_secret", AutoString(), nullable=True),
        sa.Column("previous_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_reason", AutoString(), nullable=True),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_index(
        "event_endpoint_key",
        "event_endpoint",
        ["tenant", "key"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "event_message",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant", sa.Uuid(), sa.ForeignKey("tenant.id"), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), sa.ForeignKey("event_endpoint.id"), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=True),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", AutoString(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("given_up_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replayed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", AutoString(), nullable=True),
        sa.Column("calls", postgresql.JSONB(none_as_null=True), nullable=False),
    )
    op.create_index(
        "event_message_waiting",
        "event_message",
        ["endpoint_id", "next_try_at"],
        postgresql_where=sa.text("next_try_at IS NOT NULL"),
    )
    op.create_index("event_message_of_endpoint", "event_message", ["endpoint_id", "occurred_at", "id"])
    op.create_index(
        "event_message_given_up",
        "event_message",
        ["endpoint_id", "occurred_at", "id"],
        postgresql_where=sa.text("given_up_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("event_message")
    op.drop_table("event_endpoint")
