"""Reasons are codes with arguments. Rows from before have their text alone, which is shown as it is."""

from collections.abc import Sequence

from alembic import op

revision: str = "0025"
down_revision: str | None = "0023"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE notification ADD COLUMN IF NOT EXISTS failures jsonb")
    op.execute("ALTER TABLE delivery ADD COLUMN IF NOT EXISTS failure_args jsonb")
    op.execute("ALTER TABLE queue_entry ADD COLUMN IF NOT EXISTS busy_provider varchar")
    op.execute("""
        UPDATE queue_entry SET waits_for = 'provider_busy',
               busy_provider = substring(waits_for FROM 16 FOR length(waits_for) - 16)
         WHERE waits_for LIKE 'provider_busy (%)'
    """)
    _index("busy_of_tenant", "busy_provider", "busy_provider IS NOT NULL")


def downgrade() -> None:
    op.execute(
        "UPDATE queue_entry SET waits_for = 'provider_busy (' || busy_provider || ')' WHERE busy_provider IS NOT NULL"
    )
    _index("busy_provider", "busy_of_tenant", "waits_for LIKE 'provider_busy%'", column="waits_for")
    op.drop_column("queue_entry", "busy_provider")
    op.drop_column("delivery", "failure_args")
    op.drop_column("notification", "failures")


def _index(old: str, new: str, predicate: str, column: str = "busy_provider") -> None:
    """Without a lock on the table. An index that an interrupted run left invalid is built again."""
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS queue_entry_{new}")
        op.execute(
            f"CREATE INDEX CONCURRENTLY queue_entry_{new} ON queue_entry"
            f" ({column}, priority, tenant, notification_id) WHERE state = 'waiting' AND {predicate}"
        )
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS queue_entry_{old}")
