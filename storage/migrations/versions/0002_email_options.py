"""Add the email options of sends and tenants."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.add_column("notification", sa.Column("email_options", JSONB))
    op.add_column("tenant", sa.Column("email_domains", ARRAY(sa.Text), nullable=False, server_default="{}"))
    op.add_column("tenant", sa.Column("email_sender", JSONB))
    op.add_column("tenant", sa.Column("email_reply_to", JSONB))


def downgrade() -> None:
    for column in ("email_reply_to", "email_sender", "email_domains"):
        op.drop_column("tenant", column)
    op.drop_column("notification", "email_options")
