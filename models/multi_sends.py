"""Define sends to several recipients that have an idempotency key."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from models.columns import new_id, time_column


class MultiSend(SQLModel, table=True):
    """Store the response to a send with an idempotency key until `expires_at`, so that a repeat gets the same response.
    `results` has the id or the errors of each entry, and names no recipient. A key that contains the id of an erased
    recipient is replaced by a keyed hash."""

    __tablename__ = "multi_send"
    __table_args__ = (
        Index("multi_send_key", "tenant", "idempotency_key", unique=True),
        Index("multi_send_expired", "expires_at"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    idempotency_key: str
    idempotency_hash: str
    results: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = time_column(nullable=False)
    expires_at: datetime = time_column(nullable=False)
