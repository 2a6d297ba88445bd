"""Define the versions of notification types."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from domain.json_types import Json
from models.columns import json_column, new_id, time_column


class NotificationTypeVersion(SQLModel, table=True):
    """Store one immutable version of a notification type. A notification refers to the version under which it was
    accepted."""

    __tablename__ = "notification_type"
    # Notifications refer to the index, so that none has a type of another tenant.
    __table_args__ = (
        UniqueConstraint("tenant", "key", "version"),
        Index("notification_type_of_tenant", "id", "tenant", unique=True),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    key: str
    version: int
    spec: Json = json_column()
    created_at: datetime = time_column(nullable=False)
    retired_at: datetime | None = time_column()
