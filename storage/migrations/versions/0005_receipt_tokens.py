"""Add the single-use tokens of receipts."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("receipt", sa.Column("token", sa.Uuid()))
    with op.get_context().autocommit_block():
        op.create_index(
            "receipt_token",
            "receipt",
            ["token"],
            unique=True,
            postgresql_concurrently=True,
            postgresql_where=sa.text("token IS NOT NULL"),
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index("receipt_token", postgresql_concurrently=True)
    op.drop_column("receipt", "token")
