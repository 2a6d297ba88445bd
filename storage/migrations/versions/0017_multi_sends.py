"""Sends to several recipients hold one idempotency key; notifications are listed by their cancel key."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel.sql.sqltypes import AutoString

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NAME = "notification_with_cancel_key"


def upgrade() -> None:
    op.create_table(
        "multi_send",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tenant", sa.Uuid(), sa.ForeignKey("tenant.id"), nullable=False),
        sa.Column("idempotency_key", AutoString(), nullable=False),
        sa.Column("idempotency_hash", AutoString(), nullable=False),
        sa.Column("results", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        if_not_exists=True,
    )
    op.create_index("multi_send_key", "multi_send", ["tenant", "idempotency_key"], unique=True, if_not_exists=True)
    op.create_index("multi_send_expired", "multi_send", ["expires_at"], if_not_exists=True)
    # Without a lock on the table; an attempt that was interrupted leaves an invalid index behind.
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {NAME}")
        op.execute(
            f"CREATE INDEX CONCURRENTLY {NAME} ON notification (tenant, cancel_key, id) WHERE cancel_key IS NOT NULL"
        )


def downgrade() -> None:
    op.drop_index(NAME, "notification")
    op.drop_table("multi_send")
