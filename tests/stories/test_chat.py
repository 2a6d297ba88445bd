"""Check messages to chats through the real adapter: what the services get, and that no URL is left anywhere."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.chat_urls import ChatService
from testing.vendors.chat import FakeChat
from testing.vendors.modes import VendorMode
from tests.api_tenants import ApiTenant, open_api_tenant
from tests.captured_logs import capture_log
from tests.engine import running_engine
from tests.providers.harness_chat import chat_url
from tests.storage.plain_text import tables_containing
from tests.stories.workflow_data import read_workflow_data

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]

CANARY = "chatcanary"
SERVICES = (ChatService.SLACK, ChatService.DISCORD)


@pytest.fixture
async def chats() -> AsyncIterator[FakeChat]:
    async with FakeChat().running() as chats:
        yield chats


@pytest.fixture
async def chat_tenant(
    chats: FakeChat, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ApiTenant]:
    monkeypatch.setenv("TOCSIN_CHAT_BASE_URL", chats.url)
    async with (
        running_engine(database_url, tmp_path, chat_providers=["chat"]) as engine,
        open_api_tenant(engine) as api_tenant,
    ):
        await api_tenant.put_type("deployed", ["chat"], ["email"], template={"subject_template": "Deployed"})
        yield api_tenant


async def put_chat(api_tenant: ApiTenant, recipient_id: str, service: ChatService) -> str:
    """Put a recipient that stands for a room, and return the path of its URL."""
    url = chat_url(service, f"{CANARY}{recipient_id}")
    await api_tenant.put_recipient(recipient_id, chat_url=url, email=f"{recipient_id}@example.com")
    return "/" + url.split("/", 3)[3]


async def test_slack_and_discord_get_a_message_and_no_url_is_left(chat_tenant: ApiTenant, chats: FakeChat) -> None:
    with capture_log() as log:
        paths = [await put_chat(chat_tenant, service, service) for service in SERVICES]
        ids = [await chat_tenant.send("deployed", service, payload={"name": "<ops>"}) for service in SERVICES]
        notifications = [await chat_tenant.wait_until_finished(id) for id in ids]
        shown = [await chat_tenant.call("GET", f"/recipients/{service}") for service in SERVICES]
        explained = [await chat_tenant.call("GET", f"/notifications/{id}/explain") for id in ids]
        logging.getLogger("test").warning("the log is read")
    assert [each["status"] for each in notifications] == ["SENT", "SENT"]
    slack, discord = sorted(chats.log.requests, key=lambda request: paths.index(request.path))
    assert slack.json == {"text": "Deployed\nHello &lt;ops&gt;", "mrkdwn": False}
    assert discord.json == {"content": "Deployed\nHello \\<ops\\>", "allowed_mentions": {"parse": []}}
    assert [each["chat_service"] for each in shown] == list(SERVICES)
    workflows = [await read_workflow_data(chat_tenant.engine, each["workflow_id"]) for each in notifications]
    assert not [data for data in workflows if CANARY.encode() in data]
    responses = json.dumps([notifications, shown, explained])
    assert CANARY not in responses
    assert CANARY not in log.getvalue()
    assert "the log is read" in log.getvalue()
    database = chat_tenant.engine.container.database
    assert await tables_containing(database, CANARY) == {}
    assert "recipient" in await tables_containing(database, "discord@example.com"), "the search finds nothing"


async def test_a_deleted_chat_falls_back_to_email(chat_tenant: ApiTenant, chats: FakeChat) -> None:
    chats.set_mode(VendorMode.REFUSES)
    await put_chat(chat_tenant, "ada", ChatService.SLACK)
    notification = await chat_tenant.wait_for_status(await chat_tenant.send("deployed", "ada"), "DELIVERED")
    chat, email = notification["deliveries"]
    assert (chat["channel"], chat["status"], chat["failure_reason"]) == ("chat", "FAILED", "refused: chat_not_found")
    assert [(each["outcome"], each["reason"]) for each in chat["attempts"]] == [("refused", "chat_not_found")]
    assert (email["channel"], email["status"]) == ("email", "DELIVERED")
    assert len(chats.log.requests) == 1


async def test_a_throttled_chat_is_called_again_and_delays_no_other(chat_tenant: ApiTenant, chats: FakeChat) -> None:
    paths = {service: await put_chat(chat_tenant, service, service) for service in SERVICES}
    chats.mode_of = lambda to: VendorMode.THROTTLES_SECONDS if to == paths[ChatService.SLACK] else VendorMode.GOOD
    slack = await chat_tenant.send("deployed", "slack")
    await chat_tenant.wait_until_finished(await chat_tenant.send("deployed", "discord"))
    chats.mode_of = None
    notification = await chat_tenant.wait_until_finished(slack)
    outcomes = [each["outcome"] for each in notification["deliveries"][0]["attempts"]]
    assert outcomes[-1] == "accepted"
    assert set(outcomes[:-1]) == {"error"}
    assert chats.log.called[paths[ChatService.SLACK]] == len(outcomes)
    assert chats.log.called[paths[ChatService.DISCORD]] == 1
