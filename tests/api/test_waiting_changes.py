"""Test that each change of a time zone or a limit makes affected waiting notifications check again, once."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.clock import now
from models.columns import new_id
from storage.reconsiderations import reconsider_batch
from tests.api_tenants import ApiTenant

pytestmark = pytest.mark.postgres

SEND = {"notification_type": "report", "payload": {}}
KIND: dict[str, Any] = {
    "route": [{"channels": ["email"]}],
    "templates": {"email": "report"},
    "digest": {"schedule": "0 9 * * *"},
}
OPEN_DIGEST = text("""
INSERT INTO digest (id, tenant, notification_type, type_id, recipient_id, digest_key, closes_on_schedule, item_count,
       item_bytes, is_full,
       opened_at, closes_at)
SELECT :id, tenant, key, id, :recipient_id, :group, true, 1, 1, false, now(), :closes_at FROM notification_type
 WHERE tenant = :tenant
""")
WAIT = text("""
UPDATE queue_entry q SET state = 'waiting', waits_for = :reason, recipient_id = n.recipient_id
  FROM notification n WHERE n.id = q.notification_id AND n.id = ANY(:ids)
""")
IS_CHECK_REQUESTED = text("SELECT state = 'due' FROM queue_entry WHERE notification_id = :id")
CLOSES = text("SELECT closes_at FROM digest WHERE tenant = :tenant")
SCHEDULE = {**SEND, "cron": "0 9 * * *", "timezone": "recipient"}
DUE = text("SELECT due_at FROM schedule_occurrence WHERE tenant = :tenant")


@pytest.fixture
async def api_tenant(api_tenant: ApiTenant) -> ApiTenant:
    await api_tenant.put_type("report", ["email"], digest={"schedule": "0 9 * * *"})
    await api_tenant.put_recipient(email="ada@example.com")
    return api_tenant


async def sent(api_tenant: ApiTenant, **more: Any) -> UUID:
    recipient = {} if "recipient" in more else {"recipient_id": api_tenant.recipient_id}
    response = await api_tenant.http.post("/notifications/send", json={**SEND, **recipient, **more})
    assert response.status_code == 202, response.text
    return UUID(response.json()["id"])


async def waiting(api_tenant: ApiTenant, reason: str = "quiet_hours") -> UUID:
    id = await sent(api_tenant)
    async with api_tenant.database.transaction() as session:
        await session.execute(WAIT, {"ids": [id], "reason": reason})
    return id


async def is_check_requested(api_tenant: ApiTenant, id: UUID) -> bool:
    async with api_tenant.database.transaction() as session:
        return bool((await session.execute(IS_CHECK_REQUESTED, {"id": id})).scalar_one())


async def hours(api_tenant: ApiTenant, of: Any) -> list[int]:
    """Return in UTC when the digest closes, or the occurrence is due."""
    async with api_tenant.database.transaction() as session:
        times = (await session.execute(of, {"tenant": api_tenant.tenant})).scalars()
        return [at.astimezone(UTC).hour for at in times]


async def put(api_tenant: ApiTenant) -> None:
    await api_tenant.put(f"/recipients/{api_tenant.recipient_id}", {"timezone": "Asia/Tokyo"})


async def patch(api_tenant: ApiTenant) -> None:
    await api_tenant.http.patch(f"/recipients/{api_tenant.recipient_id}", json={"timezone": "Asia/Tokyo"})


async def change_settings(api_tenant: ApiTenant, **changes: Any) -> None:
    """Change settings and wake the waiting notifications in batches, as happens after the request."""
    assert (await api_tenant.http.patch("/settings", json=changes)).status_code == 200
    while True:
        async with api_tenant.database.transaction() as session:
            if not await reconsider_batch(session, 100):
                return


async def settings(api_tenant: ApiTenant) -> None:
    await change_settings(api_tenant, timezone="Asia/Tokyo")


async def inline(api_tenant: ApiTenant) -> None:
    await sent(api_tenant, recipient={"recipient_id": api_tenant.recipient_id, "timezone": "Asia/Tokyo"})


@pytest.mark.parametrize("move", [put, patch, settings, inline])
async def test_waits_for_local_time_move_with_the_recipient(api_tenant: ApiTenant, move: Any) -> None:
    await api_tenant.put("/schedules/daily", {**SCHEDULE, "recipient_id": api_tenant.recipient_id})
    id = await waiting(api_tenant)
    later = datetime(now().year + 1, 1, 1, 9, tzinfo=UTC)
    opened = {
        "id": new_id(),
        "tenant": api_tenant.tenant,
        "recipient_id": api_tenant.recipient_id,
        "group": str(id),
        "closes_at": later,
    }
    async with api_tenant.database.transaction() as session:
        await session.execute(OPEN_DIGEST, opened)
    assert (
        await is_check_requested(api_tenant, id),
        await hours(api_tenant, CLOSES),
        await hours(api_tenant, DUE),
    ) == (
        False,
        [9],
        [9],
    )
    await move(api_tenant)
    assert (
        await is_check_requested(api_tenant, id),
        await hours(api_tenant, CLOSES),
        await hours(api_tenant, DUE),
    ) == (
        True,
        [0],
        [0],
    )


@pytest.mark.parametrize("timezone", [None, "UTC"])
async def test_a_send_with_an_unchanged_profile_triggers_no_check(api_tenant: ApiTenant, timezone: str | None) -> None:
    """Otherwise each further send to a recipient with a hundred waiting notifications would send a hundred signals."""
    id = await waiting(api_tenant)
    await sent(api_tenant, recipient={"recipient_id": api_tenant.recipient_id, "timezone": timezone})
    assert not await is_check_requested(api_tenant, id)


@pytest.mark.parametrize("cap", [{"limit": 2, "per": "31d"}, None])
async def test_a_changed_frequency_cap_is_applied_to_waiting_sends(
    api_tenant: ApiTenant, cap: dict[str, Any] | None
) -> None:
    await change_settings(api_tenant, frequency_cap={"limit": 1, "per": "31d"})
    capped, quiet = await waiting(api_tenant, "frequency_capped"), await waiting(api_tenant)
    await change_settings(api_tenant, default_language="de", frequency_cap={"limit": 1, "per": "31d"})
    assert not await is_check_requested(api_tenant, capped)
    await change_settings(api_tenant, frequency_cap=cap)
    assert (await is_check_requested(api_tenant, capped), await is_check_requested(api_tenant, quiet)) == (True, False)
