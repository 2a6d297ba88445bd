"""Time: digests, throttles and caps, recurring sends, and rates that are set while everything runs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlmodel.sql.sqltypes import AutoString

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

WAITING = "dispatched_at IS NULL AND finished_at IS NULL AND generation = 1"
TABLES = ("throttle_turn", "throttle_window", "schedule_run", "schedule_turn", "schedule", "topic_subscriber")


def upgrade() -> None:
    _digests()
    _throttles()
    _schedules()
    _topics()
    _limits()
    _tenants()
    _notifications()
    _due_among(f"{WAITING} AND digest_group IS NULL")


def downgrade() -> None:
    _due_among(WAITING)
    for name in (
        "notification_at_gate",
        "notification_of_digest",
        "notification_of_schedule",
        "notification_to_collect",
    ):
        op.drop_index(name, "notification")
    for name in ("digest_group", "digest_id", "schedule_id", "waits_for", "waits_until"):
        op.drop_column("notification", name)
    for name in ("timezone", "person_cap"):
        op.drop_column("tenant", name)
    op.drop_column("provider_health", "quiet_until")
    for name in (*TABLES, "provider_limit", "tick", "digest"):
        op.drop_table(name)


def _due_among(rows: str) -> None:
    for name in ("notification_due", "notification_urgent"):
        op.drop_index(name, "notification")
    op.create_index("notification_due", "notification", ["tenant", "priority", "id"], postgresql_where=sa.text(rows))
    op.create_index(
        "notification_urgent", "notification", ["priority", "id"], postgresql_where=sa.text(f"{rows} AND priority <= 2")
    )


def _digests() -> None:
    op.create_table(
        "tick",
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("notification_type", AutoString(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("ensured_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"]),
        sa.PrimaryKeyConstraint("tenant", "notification_type"),
    )
    op.create_table(
        "digest",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("notification_type", AutoString(), nullable=False),
        sa.Column("type_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", AutoString(), nullable=False),
        sa.Column("group_key", AutoString(), nullable=False),
        sa.Column("calendar", sa.Boolean(), nullable=False),
        sa.Column("filled", sa.Boolean(), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closes_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closes_by", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("notification_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"]),
        sa.ForeignKeyConstraint(["type_id"], ["notification_type.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("digest_due", "digest", ["closes_at"], postgresql_where=sa.text("closed_at IS NULL"))
    op.create_index(
        "digest_due_of_type",
        "digest",
        ["tenant", "notification_type", "closes_at"],
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_index("digest_of_recipient", "digest", ["tenant", "recipient_id", "id"])
    op.create_index("digest_filled", "digest", ["id"], postgresql_where=sa.text("closed_at IS NULL AND filled"))
    op.create_index("digest_of_tenant", "digest", ["tenant", "id"])
    op.create_index(
        "digest_open",
        "digest",
        ["tenant", "group_key"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL AND NOT filled"),
    )
    op.create_index(
        "digest_to_tell", "digest", ["closes_at"], postgresql_where=sa.text("closed_at IS NULL AND told_at IS NULL")
    )


def _throttles() -> None:
    op.create_table(
        "throttle_window",
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("key", AutoString(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.Column("per", sa.Float(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("awaited", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"]),
        sa.PrimaryKeyConstraint("tenant", "key"),
    )
    op.create_index("throttle_window_awaited", "throttle_window", ["ends_at"], postgresql_where=sa.text("awaited"))
    op.create_index("throttle_window_over", "throttle_window", ["ends_at"])
    op.create_table(
        "throttle_turn",
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("key", AutoString(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["notification_id"], ["notification.id"]),
        sa.PrimaryKeyConstraint("notification_id", "generation", "key"),
    )
    op.create_index(
        "throttle_turn_waiting",
        "throttle_turn",
        ["tenant", "key", "priority", "notification_id"],
        postgresql_where=sa.text("granted_at IS NULL"),
    )


def _schedules() -> None:
    op.create_table(
        "schedule",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("key", AutoString(), nullable=False),
        sa.Column("notification_type", AutoString(), nullable=False),
        sa.Column("spec", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "schedule_key", "schedule", ["tenant", "key"], unique=True, postgresql_where=sa.text("deleted_at IS NULL")
    )
    op.create_table(
        "schedule_run",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("schedule_id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ran_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted", sa.Integer(), nullable=False),
        sa.Column("left_out", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.Column("skipped", AutoString(), nullable=True),
        sa.Column("after", AutoString(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["schedule_id"], ["schedule.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("schedule_run_of_schedule", "schedule_run", ["schedule_id", "due_at"])
    op.create_index("schedule_run_open", "schedule_run", ["id"], postgresql_where=sa.text("finished_at IS NULL"))
    op.create_table(
        "schedule_turn",
        sa.Column("schedule_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", AutoString(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("notification_type", AutoString(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("timezone", AutoString(), nullable=False),
        sa.Column("last_local", AutoString(), nullable=True),
        sa.ForeignKeyConstraint(["schedule_id"], ["schedule.id"]),
        sa.PrimaryKeyConstraint("schedule_id", "recipient_id"),
    )
    op.create_index(
        "schedule_turn_due",
        "schedule_turn",
        ["tenant", "notification_type", "due_at"],
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index("schedule_turn_of_recipient", "schedule_turn", ["tenant", "recipient_id"])


def _topics() -> None:
    op.create_table(
        "topic_subscriber",
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("topic", AutoString(), nullable=False),
        sa.Column("recipient_id", AutoString(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "recipient_id"], ["recipient.tenant", "recipient.recipient_id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant", "topic", "recipient_id"),
    )
    op.create_index("topic_of_recipient", "topic_subscriber", ["tenant", "recipient_id"])


def _limits() -> None:
    op.create_table(
        "provider_limit",
        sa.Column("provider", AutoString(), nullable=False),
        sa.Column("rate", sa.Float(), nullable=True),
        sa.Column("tenant_rate", sa.Float(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("provider"),
    )
    op.add_column("provider_health", sa.Column("quiet_until", sa.DateTime(timezone=True), nullable=True))


def _tenants() -> None:
    op.add_column("tenant", sa.Column("timezone", AutoString(), server_default="UTC", nullable=False))
    op.add_column("tenant", sa.Column("person_cap", postgresql.JSONB(none_as_null=True), nullable=True))


def _notifications() -> None:
    op.add_column("notification", sa.Column("digest_group", AutoString(), nullable=True))
    op.add_column("notification", sa.Column("digest_id", sa.Uuid(), nullable=True))
    op.add_column("notification", sa.Column("waits_for", AutoString(), nullable=True))
    op.add_column("notification", sa.Column("waits_until", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "notification_at_gate",
        "notification",
        ["tenant", "recipient_id"],
        postgresql_where=sa.text("waits_for IS NOT NULL"),
    )
    op.create_index(
        "notification_of_digest", "notification", ["digest_id"], postgresql_where=sa.text("digest_id IS NOT NULL")
    )
    op.create_index(
        "notification_to_collect",
        "notification",
        ["dispatch_at", "id"],
        postgresql_where=sa.text("digest_group IS NOT NULL AND digest_id IS NULL AND finished_at IS NULL"),
    )
    op.create_foreign_key(None, "notification", "digest", ["digest_id"], ["id"])
    op.add_column("notification", sa.Column("schedule_id", sa.Uuid(), nullable=True))
    op.create_index(
        "notification_of_schedule",
        "notification",
        ["schedule_id", "recipient_id"],
        postgresql_where=sa.text("schedule_id IS NOT NULL AND finished_at IS NULL"),
    )
    op.create_foreign_key(None, "notification", "schedule", ["schedule_id"], ["id"])
