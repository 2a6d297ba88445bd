"""What a delivery may wait for: evidence, a hold, a provider's health; and whom nobody may write to."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlmodel.sql.sqltypes import AutoString

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# As `storage/sealing.py` makes them.
ADDRESS_KEYS = """
UPDATE recipient SET address_keys = jsonb_strip_nulls(jsonb_build_object(
  'email', encode(sha256(convert_to(tenant::text || ':email:' || lower(contact->>'email'), 'UTF8')), 'hex'),
  'phone', encode(sha256(convert_to(tenant::text || ':phone:' || (contact->>'phone'), 'UTF8')), 'hex')))
"""


def upgrade() -> None:
    op.create_table(
        "hold",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant", sa.Uuid(), sa.ForeignKey("tenant.id"), nullable=True),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("reason", AutoString(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('provider', 'channel', 'type')", name="kind_known"),
        sa.UniqueConstraint("kind", "name", "tenant", postgresql_nulls_not_distinct=True),
    )
    op.create_table(
        "suppression",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant", sa.Uuid(), sa.ForeignKey("tenant.id"), nullable=False),
        sa.Column("channel", AutoString(), nullable=False),
        sa.Column("address_key", AutoString(), nullable=False),
        sa.Column("address", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("reason", AutoString(), nullable=False),
        sa.Column("source", AutoString(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.create_index(
        "suppression_in_force",
        "suppression",
        ["tenant", "channel", "address_key"],
        unique=True,
        postgresql_where=sa.text("lifted_at IS NULL"),
    )
    op.create_index("suppression_of_tenant", "suppression", ["tenant", "id"])
    op.create_table(
        "provider_health",
        sa.Column("provider", AutoString(), primary_key=True),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("reason", AutoString(), nullable=True),
        sa.Column("penalty", sa.Integer(), nullable=False),
        sa.Column("openings", sa.Integer(), nullable=False),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("weighed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("probe_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recent", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.Column("refusers", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.CheckConstraint("state IN ('closed', 'open', 'half_open')", name="state_known"),
    )
    op.add_column("recipient", sa.Column("address_keys", postgresql.JSONB(), nullable=False, server_default="{}"))
    op.execute(ADDRESS_KEYS)
    op.create_index("recipient_of_phone", "recipient", [sa.text("(address_keys ->> 'phone')")])
    op.add_column(
        "notification", sa.Column("evidence_due", sa.Boolean(), nullable=False, server_default=sa.text("false"))
    )
    op.create_index("notification_evidence", "notification", ["id"], postgresql_where=sa.text("evidence_due"))
    op.add_column("attempt", sa.Column("address_key", AutoString(), nullable=True))
    op.add_column("delivery", sa.Column("awaits", AutoString(), nullable=True))
    op.add_column("delivery", sa.Column("held_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("delivery", sa.Column("held_providers", postgresql.ARRAY(sa.Text()), nullable=True))
    op.add_column("delivery", sa.Column("release_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("delivery", sa.Column("held_priority", sa.Integer(), nullable=True))
    op.create_index(
        "delivery_held",
        "delivery",
        ["tenant", "held_priority", "held_at"],
        postgresql_where=sa.text("held_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("delivery_held", "delivery")
    for column in ("held_priority", "release_at", "held_providers", "held_at", "awaits"):
        op.drop_column("delivery", column)
    op.drop_index("notification_evidence", "notification")
    op.drop_column("notification", "evidence_due")
    op.drop_column("attempt", "address_key")
    op.drop_column("recipient", "address_keys")
    op.drop_table("provider_health")
    op.drop_table("suppression")
    op.drop_table("hold")
