"""A provider cannot be asked once it has refused to look up two attempts."""

from collections.abc import Sequence

from alembic import op

revision: str = "0026"
down_revision: str | None = "0022"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE provider_health ADD COLUMN IF NOT EXISTS refused_attempt uuid")


def downgrade() -> None:
    op.drop_column("provider_health", "refused_attempt")
