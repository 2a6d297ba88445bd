"""Recipients with many notifications are erased in batches, and those of a tenant move to another zone in batches."""

from collections.abc import Sequence

from alembic import op

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

COLUMNS = {"recipient_id": "varchar", "after": "uuid", "erased_at": "timestamptz", "served_at": "timestamptz"}


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.execute(f"ALTER TABLE erasure ADD COLUMN {name} {kind}")
    op.execute(
        "CREATE UNIQUE INDEX erasure_of_recipient ON erasure (tenant, recipient_id)"
        " WHERE finished_at IS NULL AND erased_at IS NULL"
    )
    op.execute("ALTER TABLE reconsideration ADD COLUMN recipient_id varchar NOT NULL DEFAULT ''")
    op.execute("CREATE INDEX erasure_open ON erasure (served_at, id) WHERE finished_at IS NULL")


def downgrade() -> None:
    op.drop_column("reconsideration", "recipient_id")
    op.drop_index("erasure_open", "erasure")
    op.drop_index("erasure_of_recipient", "erasure")
    for name in COLUMNS:
        op.drop_column("erasure", name)
