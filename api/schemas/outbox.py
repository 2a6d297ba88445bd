"""What the sandbox "delivered", for the tests of those who build on Tocsin."""

from api.schemas.base import ChannelName, Id, Json, Model, Timestamp


class OutboxItem(Model):
    """`address` is empty for `in_app`, which goes to no address."""

    id: Id
    channel: ChannelName
    recipient_id: str
    notification_id: Id
    address: Json
    content: Json
    accepted_at: Timestamp
