"""Post to a webhook of Discord.

https://docs.discord.com/developers/resources/webhook#execute-webhook
"""

import re
from collections.abc import Mapping
from typing import ClassVar

from domain.json_types import Json
from providers.chat.api import ChatApi, parse_seconds
from providers.chat.text import truncate, utf16_length
from providers.transport import VendorResponse, parse_retry_after

LIMIT = 2_000
# A URL stays as it is: a backslash would become a part of it. It ends before the characters of Markdown.
URL_OR_MARKUP = re.compile(r"(?P<url>https?://[^\s<>()\[\]*|`~\\\"]+)|(?P<markup>[\\*_~`|<>\[\]()#+\-.:@])")


class Discord(ChatApi):
    # https://docs.discord.com/developers/topics/opcodes-and-status-codes#json
    reasons: ClassVar[Mapping[str, str]] = {
        "10003": "chat_not_found",  # unknown channel
        "10015": "chat_not_found",  # unknown webhook
        "50027": "chat_not_found",  # invalid webhook token
        "50083": "chat_not_found",  # archived thread
        "220001": "chat_not_found",  # a forum needs the id of a thread
        "50006": "empty_message",
        "50035": "bad_request",
        "200000": "content_blocked",
        "240000": "content_blocked",
    }

    def address_of(self, url: str) -> str:
        """Ask for the message in the response: otherwise the service does not report a message that it drops."""
        return f"{url}{'&' if '?' in url else '?'}wait=true"

    def encode(self, url: str, text: str) -> Json:
        content = escape_discord(truncate(text, LIMIT, lambda part: utf16_length(escape_discord(part))))
        return {"content": content, "allowed_mentions": {"parse": []}}

    def is_accepted(self, response: VendorResponse) -> bool:
        return response.is_success(200, "id")

    def message_id(self, response: VendorResponse) -> str | None:
        found = response.json().get("id")
        return str(found) if found else None

    def error_code(self, response: VendorResponse) -> str:
        return str(response.json().get("code"))

    def retry_after(self, response: VendorResponse) -> float | None:
        return parse_seconds(response.json().get("retry_after")) or parse_retry_after(response.headers)


def escape_discord(text: str) -> str:
    """Escape the characters of Markdown outside URLs."""
    return URL_OR_MARKUP.sub(lambda found: found["url"] or f"\\{found['markup']}", text)
