"""Adapt the chat services to the contract suite, which runs with Discord. `test_chat.py` runs the others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from domain.channels import Channel
from domain.chat_urls import ChatService
from domain.outgoing_messages import OutgoingMessage
from providers.chat.adapter import Chat, ChatSettings
from providers.transport import Transport
from testing.vendors.chat import FakeChat
from testing.vendors.http import Reply
from testing.vendors.modes import VendorMode
from tests.providers.harness import NO_RECEIPTS, NOT_CHECKED, NOT_FOUND, ContractCase
from tests.providers.harness_http import HttpBench, HttpHarness, running_vendor

SLACK, DISCORD, TEAMS, TELEGRAM = ChatService
URLS = {
    SLACK: "https://hooks.slack.com/services/T1/B{number}/{word}",
    DISCORD: "https://discord.com/api/webhooks/{number}/{word}",
    TEAMS: "https://prod-1.westeurope.logic.azure.com:443/workflows/{number}/triggers/{word}/paths/invoke"
    "?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=c2ln",
    TELEGRAM: "https://api.telegram.org/bot{number}:{word}/sendMessage?chat_id=-1001",
}


def chat_url(service: ChatService, word: str = "good", number: int = 1) -> str:
    return URLS[service].format(word=word, number=number)


class ChatBench(HttpBench):
    channel = Channel.CHAT
    content = {"title": "Order A-1", "body": "It is on its way."}

    def __init__(self, vendor: FakeChat, transport: Transport, service: ChatService) -> None:
        self.service = service
        super().__init__(vendor, transport)

    @classmethod
    def new_vendor(cls) -> FakeChat:
        return FakeChat()

    @classmethod
    @asynccontextmanager
    async def running(cls, service: ChatService = ChatService.DISCORD) -> AsyncIterator[Self]:
        vendor = cls.new_vendor()
        async with running_vendor(vendor) as transport:
            yield cls(vendor, transport, service)

    def adapter(self, **changed: Any) -> Chat:
        return Chat(ChatSettings(**{"base_url": self.vendor.url, **changed}), self.transport)

    def address(self, mode: VendorMode) -> dict[str, str]:
        return {"url": chat_url(self.service, mode, next(self._people))}

    def reference(self, message: OutgoingMessage) -> str:
        path = str(message.address["url"]).split("/", 3)[3].partition("?")[0]
        return f"/{path}"


class ChatHarness(HttpHarness):
    bench_class = ChatBench
    success = Reply(status=200, body={"id": "1"})
    without = {ContractCase.BREAKS: "each URL has its own credentials"} | NO_RECEIPTS | NOT_CHECKED | NOT_FOUND
    bad_content = (({"title": " ", "body": "\n"}, "empty_message"),)
    bad_addresses = (
        ({"url": "https://hooks.example.com/services/T1/B1/x"}, "invalid_address"),
        ({"url": "http://127.0.0.1:1/services/T1/B1/x"}, "invalid_address"),
    )
