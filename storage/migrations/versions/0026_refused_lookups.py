"""A provider that has refused to look up two attempts cannot be asked; receipts about groups are found by their time;
batches that fail are counted."""

from collections.abc import Sequence

from alembic import op

revision: str = "0026"
down_revision: str | None = "0025"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INDEX = "receipt_of_group"
BATCHED = ("erasure", "reconsideration")


def upgrade() -> None:
    op.execute("ALTER TABLE provider_health ADD COLUMN IF NOT EXISTS refused_attempt uuid")
    for table in BATCHED:
        op.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS failures integer NOT NULL DEFAULT 0")
    # Without a lock on the table; an attempt that was interrupted leaves an invalid index behind.
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
        op.execute(
            f"CREATE INDEX CONCURRENTLY {INDEX} ON receipt (provider, reason, occurred_at)"
            " WHERE kind IN ('unsubscribed', 'resubscribed')"
        )


def downgrade() -> None:
    op.drop_index(INDEX, "receipt")
    for table in BATCHED:
        op.drop_column(table, "failures")
    op.drop_column("provider_health", "refused_attempt")
