"""One process at a time holds a lease, and a lost Temporal store is replaced after a time and recovered in batches."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TIMES = ("seen_at", "other_since", "other_seen_at", "recovery_since", "recovered_at")
NAMES = ("other_id", "confirmed_id")


def upgrade() -> None:
    op.create_table(
        "lease",
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    for name in TIMES:
        op.add_column("engine_state", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    for name in NAMES:
        op.add_column("engine_state", sa.Column(name, AutoString(), nullable=True))
    for name in ("recovery_total", "recovery_done"):
        op.add_column("engine_state", sa.Column(name, sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column(
        "engine_state", sa.Column("recovery_priority", sa.SmallInteger(), nullable=False, server_default=sa.text("1"))
    )
    op.add_column("engine_state", sa.Column("recovery_after", sa.Uuid(), nullable=True))
    op.execute("UPDATE engine_state SET seen_at = now()")


def downgrade() -> None:
    columns = (*TIMES, *NAMES, "recovery_total", "recovery_done", "recovery_priority", "recovery_after")
    for name in columns:
        op.drop_column("engine_state", name)
    op.drop_table("lease")
