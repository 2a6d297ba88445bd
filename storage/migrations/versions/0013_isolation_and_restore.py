"""What rendering processes have given up is recorded, and the hold at the start on a restored database."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("process", sa.Column("isolation", sa.ARRAY(sa.Text()), nullable=True))
    op.add_column("engine_state", sa.Column("hold_name", AutoString(), nullable=True))
    op.add_column("engine_state", sa.Column("released_hold", AutoString(), nullable=True))
    op.add_column("engine_state", sa.Column("restored_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("engine_state", sa.Column("restored_before", sa.Uuid(), nullable=True))
    op.add_column("engine_state", sa.Column("workflows_ended_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for name in ("workflows_ended_at", "restored_before", "restored_at", "released_hold", "hold_name"):
        op.drop_column("engine_state", name)
    op.drop_column("process", "isolation")
