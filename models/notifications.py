"""Define notifications, their deliveries, the attempts of these, and the timeline."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKeyConstraint, Identity, Index, Numeric, Text, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from domain.evidence import AttemptState, Evidence
from domain.json_types import Json
from domain.statuses import DeliveryStatus, NotificationStatus
from models.columns import json_column, new_id, time_column


def _check_values(
    column: str, values: type[NotificationStatus | DeliveryStatus | AttemptState | Evidence]
) -> CheckConstraint:
    """Store strings with a CHECK: a Postgres ENUM type would survive a downgrade and break the next upgrade."""
    listed = ", ".join(f"'{word}'" for word in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


# A send updates its row twice. With free space in its page the update that changes no indexed column adds no entry to
# any index.
STORAGE_PARAMETERS = {"fillfactor": 85}

IS_HELD = "held_at IS NOT NULL AND release_expires_at IS NULL"
IS_RELEASED = "held_at IS NOT NULL AND release_expires_at IS NOT NULL"
# A function of the database (migration 0001): the words of a content, or none where it is too long for the index.
CONTENT_WORDS = text("content_words(rendered_content)")


class Notification(SQLModel, table=True):
    """Store one notification to one recipient.

    While it is open, its `QueueEntry` has the columns for dispatching. `revision` fences every write of the ledger (the
    notification with its deliveries and attempts). Inserting the first deliveries does not raise it, so a ledger of
    revision 0 must be saved under the row lock. `failures` are the codes and arguments of `failure_reason`, channel by
    channel; the text is for reading only. `digest_key`: it is an item of a digest and belongs to the window `digest_id`
    once that is known. A notification that was made of a window has `digest_id` alone. `schedule_id` is the recurring
    send that created it. `cancel_key` is the caller's name for the notifications that one event makes obsolete.
    `email_options` is `{reply_to, cc, bcc, headers, attachments}`.
    """

    __table_args__ = (
        _check_values("status", NotificationStatus),
        CheckConstraint("priority BETWEEN 1 AND 5", name="priority_range"),
        # A type of the same tenant, and with it a tenant.
        ForeignKeyConstraint(
            ["type_id", "tenant"],
            ["notification_type.id", "notification_type.tenant"],
            name="notification_type_of_same_tenant",
        ),
        Index(
            "notification_idempotency",
            "tenant",
            "idempotency_key",
            unique=True,
            postgresql_where=text("holds_idempotency_key"),
        ),
        Index("notification_of_tenant", "tenant", "id"),
        Index("notification_of_recipient", "tenant", "recipient_id", "id"),
        Index("notification_of_type", "tenant", "notification_type", "id"),
        Index("notification_of_status", "tenant", "status", "id"),
        Index("notification_of_tags", "tags", postgresql_using="gin"),
        Index("notification_of_digest", "digest_id", postgresql_where=text("digest_id IS NOT NULL")),
        Index(
            "notification_of_schedule",
            "schedule_id",
            "recipient_id",
            postgresql_where=text("schedule_id IS NOT NULL AND finished_at IS NULL"),
        ),
        Index(
            "notification_of_cancel_key",
            "tenant",
            "cancel_key",
            "id",
            postgresql_where=text("cancel_key IS NOT NULL AND finished_at IS NULL"),
        ),
        Index(
            "notification_with_cancel_key",
            "tenant",
            "cancel_key",
            "id",
            postgresql_where=text("cancel_key IS NOT NULL"),
        ),
        {"postgresql_with": STORAGE_PARAMETERS},
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    tenant: UUID
    recipient_id: str
    notification_type: str
    type_id: UUID
    event_payload: Json = json_column()
    status: str
    priority: int
    channels: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text)))
    tags: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    idempotency_key: str | None = None
    idempotency_hash: str | None = None
    holds_idempotency_key: bool = False
    created_at: datetime = time_column(nullable=False)
    send_at: datetime | None = time_column()
    expires_at: datetime | None = time_column()
    finished_at: datetime | None = time_column()
    failure_reason: str | None = None
    failures: list[Json] | None = json_column(nullable=True)
    generation: int = 1
    revision: int = 0
    cancel_requested_at: datetime | None = time_column()
    content_removed_at: datetime | None = time_column()
    digest_key: str | None = None
    digest_id: UUID | None = Field(default=None, foreign_key="digest.id")
    schedule_id: UUID | None = Field(default=None, foreign_key="schedule.id")
    cancel_key: str | None = None
    email_options: Json | None = json_column(nullable=True)


class Delivery(SQLModel, table=True):
    """Store one notification on one channel. `rule` is the preference rule that allowed or refused the channel.

    `failure_reason` is a code, `failure_args` are its arguments. The workflow waits for `awaited_evidence`. `held_at`:
    the guard held the delivery; `held_providers` are the providers that could deliver it. `hold_key` names what can
    hold it: channel, type and those providers. `release_expires_at`: the delivery was released, and is held again if no
    attempt has begun by then.
    """

    __table_args__ = (
        _check_values("status", DeliveryStatus),
        Index("delivery_of_notification", "notification_id"),
        Index("delivery_of_channel", "tenant", "channel", "notification_id"),
        Index(
            "delivery_held",
            "held_priority",
            "hold_key",
            "tenant",
            "held_at",
            postgresql_where=text(IS_HELD),
        ),
        Index("delivery_released", "release_expires_at", postgresql_where=text(IS_RELEASED)),
        Index("delivery_words", CONTENT_WORDS, postgresql_using="gin"),
    )

    id: UUID = Field(primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    notification_id: UUID = Field(foreign_key="notification.id")
    generation: int
    step: int
    channel: str
    rule: str | None = None
    is_skipped_by_rule: bool = False
    template_id: UUID | None = Field(default=None, foreign_key="template.id")
    template_name: str | None = None
    template_version: int | None = None
    language: str | None = None
    rendered_content: Json | None = json_column(nullable=True)
    status: str
    provider: str | None = None
    provider_message_id: str | None = None
    provider_response: Json | None = json_column(nullable=True)
    failure_reason: str | None = None
    failure_args: Json | None = json_column(nullable=True)
    created_at: datetime = time_column(nullable=False)
    sent_at: datetime | None = time_column()
    delivered_at: datetime | None = time_column()
    opened_at: datetime | None = time_column()
    clicked_at: datetime | None = time_column()
    awaited_evidence: str | None = None
    held_at: datetime | None = time_column()
    held_priority: int | None = None
    held_providers: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text)))
    hold_key: str | None = None
    release_expires_at: datetime | None = time_column()


class Attempt(SQLModel, table=True):
    """Store one call to one provider, written before the call. `address_hash` is the hash of the address. `next_at` is
    when the next attempt is due, or when the search for an unknown outcome ends, as known when the outcome was
    recorded."""

    __table_args__ = (
        _check_values("state", AttemptState),
        _check_values("evidence", Evidence),
        Index("attempt_of_notification", "notification_id"),
        Index("attempt_of_message", "provider", "provider_message_id"),
        Index("attempt_under_way", "address_hash", postgresql_where=text("state = 'submitting'")),
    )

    id: UUID = Field(primary_key=True)
    tenant: UUID = Field(foreign_key="tenant.id")
    notification_id: UUID = Field(foreign_key="notification.id")
    # No foreign key: a delivery that is deleted would look for its attempts, which have no index by it. Both always go
    # with their notification.
    delivery_id: UUID
    endpoint_id: str
    address_hash: str | None = None
    number: int
    provider: str
    state: str
    evidence: str | None = None
    error_type: str | None = None
    reason: str | None = None
    receipt_reason: str | None = None
    cost: Decimal | None = Field(default=None, sa_column=Column(Numeric(12, 6)))
    provider_message_id: str | None = None
    provider_response: Json | None = json_column(nullable=True)
    started_at: datetime = time_column(nullable=False)
    finished_at: datetime | None = time_column()
    next_at: datetime | None = time_column()
    sent_at: datetime | None = time_column()
    delivered_at: datetime | None = time_column()
    bounced_at: datetime | None = time_column()
    opened_at: datetime | None = time_column()
    clicked_at: datetime | None = time_column()


class Event(SQLModel, table=True):
    """Store one event of the timeline. Rows are only added. `status` is set on the event that changed the status of the
    notification."""

    __table_args__ = (Index("event_of_notification", "notification_id", "position"),)

    id: UUID = Field(primary_key=True)
    tenant: UUID  # of the notification
    notification_id: UUID = Field(foreign_key="notification.id")
    position: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), nullable=False))
    at: datetime = time_column(nullable=False)
    kind: str
    channel: str | None = None
    reason: str | None = None
    detail: Json | None = json_column(nullable=True)
    delivery_id: UUID | None = None
    delivery_status: str | None = None
    status: str | None = None
