"""The in-app channel: a message is a row in the person's inbox, so "sent" and "delivered" are one write."""

from typing import ClassVar, Self

from domain.channels import Channel
from domain.evidence import Evidence
from domain.outgoing import Message
from providers.base import Provider
from providers.outcomes import Accepted, Refused
from providers.tools import Inbox, Tools


class InApp(Provider):
    name: ClassVar[str] = "in_app"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.IN_APP})
    has_circuit: ClassVar[bool] = False
    idempotent: ClassVar[bool] = True
    deadline: ClassVar[float] = 5.0
    # Reading the message in the inbox.
    reports_up_to: ClassVar[Evidence] = Evidence.OPENED

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    @classmethod
    def build(cls, tools: Tools) -> Self:
        return cls(tools.inbox)

    async def send(self, message: Message) -> Accepted | Refused:
        await self._inbox.put(message)
        return Accepted(message_id=str(message.delivery_id))
