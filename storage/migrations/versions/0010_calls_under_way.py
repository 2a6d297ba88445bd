"""Calls under way are found by their address: a lookup never takes the message of one of them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Without a lock on the table: running processes go on. An index that an interrupted build has left is made anew."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS attempt_under_way")
        op.create_index(
            "attempt_under_way",
            "attempt",
            ["address_key"],
            postgresql_where=sa.text("state = 'submitting'"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("attempt_under_way", table_name="attempt")
