"""Deliver in-app messages as rows of the recipient's inbox. One write is both "sent" and "delivered"."""

from typing import ClassVar, Self

from domain.channels import Channel
from domain.evidence import Evidence
from domain.outgoing_messages import OutgoingMessage
from providers.base import Provider
from providers.context import Inbox, ProviderContext
from providers.outcomes import ProviderAcceptance, ProviderRefusal


class InApp(Provider):
    name: ClassVar[str] = "in_app"
    title: ClassVar[str] = "built in"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.IN_APP})
    has_circuit: ClassVar[bool] = False
    idempotent: ClassVar[bool] = True
    deadline: ClassVar[float] = 5.0
    # The recipient read the message in the inbox.
    max_evidence: ClassVar[Evidence] = Evidence.OPENED

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    @classmethod
    def build(cls, context: ProviderContext) -> Self:
        return cls(context.inbox)

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        await self._inbox.put(message)
        return ProviderAcceptance(message_id=str(message.delivery_id))
