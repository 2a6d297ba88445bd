"""Simulate Slack, Discord, Teams and Telegram at one port: the path of a request selects the service."""

import re
from typing import Any, ClassVar, Self
from uuid import uuid4

from domain.chat_urls import ChatService
from testing.vendors.http import Reply, Request, UndocumentedRequest, require
from testing.vendors.log import VendorLog, VendorMessage
from testing.vendors.modes import VendorMode
from testing.vendors.vendor import FakeVendor

PATHS = {
    ChatService.SLACK: r"/services/[A-Z0-9]+/[A-Z0-9]+/[\w-]+",
    ChatService.DISCORD: r"/api/webhooks/\d+/[\w-]+",
    ChatService.TEAMS: r"/workflows/[\w-]+/triggers/\w+/paths/invoke",
    ChatService.TELEGRAM: r"/bot\d+:[\w-]+/sendMessage",
}
CARD_TYPE = "application/vnd.microsoft.card.adaptive"
MAX_TEAMS_BYTES = 28 * 1024


def telegram_error(status: int, description: str, **parameters: Any) -> Reply:
    """Return an error: https://core.telegram.org/bots/api#making-requests"""
    body = {"ok": False, "error_code": status, "description": description}
    return Reply(status=status, body={**body, "parameters": parameters} if parameters else body)


REFUSALS = {
    ChatService.SLACK: Reply(status=404, body=b"no_service"),
    ChatService.DISCORD: Reply(status=404, body={"message": "Unknown Webhook", "code": 10015}),
    ChatService.TEAMS: Reply(status=404, body={"error": {"code": "WorkflowNotFound", "message": "…"}}),
    ChatService.TELEGRAM: telegram_error(403, "Forbidden: bot was blocked by the user"),
}
THROTTLES = {
    ChatService.SLACK: Reply(status=429, body=b"rate_limited", headers={"Retry-After": "30"}),
    ChatService.DISCORD: Reply(
        status=429, body={"message": "You are being rate limited.", "retry_after": 0.65, "global": False}
    ),
    ChatService.TEAMS: Reply(status=429, headers={"Retry-After": "17"}),
}


class FakeChat(FakeVendor):
    """Simulate the services. Every URL exists. A message is kept by its path. `telegram_delay` are the seconds that
    Telegram names in a 429, which has no Retry-After.
    """

    name: ClassVar[str] = "chat"
    telegram_delay = 35

    def __init__(self, *, log: VendorLog | None = None) -> None:
        super().__init__(None, log)
        self.service = ChatService.SLACK

    @classmethod
    def stand_in(cls, log: VendorLog) -> Self:
        return cls(log=log)

    def read(self, request: Request) -> VendorMessage:
        require(request.method == "POST", "it is no POST")
        self.service = self._service_of(request.path)
        READERS[self.service](request)
        return VendorMessage(reference=request.path, to=request.path, message_id=str(uuid4().int >> 64))

    def _service_of(self, path: str) -> ChatService:
        for service, pattern in PATHS.items():
            if re.fullmatch(pattern, path):
                return service
        raise UndocumentedRequest(f"no service has {path}")

    def accept(self, message: VendorMessage, request: Request) -> Reply:
        match self.service:
            case ChatService.SLACK:
                return Reply(status=200, body=b"ok")
            case ChatService.DISCORD:
                return Reply(
                    status=200, body={"id": str(message.message_id), "type": 0, "content": request.json["content"]}
                )
            case ChatService.TEAMS:
                return Reply(status=202, headers={"x-ms-workflow-run-id": message.message_id})
            case ChatService.TELEGRAM:
                return Reply(status=200, body={"ok": True, "result": {"message_id": message.message_id}})

    def refusal(self, mode: VendorMode) -> Reply:
        if mode is not VendorMode.THROTTLES:
            return REFUSALS[self.service]
        if self.service is ChatService.TELEGRAM:
            delay = self.telegram_delay
            return telegram_error(429, f"Too Many Requests: retry after {delay}", retry_after=delay)
        return THROTTLES[self.service]


def _read_slack(request: Request) -> None:
    require(set(request.json) == {"text", "mrkdwn"}, "undocumented fields")
    text = request.json["text"]
    require(0 < len(text) <= 40_000, "the text has no or too many characters")
    require(not re.search(r"[<>]|&(?!(amp|lt|gt);)", text), "the text is not escaped")


def _read_discord(request: Request) -> None:
    require(request.query.get("wait") == "true" and set(request.query) <= {"wait", "thread_id"}, "the query")
    require(set(request.json) == {"content", "allowed_mentions"}, "undocumented fields")
    require(0 < len(request.json["content"]) <= 2_000, "the text has no or too many characters")
    require(request.json["allowed_mentions"] == {"parse": []}, "the message may mention")


def _read_teams(request: Request) -> None:
    require(request.query.get("sig"), "the query is not signed")
    require(len(request.body) <= MAX_TEAMS_BYTES, "the message is too large")
    [attachment] = request.json["attachments"]
    require(request.json["type"] == "message" and attachment["contentType"] == CARD_TYPE, "it is no card")
    card = attachment["content"]
    require(card["type"] == "AdaptiveCard" and card["version"] == "1.4" and card["body"], "it is no card")
    for block in card["body"]:
        require(block["type"] == "RichTextBlock" and all(run["text"] for run in block["inlines"]), "a block is empty")


def _read_telegram(request: Request) -> None:
    require({"chat_id", "text"} <= set(request.json) <= {"chat_id", "text", "message_thread_id"}, "undocumented fields")
    length = len(request.json["text"].encode("utf-16-le")) // 2
    require(0 < length <= 4_096, "the text has no or too many characters")
    require(isinstance(request.json.get("message_thread_id", 1), int), "the thread is no number")


READERS = {
    ChatService.SLACK: _read_slack,
    ChatService.DISCORD: _read_discord,
    ChatService.TEAMS: _read_teams,
    ChatService.TELEGRAM: _read_telegram,
}
