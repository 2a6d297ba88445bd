"""Attempts keep when the next one is due, ticks the schedules that Temporal shows."""

from collections.abc import Sequence

from alembic import op

revision: str = "0023"
down_revision: str | None = "0022"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE attempt ADD COLUMN IF NOT EXISTS next_at timestamptz")
    op.execute("ALTER TABLE tick ADD COLUMN IF NOT EXISTS schedules jsonb NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    op.drop_column("tick", "schedules")
    op.drop_column("attempt", "next_at")
