"""Background work reads what is due, takes tenants in turn, and removes what is old: columns and indexes for it.

Indexes are built without a lock on their tables, so that running processes go on. What the code before this revision
needs stays until the new ones are there.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NO_TENANT = "'00000000-0000-0000-0000-000000000000'"
HELD = "held_at IS NOT NULL"
TO_PREPARE = f"{HELD} AND (release_at IS NOT NULL OR held_for IS NULL)"
TO_CANCEL = "cancel_due AND (started_at IS NOT NULL OR state = 'canceled')"
BUSY = "state = 'waiting' AND waits_for LIKE 'provider_busy%'"
OPEN = "closed_at IS NULL"

# Table, name behind it, columns and predicate.
NEW = (
    ("delivery", "waiting", "held_priority, held_for, tenant, held_at", f"{HELD} AND release_at IS NULL"),
    ("delivery", "to_prepare", "release_at", TO_PREPARE),
    ("queue_entry", "cancels", "tenant, notification_id", TO_CANCEL),
    ("queue_entry", "evidence", "tenant, notification_id", "evidence_due"),
    ("queue_entry", "busy_of_tenant", "waits_for, priority, tenant, notification_id", BUSY),
    ("queue_entry", "collecting_of_tenant", "tenant, next_at, notification_id", "state = 'collecting'"),
    ("queue_entry", "waiting_for", "tenant, waits_for, notification_id", "waits_for IS NOT NULL"),
    ("queue_entry", "urgent", "tenant, priority, next_at, notification_id", "state = 'due' AND priority <= 2"),
    ("digest", "to_tell_of_tenant", "tenant, closes_at, id", f"{OPEN} AND told_at IS NULL"),
    ("digest", "filled_of_tenant", "tenant, id", f"{OPEN} AND filled"),
    ("digest", "closing", "calendar, closes_at", OPEN),
    ("digest", "closing_of_tenant", "calendar, tenant, closes_at", OPEN),
    ("receipt", "waiting_of_tenant", "tenant, next_try_at", "applied_at IS NULL AND next_try_at IS NOT NULL"),
    ("receipt", "received", "received_at", None),
    ("event_message", "due", "next_try_at", "next_try_at IS NOT NULL"),
    ("schedule_run", "open_of_tenant", "tenant, id", "finished_at IS NULL"),
    ("schedule_run", "finished", "finished_at", "finished_at IS NOT NULL"),
    ("sandbox_receipt", "posted", "posted_at", "posted_at IS NOT NULL"),
    ("tick", "to_ensure", "tried_at NULLS FIRST", "ensured_at IS NULL"),
    ("tick", "ensured", "ensured_at", None),
    ("inbox_message", "of_notification", "notification_id", None),
)
OLD = (
    ("delivery", "held", "tenant, held_priority, held_at", HELD),
    ("queue_entry", "signals", "notification_id", "evidence_due OR cancel_due"),
    ("queue_entry", "busy", "waits_for, priority, notification_id", BUSY),
    ("digest", "to_tell", "closes_at", f"{OPEN} AND told_at IS NULL"),
    ("digest", "filled", "id", f"{OPEN} AND filled"),
    ("digest", "due", "closes_at", OPEN),
    ("schedule_run", "open", "id", "finished_at IS NULL"),
)


def upgrade() -> None:
    op.add_column("delivery", sa.Column("held_for", AutoString(), nullable=True))
    op.add_column("receipt", sa.Column("tenant", sa.Uuid(), nullable=False, server_default=sa.text(NO_TENANT)))
    for name, days in (("content_days", 90), ("record_days", 400)):
        op.add_column("tenant", sa.Column(name, sa.Integer(), nullable=False, server_default=sa.text(str(days))))
    op.add_column("notification", sa.Column("content_removed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "pruning",
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("content_after", sa.Uuid(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"]),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.create_table(
        "reconsideration",
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("reason", AutoString(), nullable=False),
        sa.Column("after", sa.Uuid(), nullable=False),
        sa.Column("served_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"]),
        sa.PrimaryKeyConstraint("tenant", "reason"),
    )
    op.create_table(
        "pruned_count",
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    # A deleted delivery would look for its attempts, which have no index by it; both go with their notification.
    op.drop_constraint("attempt_delivery_id_fkey", "attempt", type_="foreignkey")
    _replace(OLD, NEW)


def downgrade() -> None:
    _replace(NEW, OLD)
    op.create_foreign_key("attempt_delivery_id_fkey", "attempt", "delivery", ["delivery_id"], ["id"])
    op.drop_table("pruned_count")
    op.drop_table("reconsideration")
    op.drop_table("pruning")
    op.drop_column("notification", "content_removed_at")
    op.drop_column("tenant", "record_days")
    op.drop_column("tenant", "content_days")
    op.drop_column("receipt", "tenant")
    op.drop_column("delivery", "held_for")


Indexes = Sequence[tuple[str, str, str, str | None]]


def _replace(old: Indexes, new: Indexes) -> None:
    """An index that an interrupted run left invalid is built again."""
    with op.get_context().autocommit_block():
        for table, name, columns, where in new:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {table}_{name}")
            condition = f" WHERE {where}" if where else ""
            op.execute(f"CREATE INDEX CONCURRENTLY {table}_{name} ON {table} ({columns}){condition}")
        for table, name, *_ in old:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {table}_{name}")
