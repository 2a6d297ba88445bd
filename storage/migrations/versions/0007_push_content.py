"""Add the rich fields of push templates."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("template", sa.Column("push", JSONB))


def downgrade() -> None:
    op.drop_column("template", "push")
