"""A tenant may choose the regions of the phone numbers that it writes to."""

from collections.abc import Sequence

from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE tenant ADD COLUMN IF NOT EXISTS phone_regions text[]")


def downgrade() -> None:
    op.drop_column("tenant", "phone_regions")
