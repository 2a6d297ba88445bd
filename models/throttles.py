"""Define the windows of a limit, and the queue of the notifications that wait for a slot."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from models.columns import time_column


class ThrottleWindow(SQLModel, table=True):
    """Store one fixed window of one limit (`max_slots` in `per_seconds`), which begins with its first send. `key` names
    what is limited. The row is reused for the next window. `has_waiters`: notifications wait for the next window."""

    __tablename__ = "throttle_window"
    __table_args__ = (
        Index("throttle_window_over", "ends_at"),
        Index("throttle_window_awaited", "ends_at", postgresql_where=text("has_waiters")),
    )

    tenant: UUID = Field(foreign_key="tenant.id", primary_key=True)
    key: str = Field(primary_key=True)
    starts_at: datetime = time_column(nullable=False)
    ends_at: datetime = time_column(nullable=False)
    max_slots: int
    per_seconds: float
    used_slots: int
    has_waiters: bool = False


class ThrottleQueueEntry(SQLModel, table=True):
    """Store the slot of one notification in one limit or, while `granted_at` is null, its place in the queue."""

    __tablename__ = "throttle_queue_entry"
    __table_args__ = (
        Index(
            "throttle_queue_entry_waiting",
            "tenant",
            "key",
            "priority",
            "notification_id",
            postgresql_where=text("granted_at IS NULL"),
        ),
    )

    notification_id: UUID = Field(foreign_key="notification.id", primary_key=True)
    generation: int = Field(primary_key=True)
    key: str = Field(primary_key=True)
    tenant: UUID
    priority: int
    granted_at: datetime | None = time_column()
