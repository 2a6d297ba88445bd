"""Notifications may have a key of the caller by which they are canceled."""

from collections.abc import Sequence

from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NAME = "notification_of_cancel_key"


def upgrade() -> None:
    op.execute("ALTER TABLE notification ADD COLUMN IF NOT EXISTS cancel_key varchar")
    # Without a lock on the table; an attempt that was interrupted leaves an invalid index behind.
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {NAME}")
        op.execute(
            f"CREATE INDEX CONCURRENTLY {NAME} ON notification (tenant, cancel_key, id)"
            " WHERE cancel_key IS NOT NULL AND finished_at IS NULL"
        )


def downgrade() -> None:
    op.drop_index(NAME, "notification")
    op.drop_column("notification", "cancel_key")
