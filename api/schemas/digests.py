"""What is collected for a person."""

from typing import Annotated

from pydantic import Field

from api.schemas.base import Id, Model, Timestamp


class DigestView(Model):
    """A window. While it is open, `closes_at` is when it will be. `notification_id` is what it became: null while
    it is open, and for one that ended without items."""

    id: Id
    notification_type: str
    recipient_id: str
    items: int
    opened_at: Timestamp
    closes_at: Timestamp
    closed_at: Timestamp | None
    notification_id: Id | None
    temporal_url: Annotated[str | None, Field(description="Of its workflow; null for one that closes by a schedule.")]


class DigestOf(Model):
    """The digest that a notification is collected in, or was made of (then `notification_id` is its own)."""

    id: Id
    closes_at: Timestamp
    notification_id: Id | None
