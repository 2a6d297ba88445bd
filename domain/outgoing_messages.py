"""Define one rendered message to one endpoint, as an adapter receives it."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from domain.channels import Channel, DeviceKind
from domain.email_options import NO_EMAIL_OPTIONS, EmailOptions
from domain.json_types import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class OutgoingMessage:
    """Hold the message. `attempt_id` is our reference: put it where the vendor returns it.

    `address` is `{email}`, `{phone}`, `{url}`, `{token}`, `{subscription}` or, for in-app, `{}`. An email address
    with an international domain has its ASCII form in `email_ascii`. `created_at` is when the send was accepted.
    `priority` is 1 (immediate) to 5. The message expires at `expires_at`. `tags` are those of the send;
    `vendor_tracking`: the vendor may track opens and clicks as its account is set. `email` has the options of an email.
    A browser reports to `report_url` what it did with a web push message.
    """

    attempt_id: UUID
    delivery_id: UUID
    notification_id: UUID
    tenant: UUID
    recipient_id: str
    notification_type: str
    created_at: datetime
    channel: Channel
    endpoint_id: str
    address: Json = field(repr=False)
    content: Json
    device_kind: DeviceKind | None = None
    priority: int = 3
    expires_at: datetime | None = None
    tags: tuple[str, ...] = ()
    vendor_tracking: bool = False
    email: EmailOptions = field(default=NO_EMAIL_OPTIONS, repr=False)
    report_url: str | None = field(default=None, repr=False)
