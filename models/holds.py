"""What is paused: a row holds back every message of a provider, a channel or a type, for one tenant or for all."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.columns import new_id, time_column


class Hold(SQLModel, table=True):
    """`tenant` None holds for everybody; `name` is the provider's or the channel's name, or the type's key."""

    __table_args__ = (
        CheckConstraint("kind IN ('provider', 'channel', 'type')", name="kind_known"),
        UniqueConstraint("kind", "name", "tenant", postgresql_nulls_not_distinct=True),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID | None = Field(default=None, foreign_key="tenant.id")
    kind: str
    name: str
    reason: str | None = None
    created_at: datetime = time_column(nullable=False)
