"""Define tenants, the unit of isolation, their chat rooms and their API keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Column, Index, Text, text
from sqlmodel import Field, SQLModel

from domain.json_types import Json
from domain.stored_limits import DEFAULT_CONTENT_DAYS, DEFAULT_RECORD_DAYS
from models.columns import json_column, new_id, time_column


class Tenant(SQLModel, table=True):
    """Store one tenant. `timezone` applies to recipients without one. `frequency_cap` is `{limit, per}`: the maximum
    that one recipient gets of all types together, except required ones. `phone_regions`: numbers of other regions get
    nothing; null allows all. `email_sender` and `email_reply_to` are `{email, name}` for emails whose type has
    none; only addresses of `email_domains`, which the operator sets, are used.
    `is_installation`: the tenant of the operator, at most one, whose keys may have the scope
    `operate`. A suspended tenant has a row in `hold`. The content of a notification is removed `content_days` after its
    end, the notification after `record_days`."""

    __table_args__ = (
        Index("tenant_installation", "is_installation", unique=True, postgresql_where=text("is_installation")),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    key: str = Field(unique=True)
    name: str
    default_language: str = "en"
    timezone: str = Field(default="UTC", sa_column_kwargs={"server_default": "UTC"})
    frequency_cap: Json | None = json_column(nullable=True)
    phone_regions: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text)))
    email_domains: list[str] = Field(
        default_factory=list, sa_column=Column(ARRAY(Text), nullable=False, server_default="{}")
    )
    email_sender: Json | None = json_column(nullable=True)
    email_reply_to: Json | None = json_column(nullable=True)
    is_installation: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    content_days: int = Field(
        default=DEFAULT_CONTENT_DAYS, sa_column_kwargs={"server_default": text(str(DEFAULT_CONTENT_DAYS))}
    )
    record_days: int = Field(
        default=DEFAULT_RECORD_DAYS, sa_column_kwargs={"server_default": text(str(DEFAULT_RECORD_DAYS))}
    )
    created_at: datetime = time_column(nullable=False)


class ChatRoom(SQLModel, table=True):
    """Store one chat room of a tenant, to which types can send. `chat_url` is encrypted."""

    __tablename__ = "chat_room"

    tenant: UUID = Field(foreign_key="tenant.id", primary_key=True)
    name: str = Field(primary_key=True)
    chat_url: str
    updated_at: datetime = time_column(nullable=False)


class ApiKey(SQLModel, table=True):
    """Store one API key: only its SHA-256 (keys have 190 random bits), and `prefix`, the part that is shown.

    `replaces` is the key that was rotated into this one. `last_used_at` is exact to a minute. `is_dev`: created in
    development, and refused elsewhere.
    """

    __tablename__ = "api_key"

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id", index=True)
    name: str
    prefix: str
    hash: str = Field(unique=True)
    scopes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    created_at: datetime = time_column(nullable=False)
    revoked_at: datetime | None = time_column()
    expires_at: datetime | None = time_column()
    last_used_at: datetime | None = time_column()
    replaces: UUID | None = None
    is_dev: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
