"""Models of in-app messages, and of the outbox for tests of applications that use Tocsin."""

from api.paging import Page
from api.schemas.base import ChannelName, Id, Model, Timestamp
from domain.json_types import Json


class InboxItem(Model):
    id: Id
    recipient_id: str
    notification_id: Id
    content: Json
    created_at: Timestamp
    seen_at: Timestamp | None
    read_at: Timestamp | None
    archived_at: Timestamp | None


class InboxPage(Page[InboxItem]):
    """`unread` counts all messages of the recipient that are neither read nor archived, not only those of this page."""

    unread: int


class MarkedRead(Model):
    marked: int


class OutboxItem(Model):
    """One message. `address` is empty for `in_app`, which has no address."""

    id: Id
    channel: ChannelName
    recipient_id: str
    notification_id: Id
    address: Json
    content: Json
    accepted_at: Timestamp
