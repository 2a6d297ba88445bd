"""Define attachments of emails: their files, the contents in chunks, and the notifications that use them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from models.columns import new_id, time_column

CHUNK_SIZE = 1_000_000


class AttachmentFile(SQLModel, table=True):
    """Store one uploaded file. Files of a tenant with the same content share its chunks.

    The search for unused files has found every notification up to `checked_use` finished, and continues after it.
    """

    __tablename__ = "attachment"
    __table_args__ = (
        UniqueConstraint("tenant", "sha256", "name", "content_type", name="attachment_once"),
        Index("attachment_last_used", "last_used_at"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    name: str
    content_type: str
    size: int
    sha256: str
    created_at: datetime = time_column(nullable=False)
    last_used_at: datetime = time_column(nullable=False)
    checked_use: UUID | None = None


class AttachmentChunk(SQLModel, table=True):
    """Store a part of a content. Chunks have no owner column: they exist while a file of the tenant has this hash."""

    __tablename__ = "attachment_chunk"
    __table_args__ = (CheckConstraint(f"octet_length(data) <= {CHUNK_SIZE}", name="attachment_chunk_size"),)

    tenant: UUID = Field(foreign_key="tenant.id", primary_key=True)
    sha256: str = Field(primary_key=True)
    position: int = Field(primary_key=True)
    data: bytes


class AttachmentUse(SQLModel, table=True):
    """Store that a notification has an attachment. The row outlives the file, and is deleted with the notification."""

    __tablename__ = "attachment_use"
    __table_args__ = (Index("attachment_use_of_notification", "notification_id"),)

    attachment_id: UUID = Field(primary_key=True)
    notification_id: UUID = Field(foreign_key="notification.id", primary_key=True)
