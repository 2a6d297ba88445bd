"""Send messages to chats of Slack, Discord, Microsoft Teams and Telegram, at the URL of a recipient.

No service has receipts or a lookup. Each URL has its own credentials and its own limits, so neither a refusal nor a 429
concerns others.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from config.sources import ProviderSettings
from domain.channels import Channel
from domain.chat_urls import ChatService, chat_service_of
from domain.json_types import Json
from domain.outgoing_messages import OutgoingMessage
from providers.base import Provider
from providers.chat.api import ChatApi
from providers.chat.discord import Discord
from providers.chat.slack import Slack
from providers.chat.teams import Teams
from providers.chat.telegram import Telegram
from providers.chat.text import text_of
from providers.context import ProviderContext
from providers.outcomes import PermanentError, ProviderAcceptance, ProviderRefusal, TemporaryError
from providers.transport import Transport, VendorResponse, raise_common_errors

APIS: dict[ChatService, ChatApi] = {
    ChatService.SLACK: Slack(),
    ChatService.DISCORD: Discord(),
    ChatService.TEAMS: Teams(),
    ChatService.TELEGRAM: Telegram(),
}
# Without a documented code: what a URL that no longer exists gets, and a request that is too large or not valid.
STATUS_REASONS = {404: "chat_not_found", 410: "chat_not_found", 413: "too_large", 400: "bad_request"}


class ChatSettings(ProviderSettings, env_prefix="TOCSIN_CHAT_"):
    """Hold the settings. `base_url` replaces scheme and host of every chat URL, for a local stand-in."""

    base_url: str = ""


class Chat(Provider):
    name: ClassVar[str] = "chat"
    title: ClassVar[str] = "Slack, Discord, Microsoft Teams, Telegram"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.CHAT})
    has_circuit: ClassVar[bool] = False
    settings: ClassVar[type[ProviderSettings]] = ChatSettings

    def __init__(self, settings: ChatSettings, transport: Transport) -> None:
        self._base_url = settings.base_url.rstrip("/")
        self._transport = transport

    @classmethod
    def build(cls, context: ProviderContext) -> Self:
        return cls(context.load_settings(ChatSettings), context.guarded_transport)

    def content_refusal(self, content: Mapping[str, Any]) -> ProviderRefusal | None:
        return None if text_of(content) else ProviderRefusal(reason="empty_message")

    async def send(self, message: OutgoingMessage) -> ProviderAcceptance | ProviderRefusal:
        if refusal := self.content_refusal(message.content):
            return refusal
        url = message.address["url"]
        service = chat_service_of(url)
        if service is None:
            return ProviderRefusal(reason="invalid_address")
        api = APIS[service]
        http_response = await self._transport.post(
            self._locate(api.address_of(url)), json=api.encode(url, text_of(message.content))
        )
        evidence = {"service": service.value, "status": http_response.status}
        if api.is_accepted(http_response):
            message_id = api.message_id(http_response) or str(message.attempt_id)
            return ProviderAcceptance(message_id=message_id, response=evidence)
        return _parse_refusal(api, http_response, evidence)

    def _locate(self, url: str) -> str:
        parts = urlsplit(url)
        return url if not self._base_url else f"{self._base_url}{url[len(f'{parts.scheme}://{parts.netloc}') :]}"


def _parse_refusal(api: ChatApi, http_response: VendorResponse, evidence: Json) -> ProviderRefusal:
    """Return the refusal of this chat or this message. A 401 or 403 without a documented code is not the service's
    own, and raised like other errors.
    """
    status, code = http_response.status, api.error_code(http_response)
    if status == 429:
        raise TemporaryError("throttled", evidence, retry_after=api.retry_after(http_response))
    if 400 <= status < 500:
        evidence = {**evidence, "code": code} if code in api.reasons else evidence
        if reason := api.reasons.get(code, STATUS_REASONS.get(status)):
            return ProviderRefusal(reason=reason, response=evidence)
    raise_common_errors(http_response)
    raise PermanentError("unexpected_answer", evidence)
