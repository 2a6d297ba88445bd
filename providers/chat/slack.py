"""Post to an incoming webhook of Slack.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

from collections.abc import Mapping
from html import escape
from typing import ClassVar

from domain.json_types import Json
from providers.chat.api import ChatApi
from providers.chat.text import truncate
from providers.transport import VendorResponse

# https://docs.slack.dev/changelog/2018-truncating-really-long-messages
LIMIT = 40_000


class Slack(ChatApi):
    # https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors
    reasons: ClassVar[Mapping[str, str]] = {
        "invalid_payload": "bad_request",
        "no_text": "empty_message",
        "user_not_found": "chat_not_found",
        "channel_not_found": "chat_not_found",
        "channel_is_archived": "chat_not_found",
        "no_active_hooks": "chat_not_found",
        "no_service": "chat_not_found",
        "no_service_id": "chat_not_found",
        "no_team": "chat_not_found",
        "team_disabled": "chat_not_found",
        "invalid_token": "chat_not_found",
        "action_prohibited": "refused_by_policy",
        "posting_to_general_channel_denied": "refused_by_policy",
    }

    def encode(self, url: str, text: str) -> Json:
        return {"text": escape_slack(truncate(text, LIMIT, lambda part: len(escape_slack(part)))), "mrkdwn": False}

    def is_accepted(self, response: VendorResponse) -> bool:
        return response.status == 200 and (response.is_truncated or response.body.strip() == b"ok")

    def error_code(self, response: VendorResponse) -> str:
        return response.body.decode("ascii", errors="replace").strip()


def escape_slack(text: str) -> str:
    """Escape the characters of links and mentions (`<!channel>`).

    https://docs.slack.dev/messaging/formatting-message-text#escaping
    """
    return escape(text, quote=False)
