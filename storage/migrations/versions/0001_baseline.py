"""Create the schema of the first release.

Rendered from the models and frozen: a later change of a model has a migration of its own. The functions are in
`0001_functions/`.
"""

from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel.sql.sqltypes import AutoString

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FUNCTION_FILES = Path(__file__).parent / "0001_functions"
FUNCTIONS = ("content_words", "keep_former_address_hashes", "claim_lanes", "claim_due")
TABLES = (
    *("tenant", "api_key", "audit_entry"),
    *("notification_type", "template", "template_publication"),
    *("recipient", "device", "user_preference", "topic_subscriber", "suppression", "erasure"),
    *("schedule", "schedule_occurrence", "schedule_plan", "schedule_run"),
    *("tick", "digest"),
    *("notification", "delivery", "attempt", "event", "multi_send", "inbox_message"),
    *("queue_entry", "claim_cursor", "hold", "reconsideration"),
    *("throttle_window", "throttle_queue_entry"),
    *("provider_health", "provider_limit", "receipt"),
    *("event_endpoint", "event_message"),
    *("engine_state", "lease", "process", "retention_pass", "pruned_count"),
    *("sandbox_call", "sandbox_message", "sandbox_receipt"),
)

FORMER_ADDRESS_TRIGGER = """
CREATE TRIGGER keep_former_address_hashes BEFORE UPDATE OF address_hashes ON recipient
   FOR EACH ROW WHEN (OLD.address_hashes IS DISTINCT FROM NEW.address_hashes)
   EXECUTE FUNCTION keep_former_address_hashes()
"""
# Rows that are inserted and deleted leave some dozens of pages behind, which the table keeps (`vacuum_truncate`): a
# scan of the whole table is never the cheapest plan, not even while the table is empty. No partial index has rows of
# this state, so claims read no dead entries.
GROW_QUEUE = """
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at)
SELECT gen_random_uuid(), 1, gen_random_uuid(), 3, 'canceled', now() FROM generate_series(1, 2000)
"""
EMPTY_QUEUE = "DELETE FROM queue_entry"
FILL_CLAIM_CURSOR = """
INSERT INTO claim_cursor SELECT level, '00000000-0000-0000-0000-000000000000' FROM generate_series(1, 5) level
"""


def upgrade() -> None:
    for name in FUNCTIONS:
        op.execute((FUNCTION_FILES / f"{name}.sql").read_text(encoding="utf-8"))
    _create_tenants()
    _create_content()
    _create_recipients()
    _create_schedules()
    _create_digests()
    _create_notifications()
    _create_queue()
    _create_throttles()
    _create_providers()
    _create_event_webhooks()
    _create_operation()
    _create_sandbox()
    op.execute(FORMER_ADDRESS_TRIGGER)
    op.execute(FILL_CLAIM_CURSOR)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
    for name in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {name}")


def _create_tenants() -> None:
    op.create_table(
        "tenant",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", AutoString(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("default_language", AutoString(), nullable=False),
        sa.Column("timezone", AutoString(), server_default="UTC", nullable=False),
        sa.Column("frequency_cap", JSONB(none_as_null=True)),
        sa.Column("phone_regions", sa.ARRAY(sa.Text())),
        sa.Column("is_installation", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("content_days", sa.Integer(), server_default=sa.text("90"), nullable=False),
        sa.Column("record_days", sa.Integer(), server_default=sa.text("400"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index(
        "tenant_installation", "tenant", ["is_installation"], unique=True, postgresql_where=sa.text("is_installation")
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("prefix", AutoString(), nullable=False),
        sa.Column("hash", AutoString(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("replaces", sa.Uuid()),
        sa.Column("is_dev", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("hash"),
    )
    op.create_index("ix_api_key_tenant", "api_key", ["tenant"])
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_kind", AutoString(), nullable=False),
        sa.Column("actor_id", sa.Uuid()),
        sa.Column("actor_name", AutoString(), nullable=False),
        sa.Column("action", AutoString(), nullable=False),
        sa.Column("subject", AutoString(), nullable=False),
        sa.Column("before", JSONB(none_as_null=True)),
        sa.Column("after", JSONB(none_as_null=True)),
        sa.CheckConstraint("actor_kind IN ('key', 'installation', 'cli')", name="actor_kind_known"),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_entry_of_tenant", "audit_entry", ["tenant", "id"])


def _create_content() -> None:
    op.create_table(
        "notification_type",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("key", AutoString(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("spec", JSONB(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant", "key", "version"),
    )
    op.create_table(
        "template",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("channel", AutoString(), nullable=False),
        sa.Column("language", AutoString(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("subject_template", AutoString()),
        sa.Column("body_template", AutoString(), nullable=False),
        sa.Column("text_template", AutoString()),
        sa.Column("variables_schema", JSONB(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant", "name", "channel", "language", "version"),
    )
    op.create_table(
        "template_publication",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("channel", AutoString(), nullable=False),
        sa.Column("language", AutoString(), nullable=False),
        sa.Column("template_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["template_id"],
            ["template.id"],
        ),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "template_publication_of", "template_publication", ["tenant", "name", "channel", "language", "published_at"]
    )


def _create_recipients() -> None:
    op.create_table(
        "recipient",
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", AutoString(), nullable=False),
        sa.Column("contact", JSONB(none_as_null=True), nullable=False),
        sa.Column("address_hashes", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("former_address_hashes", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("locale", AutoString()),
        sa.Column("timezone", AutoString()),
        sa.Column("attributes", JSONB(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("tenant", "recipient_id"),
    )
    op.create_index("recipient_of_phone", "recipient", [sa.literal_column("(address_hashes ->> 'phone')")])
    op.create_table(
        "device",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", AutoString(), nullable=False),
        sa.Column("device", AutoString(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("address", JSONB(none_as_null=True), nullable=False),
        sa.Column("address_hash", AutoString()),
        sa.Column("locale", AutoString()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "recipient_id"], ["recipient.tenant", "recipient.recipient_id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant", "recipient_id", "device"),
    )
    op.create_index("device_of_address", "device", ["tenant", "address_hash"])
    op.create_table(
        "user_preference",
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("user_id", AutoString(), nullable=False),
        sa.Column("global_channel_opt_in", JSONB(none_as_null=True), nullable=False),
        sa.Column("type_channel_preferences", JSONB(none_as_null=True), nullable=False),
        sa.Column("quiet_hours", JSONB(none_as_null=True)),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "user_id"], ["recipient.tenant", "recipient.recipient_id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant", "user_id"),
    )
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
    op.create_index("topic_subscriber_of_recipient", "topic_subscriber", ["tenant", "recipient_id"])
    op.create_table(
        "suppression",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("channel", AutoString(), nullable=False),
        sa.Column("address_hash", AutoString(), nullable=False),
        sa.Column("address", JSONB(none_as_null=True)),
        sa.Column("reason", AutoString(), nullable=False),
        sa.Column("source", AutoString(), nullable=False),
        sa.Column("notification_id", sa.Uuid()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("lifted_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "suppression_in_force",
        "suppression",
        ["tenant", "channel", "address_hash"],
        unique=True,
        postgresql_where=sa.text("lifted_at IS NULL"),
    )
    op.create_index("suppression_of_tenant", "suppression", ["tenant", "id"])
    op.create_table(
        "erasure",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("counts", JSONB(none_as_null=True), nullable=False),
        sa.Column("recipient_id", AutoString()),
        sa.Column("replacement_id", AutoString()),
        sa.Column("after", sa.Uuid()),
        sa.Column("erased_at", sa.DateTime(timezone=True)),
        sa.Column("last_batch_at", sa.DateTime(timezone=True)),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "erasure_of_recipient",
        "erasure",
        ["tenant", "recipient_id"],
        unique=True,
        postgresql_where=sa.text("finished_at IS NULL AND erased_at IS NULL"),
    )
    op.create_index("erasure_open", "erasure", ["last_batch_at", "id"], postgresql_where=sa.text("finished_at IS NULL"))


def _create_schedules() -> None:
    op.create_table(
        "schedule",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("key", AutoString(), nullable=False),
        sa.Column("notification_type", AutoString(), nullable=False),
        sa.Column("spec", JSONB(none_as_null=True), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "schedule_key", "schedule", ["tenant", "key"], unique=True, postgresql_where=sa.text("deleted_at IS NULL")
    )
    op.create_table(
        "schedule_occurrence",
        sa.Column("schedule_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", AutoString(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("notification_type", AutoString(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("timezone", AutoString(), nullable=False),
        sa.Column("last_local_time", AutoString()),
        sa.ForeignKeyConstraint(
            ["schedule_id"],
            ["schedule.id"],
        ),
        sa.PrimaryKeyConstraint("schedule_id", "recipient_id"),
    )
    op.create_index(
        "schedule_occurrence_due",
        "schedule_occurrence",
        ["tenant", "notification_type", "due_at"],
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index("schedule_occurrence_of_recipient", "schedule_occurrence", ["tenant", "recipient_id"])
    op.create_table(
        "schedule_plan",
        sa.Column("schedule_id", sa.Uuid(), nullable=False),
        sa.Column("after", AutoString(), nullable=False),
        sa.Column("planned_count", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("replans_all", sa.Boolean(), nullable=False),
        sa.Column("last_batch_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["schedule_id"],
            ["schedule.id"],
        ),
        sa.PrimaryKeyConstraint("schedule_id"),
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
        sa.Column("skipped_recipients", JSONB(none_as_null=True), nullable=False),
        sa.Column("skip_reason", AutoString()),
        sa.Column("after", AutoString()),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["schedule_id"],
            ["schedule.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "schedule_run_finished", "schedule_run", ["finished_at"], postgresql_where=sa.text("finished_at IS NOT NULL")
    )
    op.create_index("schedule_run_of_schedule", "schedule_run", ["schedule_id", "due_at"])
    op.create_index(
        "schedule_run_open_of_tenant", "schedule_run", ["tenant", "id"], postgresql_where=sa.text("finished_at IS NULL")
    )


def _create_digests() -> None:
    op.create_table(
        "tick",
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("notification_type", AutoString(), nullable=False),
        sa.Column("interval_minutes", sa.Integer(), nullable=False),
        sa.Column("schedules", JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("synced_at", sa.DateTime(timezone=True)),
        sa.Column("sync_attempted_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("tenant", "notification_type"),
    )
    op.create_index("tick_synced", "tick", ["synced_at"])
    op.create_index(
        "tick_to_sync",
        "tick",
        [sa.literal_column("sync_attempted_at NULLS FIRST")],
        postgresql_where=sa.text("synced_at IS NULL"),
    )
    op.create_table(
        "digest",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("notification_type", AutoString(), nullable=False),
        sa.Column("type_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", AutoString(), nullable=False),
        sa.Column("digest_key", AutoString(), nullable=False),
        sa.Column("closes_on_schedule", sa.Boolean(), nullable=False),
        sa.Column("is_full", sa.Boolean(), nullable=False),
        sa.Column("item_count", sa.Integer(), nullable=False),
        sa.Column("item_bytes", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closes_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closes_by", sa.DateTime(timezone=True)),
        sa.Column("signaled_at", sa.DateTime(timezone=True)),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.Column("notification_id", sa.Uuid()),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.ForeignKeyConstraint(
            ["type_id"],
            ["notification_type.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "digest_closing", "digest", ["closes_on_schedule", "closes_at"], postgresql_where=sa.text("closed_at IS NULL")
    )
    op.create_index(
        "digest_closing_of_tenant",
        "digest",
        ["closes_on_schedule", "tenant", "closes_at"],
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_index(
        "digest_due_of_type",
        "digest",
        ["tenant", "notification_type", "closes_at"],
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_index(
        "digest_full_of_tenant", "digest", ["tenant", "id"], postgresql_where=sa.text("closed_at IS NULL AND is_full")
    )
    op.create_index("digest_of_recipient", "digest", ["tenant", "recipient_id", "id"])
    op.create_index("digest_of_tenant", "digest", ["tenant", "id"])
    op.create_index(
        "digest_open",
        "digest",
        ["tenant", "digest_key"],
        unique=True,
        postgresql_where=sa.text("closed_at IS NULL AND NOT is_full"),
    )
    op.create_index(
        "digest_to_signal_of_tenant",
        "digest",
        ["tenant", "closes_at", "id"],
        postgresql_where=sa.text("closed_at IS NULL AND signaled_at IS NULL"),
    )


def _create_notifications() -> None:
    op.create_table(
        "notification",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", AutoString(), nullable=False),
        sa.Column("notification_type", AutoString(), nullable=False),
        sa.Column("type_id", sa.Uuid(), nullable=False),
        sa.Column("event_payload", JSONB(none_as_null=True), nullable=False),
        sa.Column("status", AutoString(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("channels", sa.ARRAY(sa.Text())),
        sa.Column("tags", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("idempotency_key", AutoString()),
        sa.Column("idempotency_hash", AutoString()),
        sa.Column("holds_idempotency_key", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("send_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("failure_reason", AutoString()),
        sa.Column("failures", JSONB(none_as_null=True)),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True)),
        sa.Column("content_removed_at", sa.DateTime(timezone=True)),
        sa.Column("digest_key", AutoString()),
        sa.Column("digest_id", sa.Uuid()),
        sa.Column("schedule_id", sa.Uuid()),
        sa.Column("cancel_key", AutoString()),
        sa.CheckConstraint(
            "status IN ('PENDING', 'SENT', 'DELIVERED', 'OPENED', 'FAILED', 'SUPPRESSED', 'CANCELED', 'EXPIRED', 'DIGESTED', 'IN_DOUBT')",
            name="status_known",
        ),
        sa.CheckConstraint("priority BETWEEN 1 AND 5", name="priority_range"),
        sa.ForeignKeyConstraint(
            ["digest_id"],
            ["digest.id"],
        ),
        sa.ForeignKeyConstraint(
            ["schedule_id"],
            ["schedule.id"],
        ),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.ForeignKeyConstraint(
            ["type_id"],
            ["notification_type.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        postgresql_with={"fillfactor": 85},
    )
    op.create_index(
        "notification_idempotency",
        "notification",
        ["tenant", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("holds_idempotency_key"),
    )
    op.create_index(
        "notification_of_cancel_key",
        "notification",
        ["tenant", "cancel_key", "id"],
        postgresql_where=sa.text("cancel_key IS NOT NULL AND finished_at IS NULL"),
    )
    op.create_index(
        "notification_of_digest", "notification", ["digest_id"], postgresql_where=sa.text("digest_id IS NOT NULL")
    )
    op.create_index("notification_of_recipient", "notification", ["tenant", "recipient_id", "id"])
    op.create_index(
        "notification_of_schedule",
        "notification",
        ["schedule_id", "recipient_id"],
        postgresql_where=sa.text("schedule_id IS NOT NULL AND finished_at IS NULL"),
    )
    op.create_index("notification_of_status", "notification", ["tenant", "status", "id"])
    op.create_index("notification_of_tags", "notification", ["tags"], postgresql_using="gin")
    op.create_index("notification_of_tenant", "notification", ["tenant", "id"])
    op.create_index("notification_of_type", "notification", ["tenant", "notification_type", "id"])
    op.create_index(
        "notification_with_cancel_key",
        "notification",
        ["tenant", "cancel_key", "id"],
        postgresql_where=sa.text("cancel_key IS NOT NULL"),
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("channel", AutoString(), nullable=False),
        sa.Column("rule", AutoString()),
        sa.Column("is_skipped_by_rule", sa.Boolean(), nullable=False),
        sa.Column("template_id", sa.Uuid()),
        sa.Column("template_name", AutoString()),
        sa.Column("template_version", sa.Integer()),
        sa.Column("language", AutoString()),
        sa.Column("rendered_content", JSONB(none_as_null=True)),
        sa.Column("status", AutoString(), nullable=False),
        sa.Column("provider", AutoString()),
        sa.Column("provider_message_id", AutoString()),
        sa.Column("provider_response", JSONB(none_as_null=True)),
        sa.Column("failure_reason", AutoString()),
        sa.Column("failure_args", JSONB(none_as_null=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
        sa.Column("opened_at", sa.DateTime(timezone=True)),
        sa.Column("clicked_at", sa.DateTime(timezone=True)),
        sa.Column("awaited_evidence", AutoString()),
        sa.Column("held_at", sa.DateTime(timezone=True)),
        sa.Column("held_priority", sa.Integer()),
        sa.Column("held_providers", sa.ARRAY(sa.Text())),
        sa.Column("hold_key", AutoString()),
        sa.Column("release_expires_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "status IN ('PENDING', 'SENDING', 'SENT', 'DELIVERED', 'OPENED', 'FAILED', 'SKIPPED', 'CANCELED', 'EXPIRED', 'IN_DOUBT')",
            name="status_known",
        ),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["notification.id"],
        ),
        sa.ForeignKeyConstraint(
            ["template_id"],
            ["template.id"],
        ),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "delivery_held",
        "delivery",
        ["held_priority", "hold_key", "tenant", "held_at"],
        postgresql_where=sa.text("held_at IS NOT NULL AND release_expires_at IS NULL"),
    )
    op.create_index("delivery_of_channel", "delivery", ["tenant", "channel", "notification_id"])
    op.create_index("delivery_of_notification", "delivery", ["notification_id"])
    op.create_index(
        "delivery_released",
        "delivery",
        ["release_expires_at"],
        postgresql_where=sa.text("held_at IS NOT NULL AND release_expires_at IS NOT NULL"),
    )
    op.create_index(
        "delivery_words", "delivery", [sa.literal_column("content_words(rendered_content)")], postgresql_using="gin"
    )
    op.create_table(
        "attempt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", AutoString(), nullable=False),
        sa.Column("address_hash", AutoString()),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("provider", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("evidence", AutoString()),
        sa.Column("error_type", AutoString()),
        sa.Column("reason", AutoString()),
        sa.Column("receipt_reason", AutoString()),
        sa.Column("cost", sa.Numeric(precision=12, scale=6)),
        sa.Column("provider_message_id", AutoString()),
        sa.Column("provider_response", JSONB(none_as_null=True)),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("next_at", sa.DateTime(timezone=True)),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
        sa.Column("bounced_at", sa.DateTime(timezone=True)),
        sa.Column("opened_at", sa.DateTime(timezone=True)),
        sa.Column("clicked_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "evidence IN ('not_sent', 'in_doubt', 'sent', 'delivered', 'bounced', 'opened', 'clicked')",
            name="evidence_known",
        ),
        sa.CheckConstraint(
            "state IN ('submitting', 'accepted', 'refused', 'not_accepted', 'unknown')", name="state_known"
        ),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["notification.id"],
        ),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("attempt_of_message", "attempt", ["provider", "provider_message_id"])
    op.create_index("attempt_of_notification", "attempt", ["notification_id"])
    op.create_index("attempt_under_way", "attempt", ["address_hash"], postgresql_where=sa.text("state = 'submitting'"))
    op.create_table(
        "event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("channel", AutoString()),
        sa.Column("reason", AutoString()),
        sa.Column("detail", JSONB(none_as_null=True)),
        sa.Column("delivery_id", sa.Uuid()),
        sa.Column("delivery_status", AutoString()),
        sa.Column("status", AutoString()),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["notification.id"],
        ),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("event_of_notification", "event", ["notification_id", "position"])
    op.create_table(
        "multi_send",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("idempotency_key", AutoString(), nullable=False),
        sa.Column("idempotency_hash", AutoString(), nullable=False),
        sa.Column("results", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("multi_send_expired", "multi_send", ["expires_at"])
    op.create_index("multi_send_key", "multi_send", ["tenant", "idempotency_key"], unique=True)
    op.create_table(
        "inbox_message",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", AutoString(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("content", JSONB(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True)),
        sa.Column("read_at", sa.DateTime(timezone=True)),
        sa.Column("archived_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["notification.id"],
        ),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("inbox_message_of_notification", "inbox_message", ["notification_id"])
    op.create_index("inbox_message_of_recipient", "inbox_message", ["tenant", "recipient_id", "created_at", "id"])


def _create_queue() -> None:
    op.create_table(
        "queue_entry",
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("lane", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_by", sa.Uuid()),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("evidence_due", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("evidence_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("cancel_due", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("waits_for", AutoString()),
        sa.Column("awaited_provider", AutoString()),
        sa.Column("waits_until", sa.DateTime(timezone=True)),
        sa.Column("recipient_id", AutoString()),
        sa.Column("queued_provider", AutoString()),
        sa.Column("queued_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "state IN ('due', 'claimed', 'started', 'waiting', 'collecting', 'canceled')", name="state_known"
        ),
        sa.PrimaryKeyConstraint("notification_id"),
        postgresql_with={
            "fillfactor": 50,
            "autovacuum_vacuum_scale_factor": 0.02,
            "autovacuum_vacuum_threshold": 200,
            "autovacuum_vacuum_cost_delay": 0,
            "autovacuum_analyze_scale_factor": 0.05,
            "autovacuum_analyze_threshold": 500,
            "vacuum_truncate": "false",
        },
    )
    op.execute(GROW_QUEUE)
    op.execute(EMPTY_QUEUE)
    op.create_index(
        "queue_entry_awaited_provider",
        "queue_entry",
        ["awaited_provider", "priority", "tenant", "notification_id"],
        postgresql_where=sa.text("state = 'waiting' AND awaited_provider IS NOT NULL"),
    )
    op.create_index(
        "queue_entry_cancels",
        "queue_entry",
        ["tenant", "notification_id"],
        postgresql_where=sa.text("cancel_due AND (started_at IS NOT NULL OR state = 'canceled')"),
    )
    op.create_index(
        "queue_entry_collecting",
        "queue_entry",
        ["next_at", "notification_id"],
        postgresql_where=sa.text("state = 'collecting'"),
    )
    op.create_index(
        "queue_entry_collecting_of_tenant",
        "queue_entry",
        ["tenant", "next_at", "notification_id"],
        postgresql_where=sa.text("state = 'collecting'"),
    )
    op.create_index(
        "queue_entry_due",
        "queue_entry",
        ["priority", "tenant", "lane", "next_at", "notification_id"],
        postgresql_where=sa.text("state = 'due'"),
    )
    op.create_index(
        "queue_entry_evidence", "queue_entry", ["tenant", "notification_id"], postgresql_where=sa.text("evidence_due")
    )
    op.create_index(
        "queue_entry_may_be_orphaned",
        "queue_entry",
        ["next_at"],
        postgresql_where=sa.text(
            "state = 'started' OR (state = 'waiting' AND (waits_until IS NULL OR COALESCE(waits_for, '') IN ('throttled', 'frequency_capped')))"
        ),
    )
    op.create_index(
        "queue_entry_queued_provider",
        "queue_entry",
        ["queued_provider", "queued_at"],
        postgresql_where=sa.text("queued_provider IS NOT NULL"),
    )
    op.create_index(
        "queue_entry_slots",
        "queue_entry",
        ["claimed_by", "next_at"],
        postgresql_where=sa.text("claimed_by IS NOT NULL"),
    )
    op.create_index(
        "queue_entry_timed",
        "queue_entry",
        ["priority", "next_at"],
        postgresql_where=sa.text(
            "state = 'claimed' OR (state = 'waiting' AND waits_until IS NOT NULL AND NOT COALESCE(waits_for, '') IN ('throttled', 'frequency_capped'))"
        ),
    )
    op.create_index(
        "queue_entry_urgent",
        "queue_entry",
        ["tenant", "priority", "next_at", "notification_id"],
        postgresql_where=sa.text("state = 'due' AND priority <= 2"),
    )
    op.create_index(
        "queue_entry_waiting_for",
        "queue_entry",
        ["tenant", "waits_for", "notification_id"],
        postgresql_where=sa.text("waits_for IS NOT NULL"),
    )
    op.create_index(
        "queue_entry_waiting_of_recipient",
        "queue_entry",
        ["tenant", "recipient_id"],
        postgresql_where=sa.text("waits_for IS NOT NULL"),
    )
    op.create_table(
        "claim_cursor",
        sa.Column("priority", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("priority"),
    )
    op.create_table(
        "hold",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid()),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("reason", AutoString()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", AutoString()),
        sa.CheckConstraint("kind IN ('provider', 'channel', 'type', 'tenant')", name="kind_known"),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("kind", "name", "tenant", postgresql_nulls_not_distinct=True),
    )
    op.create_table(
        "reconsideration",
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("reason", AutoString(), nullable=False),
        sa.Column("after", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", AutoString(), server_default="", nullable=False),
        sa.Column("last_batch_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("tenant", "reason"),
    )


def _create_throttles() -> None:
    op.create_table(
        "throttle_window",
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("key", AutoString(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("max_slots", sa.Integer(), nullable=False),
        sa.Column("per_seconds", sa.Float(), nullable=False),
        sa.Column("used_slots", sa.Integer(), nullable=False),
        sa.Column("has_waiters", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("tenant", "key"),
    )
    op.create_index("throttle_window_awaited", "throttle_window", ["ends_at"], postgresql_where=sa.text("has_waiters"))
    op.create_index("throttle_window_over", "throttle_window", ["ends_at"])
    op.create_table(
        "throttle_queue_entry",
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("key", AutoString(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["notification.id"],
        ),
        sa.PrimaryKeyConstraint("notification_id", "generation", "key"),
    )
    op.create_index(
        "throttle_queue_entry_waiting",
        "throttle_queue_entry",
        ["tenant", "key", "priority", "notification_id"],
        postgresql_where=sa.text("granted_at IS NULL"),
    )


def _create_providers() -> None:
    op.create_table(
        "provider_health",
        sa.Column("provider", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("reason", AutoString()),
        sa.Column("penalty", sa.Integer(), nullable=False),
        sa.Column("open_count", sa.Integer(), nullable=False),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("penalty_updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("probe_at", sa.DateTime(timezone=True)),
        sa.Column("throttled_until", sa.DateTime(timezone=True)),
        sa.Column("lookup_refused_attempt_id", sa.Uuid()),
        sa.Column("lookup_refused_at", sa.DateTime(timezone=True)),
        sa.Column("recent", JSONB(none_as_null=True), nullable=False),
        sa.Column("credential_failures", JSONB(none_as_null=True), nullable=False),
        sa.CheckConstraint("state IN ('closed', 'open', 'half_open')", name="state_known"),
        sa.PrimaryKeyConstraint("provider"),
    )
    op.create_table(
        "provider_limit",
        sa.Column("provider", AutoString(), nullable=False),
        sa.Column("rate", sa.Float()),
        sa.Column("tenant_rate", sa.Float()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("provider"),
    )
    op.create_table(
        "receipt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "tenant", sa.Uuid(), server_default=sa.text("'00000000-0000-0000-0000-000000000000'"), nullable=False
        ),
        sa.Column("provider", AutoString(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("attempt_id", sa.Uuid()),
        sa.Column("provider_message_id", AutoString()),
        sa.Column("reason", AutoString()),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("raw", JSONB(none_as_null=True), nullable=False),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True)),
        sa.Column("applied_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("receipt_of_attempt", "receipt", ["attempt_id"])
    op.create_index(
        "receipt_of_group",
        "receipt",
        ["provider", "reason", "occurred_at"],
        postgresql_where=sa.text("kind IN ('unsubscribed', 'resubscribed')"),
    )
    op.create_index("receipt_of_message", "receipt", ["provider", "provider_message_id"])
    op.create_index("receipt_received", "receipt", ["received_at"])
    op.create_index(
        "receipt_waiting",
        "receipt",
        ["next_attempt_at"],
        postgresql_where=sa.text("applied_at IS NULL AND next_attempt_at IS NOT NULL"),
    )
    op.create_index(
        "receipt_waiting_of_tenant",
        "receipt",
        ["tenant", "next_attempt_at"],
        postgresql_where=sa.text("applied_at IS NULL AND next_attempt_at IS NOT NULL"),
    )


def _create_event_webhooks() -> None:
    op.create_table(
        "event_endpoint",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("key", AutoString(), nullable=False),
        sa.Column("url", AutoString(), nullable=False),
        sa.Column("events", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("secret", AutoString(), nullable=False),
        sa.Column("previous_secret", AutoString()),
        sa.Column("previous_until", sa.DateTime(timezone=True)),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True)),
        sa.Column("disabled_reason", AutoString()),
        sa.Column("failing_since", sa.DateTime(timezone=True)),
        sa.Column("failed_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
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
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("notification_id", sa.Uuid()),
        sa.Column("event_id", sa.Uuid()),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", AutoString(), nullable=False),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True)),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
        sa.Column("given_up_at", sa.DateTime(timezone=True)),
        sa.Column("replayed_at", sa.DateTime(timezone=True)),
        sa.Column("last_status", sa.Integer()),
        sa.Column("last_error", AutoString()),
        sa.Column("attempts", JSONB(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["event_endpoint.id"],
        ),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "event_message_due",
        "event_message",
        ["next_attempt_at"],
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
    )
    op.create_index(
        "event_message_given_up",
        "event_message",
        ["endpoint_id", "occurred_at", "id"],
        postgresql_where=sa.text("given_up_at IS NOT NULL"),
    )
    op.create_index("event_message_of_endpoint", "event_message", ["endpoint_id", "occurred_at", "id"])
    op.create_index(
        "event_message_of_notification",
        "event_message",
        ["notification_id"],
        postgresql_where=sa.text("notification_id IS NOT NULL"),
    )
    op.create_index(
        "event_message_waiting",
        "event_message",
        ["endpoint_id", "next_attempt_at"],
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
    )


def _create_operation() -> None:
    op.create_table(
        "engine_state",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("namespace_id", AutoString()),
        sa.Column("seen_at", sa.DateTime(timezone=True)),
        sa.Column("other_id", AutoString()),
        sa.Column("other_since", sa.DateTime(timezone=True)),
        sa.Column("other_seen_at", sa.DateTime(timezone=True)),
        sa.Column("confirmed_id", AutoString()),
        sa.Column("recovery_since", sa.DateTime(timezone=True)),
        sa.Column("recovery_total", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("recovery_done", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("recovery_priority", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("recovery_after", sa.Uuid()),
        sa.Column("recovered_at", sa.DateTime(timezone=True)),
        sa.Column("hold_name", AutoString()),
        sa.Column("released_hold", AutoString()),
        sa.Column("restored_at", sa.DateTime(timezone=True)),
        sa.Column("restored_before", sa.Uuid()),
        sa.Column("workflows_ended_at", sa.DateTime(timezone=True)),
        sa.Column("key_fingerprints", JSONB(none_as_null=True)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "lease",
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acquired_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "process",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("host", AutoString(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("providers", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("isolation", sa.ARRAY(sa.Text())),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("steady_since", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('worker', 'api')", name="kind_known"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "retention_pass",
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("content_after", sa.Uuid(), nullable=False),
        sa.Column("pass_started_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.create_table(
        "pruned_count",
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _create_sandbox() -> None:
    op.create_table(
        "sandbox_call",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", AutoString(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("sandbox_call_of", "sandbox_call", ["delivery_id", "endpoint_id"])
    op.create_table(
        "sandbox_message",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", AutoString(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", AutoString(), nullable=False),
        sa.Column("channel", AutoString(), nullable=False),
        sa.Column("address", JSONB(none_as_null=True), nullable=False),
        sa.Column("content", JSONB(none_as_null=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("sandbox_message_of", "sandbox_message", ["tenant", "recipient_id", "id"])
    op.create_table(
        "sandbox_receipt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("sandbox_receipt_due", "sandbox_receipt", ["due_at"], postgresql_where=sa.text("posted_at IS NULL"))
    op.create_index(
        "sandbox_receipt_posted", "sandbox_receipt", ["posted_at"], postgresql_where=sa.text("posted_at IS NOT NULL")
    )
