"""An erasure in batches keeps the id that replaces the recipient's."""

from collections.abc import Sequence

from alembic import op

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE erasure ADD COLUMN IF NOT EXISTS kept_as varchar")
    op.execute("UPDATE erasure SET kept_as = recipient_id WHERE finished_at IS NULL")


def downgrade() -> None:
    op.drop_column("erasure", "kept_as")
