"""Preferences: replaced by PUT, merged by PATCH, and gone with the person."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from domain.gates import GateReason
from domain.messages import Gate
from models.content import NotificationType
from storage.attempts import claim_attempt
from storage.gates import wait
from tests.api.shops import Shop, faults
from tests.storage.locks import until_blocked
from tests.storage.sends import Desk

pytestmark = pytest.mark.postgres

WANTED = {
    "global_channel_opt_in": {"email": True, "sms": False},
    "type_channel_preferences": {"MARKETING": {"email": False, "push": True}, "order.shipped": {"sms": True}},
    "quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "Europe/Vienna", "days": ["mon", "sun"]},
}
SHARE = text("SELECT 1 FROM user_preference WHERE tenant = :tenant AND user_id = :person FOR SHARE")


@pytest.fixture
async def path(shop: Shop) -> str:
    return f"{await shop.with_person()}/preferences"


async def read(shop: Shop, path: str) -> dict[str, Any]:
    shown: dict[str, Any] = (await shop.http.get(path)).json()
    return {name: value for name, value in shown.items() if name != "updated_at"}


async def test_a_new_person_has_said_nothing(shop: Shop, path: str) -> None:
    nothing: dict[str, Any] = {"global_channel_opt_in": {}, "type_channel_preferences": {}, "quiet_hours": None}
    assert await read(shop, path) == nothing


async def test_put_keeps_what_was_said_and_forgets_the_rest(shop: Shop, path: str) -> None:
    assert (await shop.put(path, WANTED)).status_code == 200
    assert await read(shop, path) == WANTED
    await shop.put(path, {"global_channel_opt_in": {"email": False}})
    assert await read(shop, path) == {
        "global_channel_opt_in": {"email": False},
        "type_channel_preferences": {},
        "quiet_hours": None,
    }


async def test_patch_merges_at_every_depth_and_null_removes(shop: Shop, path: str) -> None:
    await shop.put(path, WANTED)
    changes = {
        "global_channel_opt_in": {"sms": None, "push": False},
        "type_channel_preferences": {"MARKETING": {"email": None, "sms": False}, "order.shipped": None},
        "quiet_hours": {"end": "08:30", "days": None},
    }
    assert (await shop.http.patch(path, json=changes)).status_code == 200
    assert await read(shop, path) == {
        "global_channel_opt_in": {"email": True, "push": False},
        "type_channel_preferences": {"MARKETING": {"push": True, "sms": False}},
        "quiet_hours": {"start": "22:00", "end": "08:30", "timezone": "Europe/Vienna", "days": None},
    }


async def test_patch_with_null_clears_quiet_hours_and_nothing_else(shop: Shop, path: str) -> None:
    await shop.put(path, WANTED)
    await shop.http.patch(path, json={"quiet_hours": None})
    assert await read(shop, path) == {**WANTED, "quiet_hours": None}


async def test_a_save_warns_of_names_that_no_type_and_no_category_has(shop: Shop, path: str) -> None:
    body = {"category": "MARKETING", "route": [{"channels": ["sms"]}], "templates": {"sms": "news"}}
    assert (await shop.http.put("/notification-types/news", json=body)).is_success
    switches = {name: {"sms": False} for name in ("news", "MARKETING", "MARKETNG", "gone")}
    assert (await shop.put(path, {"type_channel_preferences": switches})).json()["warnings"] == [
        f"/type_channel_preferences/{name}: no notification type or category has this name"
        for name in ("MARKETNG", "gone")
    ]
    removed = await shop.http.patch(path, json={"type_channel_preferences": {"MARKETNG": None, "gone": None}})
    assert "warnings" not in removed.json()
    await shop.http.delete("/notification-types/news")
    assert len((await shop.http.patch(path, json={})).json()["warnings"]) == 2


async def test_a_patch_may_not_leave_half_a_window(shop: Shop, path: str) -> None:
    assert list(faults(await shop.http.patch(path, json={"quiet_hours": {"start": "22:00"}}))) == ["/quiet_hours/end"]
    await shop.put(path, WANTED)
    assert list(faults(await shop.http.patch(path, json={"quiet_hours": {"start": "07:00"}}))) == ["/quiet_hours"]
    assert await read(shop, path) == WANTED


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"global_channel_opt_in": {"canary": True}}, "/global_channel_opt_in/canary"),
        ({"global_channel_opt_in": {"email": "yes"}}, "/global_channel_opt_in/email"),
        ({"global_channel_opt_in": {"email": 1}}, "/global_channel_opt_in/email"),
        ({"type_channel_preferences": {"X": {"fax": True}}}, "/type_channel_preferences/X/fax"),
        ({"type_channel_preferences": {"X": True}}, "/type_channel_preferences/X"),
        ({"type_channel_preferences": {"": {}}}, "/type_channel_preferences/"),
        ({"quiet_hours": {"start": "22:00", "end": "24:00"}}, "/quiet_hours/end"),
        ({"quiet_hours": {"start": "22:00", "end": "22:00"}}, "/quiet_hours"),
        ({"quiet_hours": {"start": "9:00", "end": "22:00"}}, "/quiet_hours/start"),
        ({"quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "Canary"}}, "/quiet_hours/timezone"),
        ({"quiet_hours": {"start": "22:00", "end": "07:00", "days": ["canary"]}}, "/quiet_hours/days/0"),
        ({"quiet_hours": {"start": "22:00", "end": "07:00", "days": []}}, "/quiet_hours/days"),
        ({"quiet": True}, "/quiet"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_bad_preference_is_named(
    shop: Shop, path: str, method: str, body: dict[str, Any], pointer: str
) -> None:
    response = await shop.http.request(method, path, json=body)
    assert list(faults(response)) == [pointer]
    assert "canary" not in "".join(faults(response).values()).lower()


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
async def test_who_chooses_waits_for_a_guard_that_goes_on(shop: Shop, path: str, verb: str) -> None:
    """It locks the preferences before the queue entry, and so does a change of the preferences."""
    spec = {"key": "order.shipped", "route": [{"channels": ["email"]}], "templates": {"email": "words"}}
    kind = NotificationType(tenant=shop.tenant, key="order.shipped", version=1, spec=spec)
    async with shop.database.transaction() as session:
        session.add(kind)
    desk = Desk(database=shop.database, tenant=shop.tenant, type_id=kind.id, recipient_id=shop.person)
    sent = await desk.send()
    gate = Gate(reason=GateReason.QUIET_HOURS, until=datetime.now(UTC))
    async with shop.database.transaction() as session:
        await wait(session, sent.key, 1, gate)
    async with shop.database.transaction() as session:
        await session.execute(SHARE, {"tenant": shop.tenant, "person": shop.person})
        choosing = asyncio.create_task(shop.http.request(verb, path, json={"quiet_hours": WANTED["quiet_hours"]}))
        await until_blocked(shop.database, choosing)
        assert await claim_attempt(session, sent.call()) is not None
    assert (await choosing).status_code == 200
