"""Create the view and the functions that several statements share. Their texts are in `0003_shared_reads/`."""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

FILES = Path(__file__).with_suffix("")
FUNCTIONS = ("event_messages_of", "recipient_destinations", "attempt_gates")
VIEW = "notification_ledger"


def upgrade() -> None:
    for name in (VIEW, *FUNCTIONS):
        op.execute((FILES / f"{name}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    for name in FUNCTIONS:
        op.execute(f"DROP FUNCTION {name}")
    op.execute(f"DROP VIEW {VIEW}")
