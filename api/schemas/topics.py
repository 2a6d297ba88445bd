"""Models of topics."""

from api.schemas.base import Model


class TopicView(Model):
    """`subscribers` is the number of subscribers."""

    key: str
    subscribers: int


class SubscriberView(Model):
    recipient_id: str
