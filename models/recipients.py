"""Define recipients, their devices, their preferences and the topics that they subscribe to."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, ForeignKeyConstraint, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from domain.json_types import Json
from models.columns import json_column, new_id, time_column


def _recipient_foreign_key(column: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant", column], ["recipient.tenant", "recipient.recipient_id"], ondelete="CASCADE")


class Recipient(SQLModel, table=True):
    """Store one recipient. `contact` holds email, phone, webhook_url and chat_url, of which the URLs are encrypted.
    `address_hashes` are the hashes of addresses in the suppression list. `former_address_hashes` are those of earlier
    addresses: a trigger keeps them for the erasure."""

    __table_args__ = (Index("recipient_of_phone", text("(address_hashes ->> 'phone')")),)

    tenant: UUID = Field(foreign_key="tenant.id", primary_key=True)
    recipient_id: str = Field(primary_key=True)
    contact: Json = json_column()
    address_hashes: Json = Field(default={}, sa_column=Column(JSONB, nullable=False, server_default=text("'{}'")))
    former_address_hashes: list[str] = Field(
        default=[], sa_column=Column(ARRAY(Text), nullable=False, server_default=text("'{}'"))
    )
    locale: str | None = None
    timezone: str | None = None
    attributes: Json = json_column()
    created_at: datetime = time_column(nullable=False)
    updated_at: datetime = time_column(nullable=False)


class Device(SQLModel, table=True):
    """Store one device. `address` is `{token}` or `{subscription}`, encrypted; devices are found by `address_hash`, its
    keyed hash."""

    __table_args__ = (
        UniqueConstraint("tenant", "recipient_id", "device"),
        Index("device_of_address", "tenant", "address_hash"),
        _recipient_foreign_key("recipient_id"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID
    recipient_id: str
    device: str
    kind: str
    address: Json = json_column()
    address_hash: str | None = None
    locale: str | None = None
    created_at: datetime = time_column(nullable=False)
    updated_at: datetime = time_column(nullable=False)


class UserPreference(SQLModel, table=True):
    """Store the preferences of a recipient. The row is created with the recipient, so that the guard can lock it and
    sees every committed opt-out."""

    __tablename__ = "user_preference"
    __table_args__ = (_recipient_foreign_key("user_id"),)

    tenant: UUID = Field(primary_key=True)
    user_id: str = Field(primary_key=True)
    global_channel_opt_in: Json = json_column()
    type_channel_preferences: Json = json_column()
    quiet_hours: Json | None = json_column(nullable=True)
    updated_at: datetime = time_column(nullable=False)


class TopicSubscriber(SQLModel, table=True):
    """Store one subscription of a recipient to a topic."""

    __tablename__ = "topic_subscriber"
    __table_args__ = (
        Index("topic_subscriber_of_recipient", "tenant", "recipient_id"),
        ForeignKeyConstraint(
            ["tenant", "recipient_id"], ["recipient.tenant", "recipient.recipient_id"], ondelete="CASCADE"
        ),
    )

    tenant: UUID = Field(primary_key=True)
    topic: str = Field(primary_key=True)
    recipient_id: str = Field(primary_key=True)
    created_at: datetime = time_column(nullable=False)
