"""Define a tenant's endpoints for status events, and the messages that are posted to them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from models.columns import new_id, time_column


class EventEndpoint(SQLModel, table=True):
    """Store one endpoint of a tenant. `events` are kinds, or `*`. `failing_since`: no message was delivered since then;
    `failed_at`: the last failure.

    `url`, `secret` and `previous_secret` are encrypted. A deleted endpoint is a row without them until its messages are
    deleted too; its key can be used again at once.
    """

    __tablename__ = "event_endpoint"
    __table_args__ = (
        Index("event_endpoint_key", "tenant", "key", unique=True, postgresql_where=text("deleted_at IS NULL")),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    key: str
    url: str
    events: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    secret: str
    previous_secret: str | None = None
    previous_until: datetime | None = time_column()
    enabled: bool
    disabled_at: datetime | None = time_column()
    disabled_reason: str | None = None
    failing_since: datetime | None = time_column()
    failed_at: datetime | None = time_column()
    created_at: datetime = time_column(nullable=False)
    updated_at: datetime = time_column(nullable=False)
    deleted_at: datetime | None = time_column()


class EventMessage(SQLModel, table=True):
    """Store one event for one endpoint. `id` is its `webhook-id`; every attempt sends the same bytes, `body`.

    The message waits while `next_attempt_at` is set (a lease moves it ahead). Otherwise it was delivered or given up.
    `attempts` holds the last attempts as `{at, status, ms, error}`. `attempt_count` counts attempts since the message
    was created or replayed.
    """

    __tablename__ = "event_message"
    __table_args__ = (
        Index(
            "event_message_waiting",
            "endpoint_id",
            "next_attempt_at",
            postgresql_where=text("next_attempt_at IS NOT NULL"),
        ),
        Index("event_message_of_notification", "notification_id", postgresql_where=text("notification_id IS NOT NULL")),
        Index("event_message_due", "next_attempt_at", postgresql_where=text("next_attempt_at IS NOT NULL")),
        Index("event_message_of_endpoint", "endpoint_id", "occurred_at", "id"),
        Index(
            "event_message_given_up",
            "endpoint_id",
            "occurred_at",
            "id",
            postgresql_where=text("given_up_at IS NOT NULL"),
        ),
    )

    id: UUID = Field(primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    endpoint_id: UUID = Field(foreign_key="event_endpoint.id")
    notification_id: UUID | None = None
    event_id: UUID | None = None
    kind: str
    occurred_at: datetime = time_column(nullable=False)
    body: str
    attempt_count: int = 0
    next_attempt_at: datetime | None = time_column()
    delivered_at: datetime | None = time_column()
    given_up_at: datetime | None = time_column()
    replayed_at: datetime | None = time_column()
    last_status: int | None = None
    last_error: str | None = None
    attempts: list[Any] = Field(default=[], sa_column=Column(JSONB(none_as_null=True), nullable=False))
