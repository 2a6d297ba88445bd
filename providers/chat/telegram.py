"""Post by a bot of Telegram: https://core.telegram.org/bots/api#sendmessage"""

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import parse_qsl

from domain.json_types import Json
from providers.chat.api import ChatApi, parse_seconds
from providers.chat.text import truncate, utf16_length
from providers.transport import VendorResponse, parse_retry_after

LIMIT = 4_096


class Telegram(ChatApi):
    # The service has no codes besides the status: https://core.telegram.org/bots/api#making-requests. These are
    # descriptions, and the status for 401 and 403.
    reasons: ClassVar[Mapping[str, str]] = {
        "401": "chat_not_found",  # the token was revoked
        "403": "blocked",  # by the user, or the bot was removed from the group
        "Bad Request: chat not found": "chat_not_found",
        "Bad Request: message thread not found": "chat_not_found",
        "Bad Request: group chat was upgraded to a supergroup chat": "chat_not_found",
        "Bad Request: not enough rights to send text messages to the chat": "blocked",
        "Bad Request: need administrator rights in the channel chat": "blocked",
        "Bad Request: message text is empty": "empty_message",
        "Bad Request: message is too long": "too_long",
    }

    def address_of(self, url: str) -> str:
        return url.partition("?")[0]

    def encode(self, url: str, text: str) -> Json:
        """Without `parse_mode` the text is plain."""
        target: Json = dict(parse_qsl(url.partition("?")[2]))
        if thread := target.get("message_thread_id"):
            target["message_thread_id"] = int(thread)
        return {**target, "text": truncate(text, LIMIT, utf16_length)}

    def is_accepted(self, response: VendorResponse) -> bool:
        return response.is_success(200, "result")

    def message_id(self, response: VendorResponse) -> str | None:
        result = response.json().get("result")
        if not isinstance(result, dict) or "message_id" not in result:
            return None
        return str(result["message_id"])

    def error_code(self, response: VendorResponse) -> str:
        body = response.json()
        if body.get("ok") is not False:
            return ""
        return str(response.status if response.status in (401, 403) else body.get("description"))

    def retry_after(self, response: VendorResponse) -> float | None:
        parameters = response.json().get("parameters")
        named = parameters.get("retry_after") if isinstance(parameters, dict) else None
        return parse_seconds(named) or parse_retry_after(response.headers)
