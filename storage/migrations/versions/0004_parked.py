"""Parked failures are listed, and sent again in their own time: what waits for that stands in no other's way."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

WAITING = "dispatched_at IS NULL AND finished_at IS NULL"


def upgrade() -> None:
    op.create_index(
        "notification_parked",
        "notification",
        ["tenant", "id"],
        postgresql_where=sa.text("status IN ('FAILED', 'IN_DOUBT')"),
    )
    op.create_index(
        "notification_redriven",
        "notification",
        ["dispatch_at"],
        postgresql_where=sa.text(f"{WAITING} AND generation > 1"),
    )
    _due_among(f"{WAITING} AND generation = 1")


def downgrade() -> None:
    _due_among(WAITING)
    op.drop_index("notification_redriven", "notification")
    op.drop_index("notification_parked", "notification")


def _due_among(rows: str) -> None:
    for name in ("notification_due", "notification_urgent"):
        op.drop_index(name, "notification")
    op.create_index("notification_due", "notification", ["tenant", "priority", "id"], postgresql_where=sa.text(rows))
    op.create_index(
        "notification_urgent", "notification", ["priority", "id"], postgresql_where=sa.text(f"{rows} AND priority <= 2")
    )
