"""Topics as they are shown."""

from api.schemas.base import Model


class TopicView(Model):
    """`subscribers` is how many there are."""

    key: str
    subscribers: int


class SubscriberView(Model):
    recipient_id: str
