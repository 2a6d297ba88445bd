"""The in-app channel: a message is a row in the person's inbox, so "sent" and "delivered" are one write."""

from typing import ClassVar, Protocol

from domain.channels import Channel
from domain.outgoing import Message
from providers.base import Provider
from providers.outcomes import Accepted, Refused


class Inbox(Protocol):
    async def put(self, message: Message) -> None:
        """Write the row; writing it again changes nothing."""


class InApp(Provider):
    name: ClassVar[str] = "in_app"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.IN_APP})
    idempotent: ClassVar[bool] = True
    deadline: ClassVar[float] = 5.0

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def send(self, message: Message) -> Accepted | Refused:
        await self._inbox.put(message)
        return Accepted(message_id=str(message.delivery_id))
