"""Attempts keep why a provider did not deliver what it had accepted, providers that our account may not look up."""

from collections.abc import Sequence

from alembic import op

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE attempt ADD COLUMN IF NOT EXISTS receipt_reason varchar")
    op.execute("ALTER TABLE provider_health ADD COLUMN IF NOT EXISTS lookup_refused_at timestamptz")


def downgrade() -> None:
    op.drop_column("provider_health", "lookup_refused_at")
    op.drop_column("attempt", "receipt_reason")
