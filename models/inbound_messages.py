"""Define the messages that recipients send to our phone numbers."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, Index, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from models.columns import time_column


class InboundMessageRow(SQLModel, table=True):
    """Store one message for one tenant. `recipient_ids` are the recipients with that number. `answer_until` is set
    while the answer to a keyword is due, `answered_at` before the answer is sent."""

    __tablename__ = "inbound_message"
    __table_args__ = (
        Index("inbound_message_of_tenant", "tenant", "id"),
        Index("inbound_message_of_number", "tenant", "address_hash", "received_at"),
        Index("inbound_message_of_recipient", "recipient_ids", postgresql_using="gin"),
        Index("inbound_message_to_answer", "answer_until", postgresql_where=text("answer_until IS NOT NULL")),
    )

    id: UUID = Field(primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    provider: str
    provider_message_id: str | None = None
    address_hash: str
    from_number: str
    to_number: str
    text: str
    keyword: str | None = None
    recipient_ids: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    received_at: datetime = time_column(nullable=False)
    answer_until: datetime | None = time_column()
    answered_at: datetime | None = time_column()
