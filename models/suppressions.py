"""Define the suppression list: addresses that receive nothing, after a hard bounce, a complaint, STOP or a manual
entry."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from domain.json_types import Json
from models.columns import json_column, new_id, time_column


class Suppression(SQLModel, table=True):
    """Store one suppressed address, in force until `lifted_at` or `expires_at`. The guard compares `address_hash`
    (`storage/encryption.py`); `address` is None after the erasure of its recipient."""

    __table_args__ = (
        Index(
            "suppression_in_force",
            "tenant",
            "channel",
            "address_hash",
            unique=True,
            postgresql_where=text("lifted_at IS NULL"),
        ),
        Index("suppression_of_tenant", "tenant", "id"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    channel: str
    address_hash: str
    address: Json | None = json_column(nullable=True)
    reason: str
    source: str
    notification_id: UUID | None = None
    created_at: datetime = time_column(nullable=False)
    expires_at: datetime | None = time_column()
    lifted_at: datetime | None = time_column()
