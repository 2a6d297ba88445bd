"""Schedules of a large topic are planned in batches."""

from collections.abc import Sequence

from alembic import op

revision: str = "0027"
down_revision: str | None = "0026"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE schedule_plan (
          schedule_id uuid PRIMARY KEY REFERENCES schedule (id),
          after varchar NOT NULL,
          planned integer NOT NULL,
          since timestamptz NOT NULL,
          again boolean NOT NULL,
          served_at timestamptz NOT NULL
        )""")


def downgrade() -> None:
    op.drop_table("schedule_plan")
