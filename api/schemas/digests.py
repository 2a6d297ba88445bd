"""Models of digest windows."""

from typing import Annotated

from pydantic import Field

from api.schemas.base import Id, Model, Timestamp
from domain.json_types import Json

EXAMPLE: Json = {
    "id": "01a204b3-60f4-7b0a-9d55-0c8f1a2b3c4d",
    "notification_type": "back-in-stock",
    "recipient_id": "ada",
    "items": 3,
    "opened_at": "2026-11-22T19:19:50.395871Z",
    "closes_at": "2026-11-22T19:34:50.395871Z",
    "closed_at": None,
    "notification_id": None,
    "temporal_url": "http://127.0.0.1:8233/namespaces/default/workflows/digest-a52d480fb08e8d2b8e16fee3a7af982a",
}
FLUSHED_EXAMPLE: Json = EXAMPLE | {
    "closed_at": "2026-11-22T19:21:07.741990Z",
    "notification_id": "c523558e-a998-57fd-8582-82d20568da3d",
}


class DigestView(Model):
    """A digest window. `closes_at` of an open window is its planned end. `notification_id` is the notification made of
    its items: null while the window is open, and for one that ended without items."""

    id: Id
    notification_type: str
    recipient_id: str
    items: int
    opened_at: Timestamp
    closes_at: Timestamp
    closed_at: Timestamp | None
    notification_id: Id | None
    temporal_url: Annotated[
        str | None, Field(description="The workflow of the window; null if it closes by a schedule.")
    ]


class NotificationDigest(Model):
    """The digest window that collects a notification, or that it was made of (then `notification_id` is its own id)."""

    id: Id
    closes_at: Timestamp
    notification_id: Id | None
