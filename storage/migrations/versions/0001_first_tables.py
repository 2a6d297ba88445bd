"""The first story's tables."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlmodel.sql.sqltypes import AutoString

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


# Words for the search index. A content with more of them than a tsvector can hold is delivered, and not found by words.
CONTENT_WORDS = """
CREATE FUNCTION content_words(content jsonb) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RETURN jsonb_to_tsvector('simple'::regconfig, content, '["string"]'::jsonb);
EXCEPTION WHEN program_limit_exceeded THEN
  RETURN ''::tsvector;
END $$
"""


def upgrade() -> None:
    op.execute(CONTENT_WORDS)
    op.create_table(
        "engine_state",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("namespace_id", AutoString(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "receipt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("provider", AutoString(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=True),
        sa.Column("provider_message_id", AutoString(), nullable=True),
        sa.Column("reason", AutoString(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("raw", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("receipt_of_attempt", "receipt", ["attempt_id"], unique=False)
    op.create_index("receipt_of_message", "receipt", ["provider", "provider_message_id"], unique=False)
    op.create_index(
        "receipt_waiting",
        "receipt",
        ["next_try_at"],
        unique=False,
        postgresql_where=sa.text("applied_at IS NULL AND next_try_at IS NOT NULL"),
    )
    op.create_table(
        "sandbox_call",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", AutoString(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("sandbox_call_of", "sandbox_call", ["delivery_id", "endpoint_id"], unique=False)
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
        sa.Column("address", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("content", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("sandbox_message_of", "sandbox_message", ["tenant", "recipient_id", "id"], unique=False)
    op.create_table(
        "sandbox_receipt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "sandbox_receipt_due",
        "sandbox_receipt",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("posted_at IS NULL"),
    )
    op.create_table(
        "tenant",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", AutoString(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("default_language", AutoString(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
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
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("hash"),
    )
    op.create_index(op.f("ix_api_key_tenant"), "api_key", ["tenant"], unique=False)
    op.create_table(
        "erasure",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("counts", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "notification_type",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("key", AutoString(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("spec", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant", "key", "version"),
    )
    op.create_table(
        "recipient",
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", AutoString(), nullable=False),
        sa.Column("contact", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("locale", AutoString(), nullable=True),
        sa.Column("timezone", AutoString(), nullable=True),
        sa.Column("attributes", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant"],
            ["tenant.id"],
        ),
        sa.PrimaryKeyConstraint("tenant", "recipient_id"),
    )
    op.create_table(
        "template",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("channel", AutoString(), nullable=False),
        sa.Column("language", AutoString(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("subject_template", AutoString(), nullable=True),
        sa.Column("body_template", AutoString(), nullable=False),
        sa.Column("text_template", AutoString(), nullable=True),
        sa.Column("variables_schema", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
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
        "device",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", AutoString(), nullable=False),
        sa.Column("device", AutoString(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("address", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("locale", AutoString(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "recipient_id"], ["recipient.tenant", "recipient.recipient_id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant", "recipient_id", "device"),
    )
    op.create_index(
        "device_addresses",
        "device",
        ["address"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"address": "jsonb_path_ops"},
    )
    op.create_table(
        "notification",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", AutoString(), nullable=False),
        sa.Column("notification_type", AutoString(), nullable=False),
        sa.Column("type_id", sa.Uuid(), nullable=False),
        sa.Column("event_payload", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("status", AutoString(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("channels", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("idempotency_key", AutoString(), nullable=True),
        sa.Column("idempotency_hash", AutoString(), nullable=True),
        sa.Column("idempotency_held", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("send_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failure_reason", AutoString(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_signaled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dispatch_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("swept_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('PENDING', 'SENT', 'DELIVERED', 'OPENED', 'FAILED', 'SUPPRESSED', 'CANCELED', 'EXPIRED', 'DIGESTED', 'IN_DOUBT')",
            name="status_known",
        ),
        sa.CheckConstraint("priority BETWEEN 1 AND 5", name="priority_range"),
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
        "notification_cancels",
        "notification",
        ["cancel_requested_at"],
        unique=False,
        postgresql_where=sa.text(
            "cancel_requested_at IS NOT NULL AND cancel_signaled_at IS NULL AND dispatched_at IS NOT NULL"
        ),
    )
    op.create_index(
        "notification_due",
        "notification",
        ["tenant", "priority", "id"],
        unique=False,
        postgresql_where=sa.text("dispatched_at IS NULL AND finished_at IS NULL"),
    )
    op.create_index(
        "notification_idempotency",
        "notification",
        ["tenant", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_held"),
    )
    op.create_index("notification_of_recipient", "notification", ["tenant", "recipient_id", "id"], unique=False)
    op.create_index("notification_of_status", "notification", ["tenant", "status", "id"], unique=False)
    op.create_index("notification_of_tags", "notification", ["tags"], unique=False, postgresql_using="gin")
    op.create_index("notification_of_tenant", "notification", ["tenant", "id"], unique=False)
    op.create_index("notification_of_type", "notification", ["tenant", "notification_type", "id"], unique=False)
    op.create_index(
        "notification_open",
        "notification",
        ["swept_at"],
        unique=False,
        postgresql_where=sa.text("dispatched_at IS NOT NULL AND finished_at IS NULL"),
    )
    op.create_index(
        "notification_urgent",
        "notification",
        ["priority", "id"],
        unique=False,
        postgresql_where=sa.text("dispatched_at IS NULL AND finished_at IS NULL AND priority <= 2"),
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
        "template_publication_of",
        "template_publication",
        ["tenant", "name", "channel", "language", "published_at"],
        unique=False,
    )
    op.create_table(
        "user_preference",
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("user_id", AutoString(), nullable=False),
        sa.Column("global_channel_opt_in", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column(
            "type_channel_preferences", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False
        ),
        sa.Column("quiet_hours", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "user_id"], ["recipient.tenant", "recipient.recipient_id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant", "user_id"),
    )
    op.create_table(
        "delivery",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("channel", AutoString(), nullable=False),
        sa.Column("rule", AutoString(), nullable=True),
        sa.Column("by_rule", sa.Boolean(), nullable=False),
        sa.Column("template_id", sa.Uuid(), nullable=True),
        sa.Column("template_name", AutoString(), nullable=True),
        sa.Column("template_version", sa.Integer(), nullable=True),
        sa.Column("language", AutoString(), nullable=True),
        sa.Column("rendered_content", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("status", AutoString(), nullable=False),
        sa.Column("provider", AutoString(), nullable=True),
        sa.Column("provider_message_id", AutoString(), nullable=True),
        sa.Column("provider_response", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("failure_reason", AutoString(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("clicked_at", sa.DateTime(timezone=True), nullable=True),
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
    op.create_index("delivery_of_channel", "delivery", ["tenant", "channel", "notification_id"], unique=False)
    op.create_index("delivery_of_notification", "delivery", ["notification_id"], unique=False)
    op.create_index(
        "delivery_words",
        "delivery",
        [sa.literal_column("content_words(rendered_content)")],
        unique=False,
        postgresql_using="gin",
    )
    op.create_table(
        "event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("channel", AutoString(), nullable=True),
        sa.Column("reason", AutoString(), nullable=True),
        sa.Column("detail", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("delivery_id", sa.Uuid(), nullable=True),
        sa.Column("delivery_status", AutoString(), nullable=True),
        sa.Column("status", AutoString(), nullable=True),
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
    op.create_index("event_of_notification", "event", ["notification_id", "position"], unique=False)
    op.create_table(
        "inbox_message",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", AutoString(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("content", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
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
    op.create_index("inbox_of_recipient", "inbox_message", ["tenant", "recipient_id", "created_at", "id"], unique=False)
    op.create_table(
        "attempt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", AutoString(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("provider", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("evidence", AutoString(), nullable=True),
        sa.Column("error_type", AutoString(), nullable=True),
        sa.Column("reason", AutoString(), nullable=True),
        sa.Column("cost", sa.Numeric(precision=12, scale=6), nullable=True),
        sa.Column("provider_message_id", AutoString(), nullable=True),
        sa.Column("provider_response", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("bounced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("clicked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "evidence IN ('not_sent', 'in_doubt', 'sent', 'delivered', 'bounced', 'opened', 'clicked')",
            name="evidence_known",
        ),
        sa.CheckConstraint(
            "state IN ('submitting', 'accepted', 'refused', 'not_accepted', 'unknown')", name="state_known"
        ),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["delivery.id"],
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
    op.create_index("attempt_of_message", "attempt", ["provider", "provider_message_id"], unique=False)
    op.create_index("attempt_of_notification", "attempt", ["notification_id"], unique=False)


def downgrade() -> None:
    op.drop_index("attempt_of_notification", table_name="attempt")
    op.drop_index("attempt_of_message", table_name="attempt")
    op.drop_table("attempt")
    op.drop_index("inbox_of_recipient", table_name="inbox_message")
    op.drop_table("inbox_message")
    op.drop_index("event_of_notification", table_name="event")
    op.drop_table("event")
    op.drop_index("delivery_words", table_name="delivery", postgresql_using="gin")
    op.drop_index("delivery_of_notification", table_name="delivery")
    op.drop_index("delivery_of_channel", table_name="delivery")
    op.drop_table("delivery")
    op.drop_table("user_preference")
    op.drop_index("template_publication_of", table_name="template_publication")
    op.drop_table("template_publication")
    op.drop_index(
        "notification_urgent",
        table_name="notification",
        postgresql_where=sa.text("dispatched_at IS NULL AND finished_at IS NULL AND priority <= 2"),
    )
    op.drop_index(
        "notification_open",
        table_name="notification",
        postgresql_where=sa.text("dispatched_at IS NOT NULL AND finished_at IS NULL"),
    )
    op.drop_index("notification_of_type", table_name="notification")
    op.drop_index("notification_of_tenant", table_name="notification")
    op.drop_index("notification_of_tags", table_name="notification", postgresql_using="gin")
    op.drop_index("notification_of_status", table_name="notification")
    op.drop_index("notification_of_recipient", table_name="notification")
    op.drop_index("notification_idempotency", table_name="notification", postgresql_where=sa.text("idempotency_held"))
    op.drop_index(
        "notification_due",
        table_name="notification",
        postgresql_where=sa.text("dispatched_at IS NULL AND finished_at IS NULL"),
    )
    op.drop_index(
        "notification_cancels",
        table_name="notification",
        postgresql_where=sa.text(
            "cancel_requested_at IS NOT NULL AND cancel_signaled_at IS NULL AND dispatched_at IS NOT NULL"
        ),
    )
    op.drop_table("notification")
    op.drop_index(
        "device_addresses", table_name="device", postgresql_using="gin", postgresql_ops={"address": "jsonb_path_ops"}
    )
    op.drop_table("device")
    op.drop_table("template")
    op.drop_table("recipient")
    op.drop_table("notification_type")
    op.drop_table("erasure")
    op.drop_index(op.f("ix_api_key_tenant"), table_name="api_key")
    op.drop_table("api_key")
    op.drop_table("tenant")
    op.drop_index("sandbox_receipt_due", table_name="sandbox_receipt", postgresql_where=sa.text("posted_at IS NULL"))
    op.drop_table("sandbox_receipt")
    op.drop_index("sandbox_message_of", table_name="sandbox_message")
    op.drop_table("sandbox_message")
    op.drop_index("sandbox_call_of", table_name="sandbox_call")
    op.drop_table("sandbox_call")
    op.drop_index(
        "receipt_waiting",
        table_name="receipt",
        postgresql_where=sa.text("applied_at IS NULL AND next_try_at IS NOT NULL"),
    )
    op.drop_index("receipt_of_message", table_name="receipt")
    op.drop_index("receipt_of_attempt", table_name="receipt")
    op.drop_table("receipt")
    op.drop_table("engine_state")
    op.execute("DROP FUNCTION content_words(jsonb)")
