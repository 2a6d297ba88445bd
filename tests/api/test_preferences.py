"""Test that preferences are replaced by PUT, merged by PATCH, and deleted with the recipient."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from domain.gates import Gate, GateReason
from models.notification_types import NotificationTypeVersion
from storage.attempts import claim_attempt
from storage.gates import wait_at_gate
from tests.api.responses import validation_errors
from tests.api_tenants import ApiTenant
from tests.storage.locks import until_blocked
from tests.storage.sends import DatabaseTenant

pytestmark = pytest.mark.postgres

WANTED = {
    "global_channel_opt_in": {"email": True, "sms": False},
    "type_channel_preferences": {"MARKETING": {"email": False, "push": True}, "order.shipped": {"sms": True}},
    "quiet_hours": {"start": "22:00", "end": "07:00", "timezone": "Europe/Vienna", "days": ["mon", "sun"]},
}
SHARE = text("SELECT 1 FROM user_preference WHERE tenant = :tenant AND user_id = :recipient_id FOR SHARE")


@pytest.fixture
async def path(api_tenant: ApiTenant) -> str:
    return f"{await api_tenant.put_recipient()}/preferences"


async def read(api_tenant: ApiTenant, path: str) -> dict[str, Any]:
    shown: dict[str, Any] = (await api_tenant.http.get(path)).json()
    return {name: value for name, value in shown.items() if name != "updated_at"}


async def test_a_new_recipient_has_no_preferences(api_tenant: ApiTenant, path: str) -> None:
    nothing: dict[str, Any] = {"global_channel_opt_in": {}, "type_channel_preferences": {}, "quiet_hours": None}
    assert await read(api_tenant, path) == nothing


async def test_put_replaces_all_preferences(api_tenant: ApiTenant, path: str) -> None:
    assert (await api_tenant.put(path, WANTED)).status_code == 200
    assert await read(api_tenant, path) == WANTED
    await api_tenant.put(path, {"global_channel_opt_in": {"email": False}})
    assert await read(api_tenant, path) == {
        "global_channel_opt_in": {"email": False},
        "type_channel_preferences": {},
        "quiet_hours": None,
    }


async def test_patch_merges_at_every_depth_and_null_removes(api_tenant: ApiTenant, path: str) -> None:
    await api_tenant.put(path, WANTED)
    changes = {
        "global_channel_opt_in": {"sms": None, "push": False},
        "type_channel_preferences": {"MARKETING": {"email": None, "sms": False}, "order.shipped": None},
        "quiet_hours": {"end": "08:30", "days": None},
    }
    assert (await api_tenant.http.patch(path, json=changes)).status_code == 200
    assert await read(api_tenant, path) == {
        "global_channel_opt_in": {"email": True, "push": False},
        "type_channel_preferences": {"MARKETING": {"push": True, "sms": False}},
        "quiet_hours": {"start": "22:00", "end": "08:30", "timezone": "Europe/Vienna", "days": None},
    }


async def test_patch_with_null_clears_quiet_hours_and_nothing_else(api_tenant: ApiTenant, path: str) -> None:
    await api_tenant.put(path, WANTED)
    await api_tenant.http.patch(path, json={"quiet_hours": None})
    assert await read(api_tenant, path) == {**WANTED, "quiet_hours": None}


async def test_a_save_warns_of_names_that_no_type_and_no_category_has(api_tenant: ApiTenant, path: str) -> None:
    body = {"category": "MARKETING", "route": [{"channels": ["sms"]}], "templates": {"sms": "news"}}
    assert (await api_tenant.http.put("/notification-types/news", json=body)).is_success
    switches = {name: {"sms": False} for name in ("news", "MARKETING", "MARKETNG", "gone")}
    assert (await api_tenant.put(path, {"type_channel_preferences": switches})).json()["warnings"] == [
        f"/type_channel_preferences/{name}: no notification type or category has this name"
        for name in ("MARKETNG", "gone")
    ]
    removed = await api_tenant.http.patch(path, json={"type_channel_preferences": {"MARKETNG": None, "gone": None}})
    assert "warnings" not in removed.json()
    await api_tenant.http.delete("/notification-types/news")
    assert len((await api_tenant.http.patch(path, json={})).json()["warnings"]) == 2


async def test_a_patch_may_not_leave_half_a_window(api_tenant: ApiTenant, path: str) -> None:
    assert list(validation_errors(await api_tenant.http.patch(path, json={"quiet_hours": {"start": "22:00"}}))) == [
        "/quiet_hours/end"
    ]
    await api_tenant.put(path, WANTED)
    assert list(validation_errors(await api_tenant.http.patch(path, json={"quiet_hours": {"start": "07:00"}}))) == [
        "/quiet_hours"
    ]
    assert await read(api_tenant, path) == WANTED


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
    api_tenant: ApiTenant, path: str, method: str, body: dict[str, Any], pointer: str
) -> None:
    response = await api_tenant.http.request(method, path, json=body)
    assert list(validation_errors(response)) == [pointer]
    assert "canary" not in "".join(validation_errors(response).values()).lower()


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
async def test_a_preference_change_waits_for_a_running_guard(api_tenant: ApiTenant, path: str, verb: str) -> None:
    """The guard locks preferences before the queue entry, like a change of the preferences."""
    spec = {"key": "order.shipped", "route": [{"channels": ["email"]}], "templates": {"email": "words"}}
    type_row = NotificationTypeVersion(tenant=api_tenant.tenant, key="order.shipped", version=1, spec=spec)
    async with api_tenant.database.transaction() as session:
        session.add(type_row)
    database_tenant = DatabaseTenant(
        database=api_tenant.database,
        tenant=api_tenant.tenant,
        type_id=type_row.id,
        recipient_id=api_tenant.recipient_id,
    )
    sent = await database_tenant.send()
    gate = Gate(reason=GateReason.QUIET_HOURS, until=datetime.now(UTC))
    async with api_tenant.database.transaction() as session:
        await wait_at_gate(session, sent.ref, 1, gate)
    async with api_tenant.database.transaction() as session:
        await session.execute(SHARE, {"tenant": api_tenant.tenant, "recipient_id": api_tenant.recipient_id})
        choosing = asyncio.create_task(api_tenant.http.request(verb, path, json={"quiet_hours": WANTED["quiet_hours"]}))
        await until_blocked(api_tenant.database, choosing)
        assert await claim_attempt(session, sent.call()) is not None
    assert (await choosing).status_code == 200
