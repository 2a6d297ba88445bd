"""What dispatching needs of an open notification moves to a narrow table, and half of the notification's indexes go."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# As in models/queue.py, which says why.
QUEUE_STORAGE = {
    "fillfactor": 50,
    "autovacuum_vacuum_scale_factor": 0.02,
    "autovacuum_vacuum_threshold": 200,
    "autovacuum_vacuum_cost_delay": 0,
    "autovacuum_analyze_scale_factor": 0.05,
    "autovacuum_analyze_threshold": 500,
    "vacuum_truncate": "false",
}
TO_START = "state IN ('due', 'claimed')"
# Name, columns and predicate.
INDEXES = (
    ("due", ["tenant", "priority", "notification_id"], f"{TO_START} AND generation = 1 AND priority > 2"),
    ("urgent", ["priority", "notification_id"], f"{TO_START} AND generation = 1 AND priority <= 2"),
    ("redriven", ["next_at"], f"{TO_START} AND generation > 1"),
    ("started", ["next_at"], "state IN ('started', 'waiting')"),
    ("collecting", ["next_at", "notification_id"], "state = 'collecting'"),
    ("signals", ["notification_id"], "evidence_due OR cancel_due"),
    ("at_gate", ["tenant", "recipient_id"], "waits_for IS NOT NULL"),
)
FILL = """
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at, started_at, evidence_due,
       cancel_due, waits_for, waits_until, recipient_id)
SELECT id, generation, tenant, priority,
       CASE WHEN finished_at IS NOT NULL THEN 'canceled' WHEN digest_group IS NOT NULL THEN 'collecting'
            WHEN dispatched_at IS NULL THEN 'due' WHEN waits_for IS NOT NULL THEN 'waiting' ELSE 'started' END,
       CASE WHEN dispatched_at IS NULL THEN dispatch_at ELSE now() END, dispatched_at,
       evidence_due AND finished_at IS NULL, cancel_requested_at IS NOT NULL AND cancel_signaled_at IS NULL,
       waits_for, waits_until, CASE WHEN waits_for IS NOT NULL THEN recipient_id END
  FROM notification
 WHERE (finished_at IS NULL AND NOT (digest_group IS NOT NULL AND digest_id IS NOT NULL))
    OR (cancel_requested_at IS NOT NULL AND cancel_signaled_at IS NULL AND dispatched_at IS NOT NULL)
"""
EMPTY = """
UPDATE notification n SET dispatch_at = q.next_at, dispatched_at = q.started_at, swept_at = q.started_at,
       evidence_due = q.evidence_due, waits_for = q.waits_for, waits_until = q.waits_until,
       cancel_signaled_at = CASE WHEN n.cancel_requested_at IS NOT NULL AND NOT q.cancel_due THEN now() END
  FROM queue_entry q WHERE q.notification_id = n.id
"""

# Some dozens of pages that stay: a scan of the whole table is never the cheapest plan, not even while it is empty.
GROW = """
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at)
SELECT gen_random_uuid(), 1, gen_random_uuid(), 3, 'due', now() FROM generate_series(1, 2000)
"""
SHRINK = "DELETE FROM queue_entry"

# The indexes of `notification` that go, with their columns and predicates.
FIRST_DUE = "dispatched_at IS NULL AND finished_at IS NULL AND generation = 1 AND digest_group IS NULL"
GONE = (
    ("due", ["tenant", "priority", "id"], FIRST_DUE),
    ("urgent", ["priority", "id"], f"{FIRST_DUE} AND priority <= 2"),
    ("redriven", ["dispatch_at"], "dispatched_at IS NULL AND finished_at IS NULL AND generation > 1"),
    ("open", ["swept_at"], "dispatched_at IS NOT NULL AND finished_at IS NULL"),
    (
        "cancels",
        ["cancel_requested_at"],
        "cancel_requested_at IS NOT NULL AND cancel_signaled_at IS NULL AND dispatched_at IS NOT NULL",
    ),
    ("evidence", ["id"], "evidence_due"),
    ("to_collect", ["dispatch_at", "id"], "digest_group IS NOT NULL AND digest_id IS NULL AND finished_at IS NULL"),
    ("at_gate", ["tenant", "recipient_id"], "waits_for IS NOT NULL"),
    ("parked", ["tenant", "id"], "status IN ('FAILED', 'IN_DOUBT')"),
)
COLUMNS = (
    *("cancel_signaled_at", "dispatch_at", "dispatched_at", "swept_at", "evidence_due", "waits_for", "waits_until"),
)


def upgrade() -> None:
    op.create_table(
        "queue_entry",
        sa.Column("notification_id", sa.Uuid(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_by", sa.Uuid(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("evidence_due", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("evidence_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("cancel_due", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("waits_for", AutoString(), nullable=True),
        sa.Column("waits_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recipient_id", AutoString(), nullable=True),
        sa.CheckConstraint(
            "state IN ('due', 'claimed', 'started', 'waiting', 'collecting', 'canceled')", name="state_known"
        ),
        sa.PrimaryKeyConstraint("notification_id"),
        postgresql_with=QUEUE_STORAGE,
    )
    op.execute(GROW)
    op.execute(SHRINK)
    op.execute(FILL)
    for name, columns, where in INDEXES:
        op.create_index(f"queue_entry_{name}", "queue_entry", columns, postgresql_where=sa.text(where))
    for name, *_ in GONE:
        op.drop_index(f"notification_{name}", "notification")
    for column in COLUMNS:
        op.drop_column("notification", column)
    # A send updates its row twice. With free space in its page, only one of them writes to the indexes.
    op.execute("ALTER TABLE notification SET (fillfactor = 85)")


def downgrade() -> None:
    op.execute("ALTER TABLE notification RESET (fillfactor)")
    for column in ("cancel_signaled_at", "dispatched_at", "swept_at", "waits_until"):
        op.add_column("notification", sa.Column(column, sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "notification",
        sa.Column("dispatch_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.alter_column("notification", "dispatch_at", server_default=None)
    op.add_column(
        "notification", sa.Column("evidence_due", sa.Boolean(), nullable=False, server_default=sa.text("false"))
    )
    op.add_column("notification", sa.Column("waits_for", AutoString(), nullable=True))
    op.execute("UPDATE notification SET cancel_signaled_at = now() WHERE cancel_requested_at IS NOT NULL")
    op.execute(EMPTY)
    for name, columns, where in GONE:
        op.create_index(f"notification_{name}", "notification", columns, postgresql_where=sa.text(where))
    op.drop_table("queue_entry")
