"""Parked failures are listed, and sent again in the order in which they were accepted."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_index(
        "notification_parked",
        "notification",
        ["tenant", "id"],
        postgresql_where=sa.text("status IN ('FAILED', 'IN_DOUBT')"),
    )


def downgrade() -> None:
    op.drop_index("notification_parked", "notification")
