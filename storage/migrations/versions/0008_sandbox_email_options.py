"""Add the options of emails that the sandbox accepted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("sandbox_message", sa.Column("email_options", JSONB))


def downgrade() -> None:
    op.drop_column("sandbox_message", "email_options")
