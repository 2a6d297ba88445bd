"""Define holds: pauses of a provider, a channel or a type, for one tenant or for all, and suspended tenants."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.columns import new_id, time_column


class Hold(SQLModel, table=True):
    """Store one hold, which keeps back every matching message. `tenant` None holds for all tenants; `name` is the
    provider, the channel, or the key of the type or tenant. `created_by` is the name of the API key, or of the user of
    the command line."""

    __table_args__ = (
        CheckConstraint("kind IN ('provider', 'channel', 'type', 'tenant')", name="kind_known"),
        UniqueConstraint("kind", "name", "tenant", postgresql_nulls_not_distinct=True),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID | None = Field(default=None, foreign_key="tenant.id")
    kind: str
    name: str
    reason: str | None = None
    created_at: datetime = time_column(nullable=False)
    created_by: str | None = None
