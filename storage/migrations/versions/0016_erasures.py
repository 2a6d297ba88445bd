"""An erasure finds earlier addresses of the recipient, and the event messages of a notification."""

from collections.abc import Sequence

from alembic import op

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

NAME = "event_message_of_notification"

# Every statement that changes addresses keeps the keys of the former ones, the last fifty. Unkeyed hashes of earlier
# versions have 64 digits and are not kept.
KEEP = """
CREATE OR REPLACE FUNCTION keep_former_address_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.former_address_keys := NEW.former_address_keys || ARRAY(
    SELECT value FROM jsonb_each_text(OLD.address_keys)
     WHERE length(value) < 64 AND value <> ALL (NEW.former_address_keys)
       AND value NOT IN (SELECT kept.value FROM jsonb_each_text(NEW.address_keys) kept WHERE kept.value IS NOT NULL));
  NEW.former_address_keys := NEW.former_address_keys[greatest(1, cardinality(NEW.former_address_keys) - 49):];
  RETURN NEW;
END $$
"""
TRIGGER = """
CREATE OR REPLACE TRIGGER keep_former_address_keys BEFORE UPDATE OF address_keys ON recipient
   FOR EACH ROW WHEN (OLD.address_keys IS DISTINCT FROM NEW.address_keys) EXECUTE FUNCTION keep_former_address_keys()
"""


def upgrade() -> None:
    op.execute("ALTER TABLE recipient ADD COLUMN IF NOT EXISTS former_address_keys text[] NOT NULL DEFAULT '{}'")
    op.execute(KEEP)
    op.execute(TRIGGER)
    # Without a lock on the table; an attempt that was interrupted leaves an invalid index behind.
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {NAME}")
        op.execute(
            f"CREATE INDEX CONCURRENTLY {NAME} ON event_message (notification_id) WHERE notification_id IS NOT NULL"
        )


def downgrade() -> None:
    op.drop_index(NAME, "event_message")
    op.execute("DROP TRIGGER keep_former_address_keys ON recipient")
    op.execute("DROP FUNCTION keep_former_address_keys()")
    op.drop_column("recipient", "former_address_keys")
