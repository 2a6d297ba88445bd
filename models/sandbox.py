"""Define the sandbox vendor's log: calls, accepted messages and pending receipts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from domain.json_types import Json
from models.columns import json_column, new_id, time_column


class SandboxCall(SQLModel, table=True):
    """Store one call to the sandbox, accepted or not."""

    __tablename__ = "sandbox_call"
    __table_args__ = (Index("sandbox_call_of", "delivery_id", "endpoint_id"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    attempt_id: UUID
    delivery_id: UUID
    endpoint_id: str
    at: datetime = time_column(nullable=False)


class SandboxMessage(SQLModel, table=True):
    """Store one message that the sandbox accepted. `id` is the message id in its response. `email_options` of an email
    is `{sender, reply_to, cc, bcc, headers, attachments}`, an attachment `{name, content_type, size}`."""

    __tablename__ = "sandbox_message"
    __table_args__ = (Index("sandbox_message_of", "tenant", "recipient_id", "id"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID
    recipient_id: str
    notification_id: UUID
    delivery_id: UUID
    attempt_id: UUID
    endpoint_id: str
    channel: str
    address: Json = json_column()
    content: Json = json_column()
    email_options: Json | None = json_column(nullable=True)
    accepted_at: datetime = time_column(nullable=False)


class SandboxReceipt(SQLModel, table=True):
    """Store one receipt of the sandbox. `at` is the reported time of the event, `due_at` when the receipt is posted
    next."""

    __tablename__ = "sandbox_receipt"
    __table_args__ = (
        Index("sandbox_receipt_due", "due_at", postgresql_where=text("posted_at IS NULL")),
        Index("sandbox_receipt_posted", "posted_at", postgresql_where=text("posted_at IS NOT NULL")),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    message_id: UUID
    attempt_id: UUID
    kind: str
    at: datetime = time_column(nullable=False)
    due_at: datetime = time_column(nullable=False)
    posted_at: datetime | None = time_column()
