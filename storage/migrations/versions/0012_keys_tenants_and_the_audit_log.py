"""Keys expire and are replaced, one tenant is the installation's own, tenants are suspended, changes are recorded."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel.sql.sqltypes import AutoString

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# The operator's tenant so far: that of the oldest valid key with the scope operate.
MARK_INSTALLATION = """
UPDATE tenant SET installation = true WHERE id = (
  SELECT tenant FROM api_key WHERE 'operate' = ANY(scopes) AND revoked_at IS NULL ORDER BY created_at, id LIMIT 1)
"""
MARK_DEV = """
UPDATE api_key k SET dev = true FROM tenant t
 WHERE t.id = k.tenant AND (k.prefix LIKE 'tk\\_dev\\_%' OR (t.key = 'demo' AND k.name = 'development'))
"""


def upgrade() -> None:
    op.add_column("tenant", sa.Column("installation", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    op.create_index(
        "tenant_installation", "tenant", ["installation"], unique=True, postgresql_where=sa.text("installation")
    )
    for name in ("expires_at", "last_used_at"):
        op.add_column("api_key", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column("api_key", sa.Column("replaces", sa.Uuid(), nullable=True))
    op.add_column("api_key", sa.Column("dev", sa.Boolean(), nullable=False, server_default=sa.text("false")))
    op.execute(MARK_INSTALLATION)
    op.execute(MARK_DEV)
    op.drop_constraint("kind_known", "hold", type_="check")
    op.create_check_constraint("kind_known", "hold", "kind IN ('provider', 'channel', 'type', 'tenant')")
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("tenant", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_kind", AutoString(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor_name", AutoString(), nullable=False),
        sa.Column("action", AutoString(), nullable=False),
        sa.Column("subject", AutoString(), nullable=False),
        sa.Column("before", JSONB(none_as_null=True), nullable=True),
        sa.Column("after", JSONB(none_as_null=True), nullable=True),
        sa.CheckConstraint("actor_kind IN ('key', 'installation', 'cli')", name="actor_kind_known"),
        sa.ForeignKeyConstraint(["tenant"], ["tenant.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_entry_of_tenant", "audit_entry", ["tenant", "id"])


def downgrade() -> None:
    op.drop_table("audit_entry")
    op.execute("DELETE FROM hold WHERE kind = 'tenant'")
    op.drop_constraint("kind_known", "hold", type_="check")
    op.create_check_constraint("kind_known", "hold", "kind IN ('provider', 'channel', 'type')")
    for name in ("dev", "replaces", "last_used_at", "expires_at"):
        op.drop_column("api_key", name)
    op.drop_index("tenant_installation", "tenant")
    op.drop_column("tenant", "installation")
