"""Secrets are encrypted: devices are found by a keyed hash of their address, and the keys' fingerprints are kept."""

from collections.abc import Sequence

from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("ALTER TABLE engine_state ADD COLUMN IF NOT EXISTS key_fingerprints jsonb")
    op.execute("ALTER TABLE device ADD COLUMN IF NOT EXISTS address_hash varchar")
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS device_of_address")
        op.execute("CREATE INDEX CONCURRENTLY device_of_address ON device (tenant, address_hash)")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS device_addresses")


def downgrade() -> None:
    op.create_index(
        "device_addresses", "device", ["address"], postgresql_using="gin", postgresql_ops={"address": "jsonb_path_ops"}
    )
    op.drop_index("device_of_address", "device")
    op.drop_column("device", "address_hash")
    op.drop_column("engine_state", "key_fingerprints")
