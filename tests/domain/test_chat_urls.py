"""Test which URLs are those of a chat service, and that no other host and no local scheme is."""

import pytest

from domain.chat_urls import ChatService, chat_service_of

TEAMS_PATH = "/workflows/0a1b2c/triggers/manual/paths/invoke"
TEAMS_QUERY = "?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=Ab-_1"
DISCORD_URL = "https://discord.com/api/webhooks/123456789012345678/abc-DEF_123"
TELEGRAM_URL = "https://api.telegram.org/bot123456:ABC-def_1/sendMessage"


@pytest.mark.parametrize(
    ("url", "service"),
    [
        ("https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX", ChatService.SLACK),
        ("https://hooks.slack-gov.com/services/T00000000/B00000000/XXXX", ChatService.SLACK),
        (DISCORD_URL, ChatService.DISCORD),
        (f"{DISCORD_URL}?thread_id=42", ChatService.DISCORD),
        ("https://canary.discordapp.com/api/v10/webhooks/1/a", ChatService.DISCORD),
        (f"https://prod-12.westeurope.logic.azure.com:443{TEAMS_PATH}{TEAMS_QUERY}", ChatService.TEAMS),
        (
            "https://default0a1b.12.environment.api.powerplatform.com:443/powerautomate/automations/direct"
            f"{TEAMS_PATH}{TEAMS_QUERY}",
            ChatService.TEAMS,
        ),
        (f"{TELEGRAM_URL}?chat_id=-1001234567890", ChatService.TELEGRAM),
        (f"{TELEGRAM_URL}?chat_id=@shop_news&message_thread_id=7", ChatService.TELEGRAM),
    ],
)
def test_the_url_of_each_service_is_recognized(url: str, service: ChatService) -> None:
    assert chat_service_of(url) is service


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "slack://T1/B1/x",
        "discord://1/a",
        "json://127.0.0.1/",
        "dbus://",
        "syslog://",
        "http://hooks.slack.com/services/T1/B1/x",
        "https://hooks.slack.com.example.com/services/T1/B1/x",
        "https://hooks.slack.com@example.com/services/T1/B1/x",
        "https://hooksXslack.com/services/T1/B1/x",
        "https://hooks.slack.com:8443/services/T1/B1/x",
        "https://hooks.slack.com/services/T1/B1/x/../../../api",
        "https://hooks.slack.com/workflows/T1/A1/1/x",
        "https://hooks.slack.com/services/T1/B1/x\n",
        "https://evil.example/https://hooks.slack.com/services/T1/B1/x",
        f"{DISCORD_URL}?wait=false",
        f"{DISCORD_URL}/github",
        f"https://logic.azure.com{TEAMS_PATH}{TEAMS_QUERY}",
        f"https://x.logic.azure.com.example.com{TEAMS_PATH}{TEAMS_QUERY}",
        f"https://example.com/.logic.azure.com{TEAMS_PATH}{TEAMS_QUERY}",
        f"https://prod-1.westeurope.logic.azure.com{TEAMS_PATH}",
        TELEGRAM_URL,
        f"{TELEGRAM_URL}?chat_id=",
        f"{TELEGRAM_URL}?chat_id=1&text=x",
        "https://api.telegram.org/bot1:a/getMe?chat_id=1",
    ],
)
def test_any_other_url_has_no_service(url: str | None) -> None:
    assert chat_service_of(url) is None
