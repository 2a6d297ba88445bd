"""Define in-app messages, which an application's inbox shows."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from domain.json_types import Json
from models.columns import json_column, time_column


class InboxMessage(SQLModel, table=True):
    """Store one in-app message. `id` is the delivery's id, so that a repeated write adds no row."""

    __tablename__ = "inbox_message"
    __table_args__ = (
        Index("inbox_message_of_recipient", "tenant", "recipient_id", "created_at", "id"),
        Index("inbox_message_of_notification", "notification_id"),
    )

    id: UUID = Field(primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    recipient_id: str
    notification_id: UUID = Field(foreign_key="notification.id")
    content: Json = json_column()
    created_at: datetime = time_column(nullable=False)
    seen_at: datetime | None = time_column()
    read_at: datetime | None = time_column()
    archived_at: datetime | None = time_column()
