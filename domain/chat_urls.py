"""Recognize the URLs by which chat services take messages: one documented form of each service. Pure."""

import re

from domain.stored_enums import StoredEnum


class ChatService(StoredEnum):
    SLACK = "slack"
    DISCORD = "discord"
    TEAMS = "teams"
    TELEGRAM = "telegram"


# Hosts are fixed, so that a URL leads to its service and nowhere else. Each URL contains its own secret.
URL_PATTERNS = {
    ChatService.SLACK: r"https://hooks\.slack(-gov)?\.com/services/[A-Z0-9]+/[A-Z0-9]+/[A-Za-z0-9_-]+",
    ChatService.DISCORD: r"https://((ptb|canary)\.)?discord(app)?\.com/api(/v[0-9]+)?/webhooks/[0-9]+/[A-Za-z0-9_-]+"
    r"(\?thread_id=[0-9]+)?",
    ChatService.TEAMS: r"https://[a-z0-9.-]+\.(logic\.azure|api\.powerplatform)\.com(:443)?"
    r"/(powerautomate/automations/direct/)?workflows/[A-Za-z0-9-]+/triggers/[A-Za-z0-9_-]+/paths/invoke"
    r"\?([A-Za-z0-9_-]+=[A-Za-z0-9%._~-]*&)*sig=[A-Za-z0-9%._~-]+",
    ChatService.TELEGRAM: r"https://api\.telegram\.org/bot[0-9]+:[A-Za-z0-9_-]+/sendMessage"
    r"\?chat_id=(-?[0-9]+|@[A-Za-z0-9_]+)(&message_thread_id=[0-9]+)?",
}
SERVICES = {service: re.compile(pattern, re.ASCII) for service, pattern in URL_PATTERNS.items()}


def chat_service_of(url: str | None) -> ChatService | None:
    """Return the service of a chat URL, or None if it has none of the accepted forms."""
    return next((service for service, pattern in SERVICES.items() if pattern.fullmatch(url or "")), None)
