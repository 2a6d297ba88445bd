"""Test the chat rooms of a tenant: their URLs are validated, limited and never returned, and types name rooms."""

from typing import Any

import pytest

from domain.chat_urls import ChatService
from domain.stored_limits import MAX_CHAT_ROOMS
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant
from tests.providers.harness_chat import chat_url
from tests.storage.plain_text import tables_containing

pytestmark = pytest.mark.postgres

SECRET = "roomcanary"
SLACK, DISCORD = (chat_url(service, SECRET) for service in (ChatService.SLACK, ChatService.DISCORD))
SLACK_ROOM, DISCORD_ROOM = {"chat_service": "slack"}, {"chat_service": "discord"}


async def patch(api_tenant: ApiTenant, rooms: Any) -> dict[str, Any]:
    """Return the rooms of the response, which contains no URL."""
    response = await api_tenant.http.patch("/settings", json={"chat_rooms": rooms})
    assert response.status_code == 200, response.text
    assert SECRET not in response.text
    saved: dict[str, Any] = response.json()["chat_rooms"]
    shown = await api_tenant.http.get("/settings")
    assert shown.json()["chat_rooms"] == saved
    assert SECRET not in shown.text
    return saved


async def issues(api_tenant: ApiTenant, rooms: Any) -> dict[str, str]:
    response = await api_tenant.http.patch("/settings", json={"chat_rooms": rooms})
    assert SECRET not in response.text
    return validation_errors(response)


async def test_rooms_are_merged_by_name_and_null_removes_them(api_tenant: ApiTenant) -> None:
    assert await patch(api_tenant, {"ops": SLACK}) == {"ops": SLACK_ROOM}
    assert await patch(api_tenant, {"dev": DISCORD}) == {"dev": DISCORD_ROOM, "ops": SLACK_ROOM}
    assert await patch(api_tenant, {"ops": DISCORD, "dev": None, "none": None}) == {"ops": DISCORD_ROOM}
    assert (await api_tenant.http.patch("/settings", json={"timezone": "UTC"})).json()["chat_rooms"] == {
        "ops": DISCORD_ROOM
    }
    assert await patch(api_tenant, {}) == {"ops": DISCORD_ROOM}
    assert await patch(api_tenant, None) == {}


async def test_a_room_belongs_to_its_tenant(api_tenant: ApiTenant, other_api_tenant: ApiTenant) -> None:
    await patch(api_tenant, {"ops": SLACK})
    assert await patch(other_api_tenant, {"ops": DISCORD}) == {"ops": DISCORD_ROOM}
    assert await patch(other_api_tenant, {"ops": None}) == {}
    assert await patch(api_tenant, {}) == {"ops": SLACK_ROOM}


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("ops", f"http://hooks.slack.com/services/T1/B1/{SECRET}"),
        ("ops", f"https://chat.example.com/services/T1/B1/{SECRET}"),
        ("ops", ""),
        ("ops", 1),
        ("ops", {"chat_url": SLACK}),
        ("a room", SLACK),
        ("", SLACK),
        ("a" * 129, SLACK),
        (SLACK, SLACK),
    ],
)
async def test_a_bad_name_or_url_is_refused_without_its_secret(api_tenant: ApiTenant, name: str, url: Any) -> None:
    response = await api_tenant.http.patch("/settings", json={"chat_rooms": {name: url}})
    assert validation_errors(response)
    assert name == SLACK or SECRET not in response.text
    assert await patch(api_tenant, {}) == {}


async def test_a_tenant_has_at_most_twenty_rooms(api_tenant: ApiTenant) -> None:
    full = {f"room-{number}": SLACK for number in range(MAX_CHAT_ROOMS)}
    assert len(await patch(api_tenant, full)) == MAX_CHAT_ROOMS
    assert await issues(api_tenant, {"more": SLACK}) == {"/chat_rooms": "must leave at most 20 rooms"}
    assert await issues(api_tenant, full | {"more": SLACK}) == {"/chat_rooms": "must have at most 20 members"}
    assert len(await patch(api_tenant, {"more": SLACK, "room-0": None})) == MAX_CHAT_ROOMS


async def test_changes_of_rooms_are_audited_without_their_urls(api_tenant: ApiTenant) -> None:
    await patch(api_tenant, {"ops": SLACK})
    await patch(api_tenant, {"ops": chat_url(ChatService.SLACK, f"{SECRET}2")})
    await patch(api_tenant, {"ops": None})
    await patch(api_tenant, {})
    response = await api_tenant.http.get("/audit?action=settings.changed")
    room = {"chat_rooms": {"ops": {"chat_service": "slack", "chat_url": "***"}}}
    empty: dict[str, Any] = {"chat_rooms": {}}
    assert [(entry["before"], entry["after"]) for entry in response.json()["items"]] == [
        (room, empty),
        (room, room),
        (empty, room),
    ]
    assert SECRET not in response.text


async def test_no_table_contains_the_url_of_a_room(api_tenant: ApiTenant) -> None:
    await patch(api_tenant, {"ops": SLACK})
    assert await tables_containing(api_tenant.database, SECRET) == {}
    assert "chat_room" in await tables_containing(api_tenant.database, "enc:"), "the search finds nothing"


async def test_a_type_that_names_a_missing_room_gets_a_warning(api_tenant: ApiTenant) -> None:
    await api_tenant.add_template("deployed", "chat")
    path, room = "/notification-types/deployed", {"chat": {"room": "ops"}}
    body = {"route": [{"channels": ["chat"]}], "templates": {"chat": "deployed"}, **room}
    saved = await api_tenant.http.put(path, json=body)
    assert saved.json()["warnings"] == ["/chat/room: the tenant has no chat room 'ops': the channel is skipped"]
    await patch(api_tenant, {"ops": SLACK})
    assert "warnings" not in (await api_tenant.http.put(path, json=body)).json()
    assert (await api_tenant.http.get(path)).json()["chat"] == {"room": "ops"}


@pytest.mark.parametrize(
    ("chat", "pointer"),
    [
        ({}, "/chat/room"),
        ({"room": None}, "/chat/room"),
        ({"room": "a room"}, "/chat/room"),
        ({"room": "ops", "chat_url": SLACK}, "/chat/chat_url"),
        ("ops", "/chat"),
    ],
)
async def test_a_bad_room_of_a_type_is_refused(api_tenant: ApiTenant, chat: Any, pointer: str) -> None:
    body = {"route": [{"channels": ["chat"]}], "templates": {"chat": "deployed"}, "chat": chat}
    response = await api_tenant.http.put("/notification-types/deployed", json=body)
    assert list(validation_errors(response)) == [pointer]
    assert SECRET not in response.text
