"""Post an Adaptive Card to a workflow of Microsoft Teams, which starts "when a Teams webhook request is received".

https://learn.microsoft.com/en-us/connectors/teams/#microsoft-teams-webhook
"""

import json
import re
from collections.abc import Mapping
from typing import ClassVar

from domain.json_types import Json
from providers.chat.api import ChatApi
from providers.chat.text import truncate
from providers.transport import VendorResponse

# https://learn.microsoft.com/en-us/microsoftteams/limits-specifications-teams: 28 kB, of which the card has a part.
LIMIT = 27_000
LINK = re.compile(r"(https?://[^\s<>\"]+)")
RUN_ID_HEADER = "x-ms-workflow-run-id"


class Teams(ChatApi):
    # https://learn.microsoft.com/en-us/azure/connectors/connectors-native-reqres
    reasons: ClassVar[Mapping[str, str]] = {
        "WorkflowNotFound": "chat_not_found",
        "WorkflowTriggerNotFound": "chat_not_found",
        "WorkflowTriggerIsNotEnabled": "chat_not_found",
        "DirectApiAuthorizationRequired": "chat_not_found",
        "DirectApiInvalidAuthorizationScheme": "chat_not_found",
        "AuthorizationFailed": "chat_not_found",
        "TriggerInputSchemaMismatch": "bad_request",
    }

    def encode(self, url: str, text: str) -> Json:
        return encode_card(truncate(text, LIMIT, _card_size))

    def is_accepted(self, response: VendorResponse) -> bool:
        """The workflow has begun. The service reports nothing of its end."""
        return response.status == 202

    def message_id(self, response: VendorResponse) -> str | None:
        return response.headers.get(RUN_ID_HEADER)

    def error_code(self, response: VendorResponse) -> str:
        error = response.json().get("error")
        return str(error.get("code")) if isinstance(error, dict) else ""


def _card_size(text: str) -> int:
    return len(json.dumps(encode_card(text), ensure_ascii=False).encode())


def encode_card(text: str) -> Json:
    """Return a message with one card. Runs of text know no Markdown; each link shows its own target."""
    lines = [line for line in text.splitlines() if line.strip()]
    blocks = [{"type": "RichTextBlock", "inlines": _runs(line)} for line in lines]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": blocks,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _runs(line: str) -> list[Json]:
    return [{"type": "TextRun", "text": part, **_opens(part)} for part in LINK.split(line) if part]


def _opens(part: str) -> Json:
    return {"selectAction": {"type": "Action.OpenUrl", "url": part}} if LINK.fullmatch(part) else {}
