"""Define receipts of providers and other reporters, which are stored before they are matched."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from domain.json_types import Json
from models.columns import json_column, time_column

NO_TENANT = UUID(int=0)


class Receipt(SQLModel, table=True):
    """Store one receipt. `id` derives from the content, so a repeated callback is one row. A receipt without a known
    attempt waits until `next_attempt_at`.

    `tenant` is that of the attempt; receipts are applied round-robin by tenant. It is the nil UUID for receipts that
    arrived before their attempt was known. `token` is that of a callback which a vendor signs without its content: a
    second receipt with it is not stored.
    """

    __table_args__ = (
        Index(
            "receipt_waiting",
            "next_attempt_at",
            postgresql_where=text("applied_at IS NULL AND next_attempt_at IS NOT NULL"),
        ),
        Index(
            "receipt_waiting_of_tenant",
            "tenant",
            "next_attempt_at",
            postgresql_where=text("applied_at IS NULL AND next_attempt_at IS NOT NULL"),
        ),
        Index("receipt_received", "received_at"),
        Index("receipt_token", "token", unique=True, postgresql_where=text("token IS NOT NULL")),
        Index("receipt_of_message", "provider", "provider_message_id"),
        Index("receipt_of_attempt", "attempt_id"),
        Index(
            "receipt_of_group",
            "provider",
            "reason",
            "occurred_at",
            postgresql_where=text("kind IN ('unsubscribed', 'resubscribed')"),
        ),
    )

    id: UUID = Field(primary_key=True)
    tenant: UUID = Field(default=NO_TENANT, sa_column_kwargs={"server_default": text(f"'{NO_TENANT}'")})
    provider: str
    kind: str
    attempt_id: UUID | None = None
    provider_message_id: str | None = None
    reason: str | None = None
    occurred_at: datetime = time_column(nullable=False)
    received_at: datetime = time_column(nullable=False)
    raw: Json = json_column()
    attempt_count: int = 0
    next_attempt_at: datetime | None = time_column()
    applied_at: datetime | None = time_column()
    token: UUID | None = None
