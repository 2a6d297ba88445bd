"""Define digest windows, and the ticks that close windows with a schedule."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from domain.json_types import Json
from models.columns import new_id, time_column

IS_OPEN = text("closed_at IS NULL")
IS_TO_SIGNAL = text("closed_at IS NULL AND signaled_at IS NULL")
IS_FULL = text("closed_at IS NULL AND is_full")


class Digest(SQLModel, table=True):
    """Store one digest window.

    `digest_key` is a keyed hash of type, recipient and key. At most one window of a `digest_key` is open and not full.
    A full window (`is_full`) accepts no further items and is closed at the next poll. `closes_on_schedule`: the tick of
    the type closes the window. Otherwise its own workflow closes it; `signaled_at` is null until that workflow was
    signaled. `closes_at` moves with sliding windows, but never beyond `closes_by`. `notification_id` is the
    notification that was made of the window, or null for an empty window. `item_bytes` is the total size of the items.
    """

    __table_args__ = (
        Index(
            "digest_open",
            "tenant",
            "digest_key",
            unique=True,
            postgresql_where=text("closed_at IS NULL AND NOT is_full"),
        ),
        Index("digest_full_of_tenant", "tenant", "id", postgresql_where=IS_FULL),
        Index("digest_of_tenant", "tenant", "id"),
        Index("digest_closing", "closes_on_schedule", "closes_at", postgresql_where=IS_OPEN),
        Index("digest_closing_of_tenant", "closes_on_schedule", "tenant", "closes_at", postgresql_where=IS_OPEN),
        Index("digest_due_of_type", "tenant", "notification_type", "closes_at", postgresql_where=IS_OPEN),
        Index("digest_to_signal_of_tenant", "tenant", "closes_at", "id", postgresql_where=IS_TO_SIGNAL),
        Index("digest_of_recipient", "tenant", "recipient_id", "id"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    notification_type: str
    type_id: UUID = Field(foreign_key="notification_type.id")
    recipient_id: str
    digest_key: str
    closes_on_schedule: bool
    is_full: bool
    item_count: int
    item_bytes: int
    opened_at: datetime = time_column(nullable=False)
    closes_at: datetime = time_column(nullable=False)
    closes_by: datetime | None = time_column()
    signaled_at: datetime | None = time_column()
    closed_at: datetime | None = time_column()
    notification_id: UUID | None = None


class Tick(SQLModel, table=True):
    """Store the Temporal Schedule of one type of a tenant. It runs every `interval_minutes` because work of the type is
    due by the calendar.

    `interval_minutes` 0: nothing is due. The Schedule is paused, or deleted if `schedules` is empty. `schedules` are
    the keys of the recurring sends and whether each is paused, as many as Temporal shows. `synced_at` is the last
    update of the Schedule in Temporal; null: an update is due. `sync_attempted_at` is the last attempt.
    """

    __table_args__ = (
        Index("tick_to_sync", text("sync_attempted_at NULLS FIRST"), postgresql_where=text("synced_at IS NULL")),
        Index("tick_synced", "synced_at"),
    )

    tenant: UUID = Field(foreign_key="tenant.id", primary_key=True)
    notification_type: str = Field(primary_key=True)
    interval_minutes: int
    schedules: Json = Field(default={}, sa_column=Column(JSONB, nullable=False, server_default=text("'{}'")))
    synced_at: datetime | None = time_column()
    sync_attempted_at: datetime | None = time_column()
