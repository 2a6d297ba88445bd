"""Models of in-app messages, and of the outbox for tests of applications that use Tocsin."""

from api.paging import Page
from api.schemas.base import ChannelName, Id, Model, Timestamp
from api.schemas.emails import MailboxBody
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


class OutboxAttachment(Model):
    name: str
    content_type: str
    size: int


class OutboxEmail(Model):
    """The options with which an email was sent. Suppressed addresses are not among the copies."""

    sender: MailboxBody | None
    reply_to: MailboxBody | None
    cc: list[str]
    bcc: list[str]
    headers: dict[str, str]
    attachments: list[OutboxAttachment]


class OutboxItem(Model):
    """One message. `address` is empty for `in_app`, which has no address."""

    id: Id
    channel: ChannelName
    recipient_id: str
    notification_id: Id
    address: Json
    content: Json
    email: OutboxEmail | None
    accepted_at: Timestamp
