"""Check messages to the chat rooms of a tenant: one for each notification, to the URL that the room has at the call."""

import json
from typing import Any

import pytest

from domain.chat_urls import ChatService
from testing.vendors.chat import FakeChat
from testing.vendors.modes import VendorMode
from tests.api_tenants import ApiTenant
from tests.captured_logs import capture_log
from tests.polling import eventually
from tests.providers.harness_chat import chat_url
from tests.storage.plain_text import tables_containing
from tests.stories.test_chat import CANARY, chat_tenant, chats, put_chat
from tests.stories.test_holds import is_held
from tests.stories.workflow_data import read_workflow_data

__all__ = ["chat_tenant", "chats"]

pytestmark = [pytest.mark.postgres, pytest.mark.temporal]


async def put_room(api_tenant: ApiTenant, service: ChatService = ChatService.SLACK) -> str:
    """Put the room `ops`, and return the path of its URL."""
    url = chat_url(service, f"{CANARY}room")
    await api_tenant.call("PATCH", "/settings", {"chat_rooms": {"ops": url}})
    return "/" + url.split("/", 3)[3]


async def put_room_type(api_tenant: ApiTenant, *steps: list[str], **fields: Any) -> None:
    template = {"subject_template": "Alert"}
    await api_tenant.put_type("alert", *(steps or (["chat"],)), template=template, chat={"room": "ops"}, **fields)


async def predict(api_tenant: ApiTenant, recipient_id: str) -> dict[str, Any]:
    send = {"notification_type": "alert", "recipient_id": recipient_id, "payload": {"name": "Ada"}, "dry_run": True}
    prediction: dict[str, Any] = (await api_tenant.http.post("/notifications/send", json=send)).json()
    return prediction


async def hold(api_tenant: ApiTenant) -> str:
    """Return a notification that is planned and rendered, and whose call waits."""
    await api_tenant.call("POST", "/channels/chat/pause")
    id = await api_tenant.send("alert")
    await eventually(lambda: is_held(api_tenant, id), bool)
    return id


async def test_a_room_gets_one_message_for_each_notification(chat_tenant: ApiTenant, chats: FakeChat) -> None:
    with capture_log() as log:
        room = await put_room(chat_tenant)
        await put_room_type(chat_tenant)
        await chat_tenant.put_recipient("ada")
        own = await put_chat(chat_tenant, "bob", ChatService.SLACK)
        predicted = await predict(chat_tenant, "bob")
        ids = [await chat_tenant.send("alert", recipient_id) for recipient_id in ("ada", "bob")]
        notifications = [await chat_tenant.wait_until_finished(id) for id in ids]
        explained = [await chat_tenant.call("GET", f"/notifications/{id}/explain") for id in ids]
        await chat_tenant.send("deployed", "bob")
        await eventually(lambda: _calls(chats, own), lambda count: count == 1)
    assert [each["status"] for each in notifications] == ["SENT", "SENT"]
    assert [request.path for request in chats.log.requests] == [room, room, own]
    assert chats.log.requests[0].json == {"text": "Alert\nHello Ada", "mrkdwn": False}
    [channel] = predicted["steps"][0]["channels"]
    assert (channel["decision"], channel["chat_room"]) == ("send", "ops")
    for notification, explanation in zip(notifications, explained, strict=True):
        [rendered] = [entry for entry in notification["timeline"] if entry["kind"] == "rendered"]
        assert rendered["detail"]["room"] == "ops"
        assert any(line["text"].endswith("It goes to the tenant's room ops.") for line in explanation["lines"])
    workflows = [await read_workflow_data(chat_tenant.engine, each["workflow_id"]) for each in notifications]
    assert not [data for data in workflows if CANARY.encode() in data]
    assert CANARY not in json.dumps([notifications, explained, predicted]) + log.getvalue()
    assert await tables_containing(chat_tenant.engine.container.database, CANARY) == {}


async def _calls(chats: FakeChat, path: str) -> int:
    return chats.log.called[path]


async def test_preferences_of_the_recipient_apply_to_a_room(chat_tenant: ApiTenant, chats: FakeChat) -> None:
    await put_room(chat_tenant)
    await put_room_type(chat_tenant)
    await chat_tenant.put_recipient("ada")
    await chat_tenant.call("PUT", "/recipients/ada/preferences", {"global_channel_opt_in": {"chat": False}})
    notification = await chat_tenant.wait_until_finished(await chat_tenant.send("alert"))
    assert notification["status"] == "SUPPRESSED"
    assert chats.log.requests == []


async def test_a_missing_room_is_named_and_the_route_continues(chat_tenant: ApiTenant, chats: FakeChat) -> None:
    """The recipient's own chat is no replacement for the room."""
    await put_room_type(chat_tenant, ["chat"], ["email"])
    await put_chat(chat_tenant, "ada", ChatService.SLACK)
    predicted = await predict(chat_tenant, "ada")
    id = await chat_tenant.send("alert")
    notification = await chat_tenant.wait_for_status(id, "DELIVERED")
    [chat, email] = notification["deliveries"]
    assert (chat["status"], chat["failure_reason"], chat["failure_category"]) == (
        "SKIPPED",
        "no_chat_room (ops)",
        "account",
    )
    assert email["status"] == "DELIVERED"
    [channel] = predicted["steps"][0]["channels"]
    assert (channel["decision"], channel["reason"], channel["chat_room"]) == ("skip", "no_chat_room (ops)", "ops")
    lines = (await chat_tenant.call("GET", f"/notifications/{id}/explain"))["lines"]
    assert "chat is not used: the tenant has no chat room ops." in [line["text"] for line in lines]
    assert chats.log.requests == []


async def test_a_waiting_message_goes_to_the_changed_room(chat_tenant: ApiTenant, chats: FakeChat) -> None:
    await put_room(chat_tenant)
    await put_room_type(chat_tenant)
    await chat_tenant.put_recipient("ada")
    id = await hold(chat_tenant)
    changed = await put_room(chat_tenant, ChatService.DISCORD)
    await chat_tenant.call("POST", "/channels/chat/resume")
    assert (await chat_tenant.wait_until_finished(id))["status"] == "SENT"
    assert [request.path for request in chats.log.requests] == [changed]


async def test_a_removed_room_gets_nothing_until_a_redrive_after_its_return(
    chat_tenant: ApiTenant, chats: FakeChat
) -> None:
    await put_room(chat_tenant)
    await put_room_type(chat_tenant)
    await put_chat(chat_tenant, "ada", ChatService.SLACK)
    id = await hold(chat_tenant)
    await chat_tenant.call("PATCH", "/settings", {"chat_rooms": {"ops": None}})
    await chat_tenant.call("POST", "/channels/chat/resume")
    notification = await chat_tenant.wait_until_finished(id)
    assert (notification["status"], notification["failure_reason"]) == ("FAILED", "chat: no_chat_room (ops)")
    redrive = f"/notifications/{id}/redrive"
    assert (await chat_tenant.call("POST", redrive))["skipped"] == [{"id": id, "reason": "no_chat_room"}]
    assert chats.log.requests == []
    room = await put_room(chat_tenant)
    assert (await chat_tenant.call("POST", redrive))["redriven"] == 1
    await chat_tenant.wait_for_end(id, "SENT")
    assert [request.path for request in chats.log.requests] == [room]


async def test_a_retry_goes_once_to_the_changed_room(chat_tenant: ApiTenant, chats: FakeChat) -> None:
    """A throttled room does not delay the chat of the recipient."""
    first = await put_room(chat_tenant)
    await put_room_type(chat_tenant)
    own = await put_chat(chat_tenant, "ada", ChatService.SLACK)
    chats.mode_of = lambda to: VendorMode.THROTTLES_SECONDS if to == first else VendorMode.GOOD
    id = await chat_tenant.send("alert")
    await eventually(lambda: _calls(chats, first), lambda count: count > 0)
    await chat_tenant.wait_for_end(await chat_tenant.send("deployed"), "SENT")
    assert chats.log.called[own] == 1
    changed = await put_room(chat_tenant, ChatService.DISCORD)
    notification = await chat_tenant.wait_until_finished(id)
    outcomes = [each["outcome"] for each in notification["deliveries"][0]["attempts"]]
    assert outcomes == ["error"] * chats.log.called[first] + ["accepted"]
    assert chats.log.called[changed] == 1


async def test_a_deleted_room_changes_nothing_of_the_recipient(chat_tenant: ApiTenant, chats: FakeChat) -> None:
    room = await put_room(chat_tenant)
    await put_room_type(chat_tenant)
    own = await put_chat(chat_tenant, "ada", ChatService.SLACK)
    await chat_tenant.put_device("ada", "phone", "token")
    before = await chat_tenant.call("GET", "/recipients/ada")
    chats.mode_of = lambda to: VendorMode.REFUSES if to == room else VendorMode.GOOD
    notification = await chat_tenant.wait_until_finished(await chat_tenant.send("alert"))
    assert (notification["status"], notification["failure_reason"]) == ("FAILED", "chat: refused: chat_not_found")
    assert await chat_tenant.call("GET", "/recipients/ada") == before
    assert (await chat_tenant.call("GET", "/settings"))["chat_rooms"] == {"ops": {"chat_service": "slack"}}
    assert (await chat_tenant.wait_until_finished(await chat_tenant.send("deployed")))["status"] == "SENT"
    assert chats.log.called[own] == 1
