"""Models of the outbox, for tests of applications that use Tocsin."""

from api.schemas.base import ChannelName, Id, Model, Timestamp
from domain.json_types import Json


class OutboxItem(Model):
    """One message. `address` is empty for `in_app`, which has no address."""

    id: Id
    channel: ChannelName
    recipient_id: str
    notification_id: Id
    address: Json
    content: Json
    accepted_at: Timestamp
