"""Pauses keep who made them."""

from collections.abc import Sequence

from alembic import op

revision: str = "0022"
down_revision: str | None = "0021"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE hold ADD COLUMN IF NOT EXISTS created_by varchar")


def downgrade() -> None:
    op.drop_column("hold", "created_by")
