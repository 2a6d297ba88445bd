"""Whatever says that somebody is elsewhere: what waits for an hour there is asked about again, and no more often."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from bootstrap import Parts
from domain.clock import now
from models.columns import new_id
from storage import zone_changes
from storage.reconsiderations import reconsider_batch
from tests.api.shops import Shop, open_shop

pytestmark = pytest.mark.postgres

SEND = {"notification_type": "report", "payload": {}}
KIND: dict[str, Any] = {
    "route": [{"channels": ["email"]}],
    "templates": {"email": "report"},
    "digest": {"schedule": "0 9 * * *"},
}
OPEN_DIGEST = text("""
INSERT INTO digest (id, tenant, notification_type, type_id, recipient_id, group_key, calendar, items, bytes, filled,
       opened_at, closes_at)
SELECT :id, tenant, key, id, :person, :group, true, 1, 1, false, now(), :closes_at FROM notification_type
 WHERE tenant = :tenant
""")
WAIT = text("""
UPDATE queue_entry q SET state = 'waiting', waits_for = :reason, recipient_id = n.recipient_id
  FROM notification n WHERE n.id = q.notification_id AND n.id = ANY(:ids)
""")
TOLD = text("SELECT state = 'due' FROM queue_entry WHERE notification_id = :id")
CLOSES = text("SELECT closes_at FROM digest WHERE tenant = :tenant")
SCHEDULE = {**SEND, "cron": "0 9 * * *", "timezone": "recipient"}
DUE = text("SELECT due_at FROM schedule_turn WHERE tenant = :tenant")


@pytest.fixture
async def shop(parts: Parts) -> AsyncIterator[Shop]:
    async with open_shop(parts) as shop:
        words = {"name": "report", "channel": "email", "language": "en", "body_template": "Hello"}
        template = {**words, "subject_template": "Report", "variables_schema": {}, "publish": True}
        assert (await shop.http.post("/templates", json=template)).status_code == 201
        assert (await shop.put("/notification-types/report", KIND)).status_code == 201
        await shop.with_person(email="ada@example.com")
        yield shop


async def sent(shop: Shop, **more: Any) -> UUID:
    person = {} if "recipient" in more else {"recipient_id": shop.person}
    response = await shop.http.post("/notifications/send", json={**SEND, **person, **more})
    assert response.status_code == 202, response.text
    return UUID(response.json()["id"])


async def waiting(shop: Shop, reason: str = "quiet_hours") -> UUID:
    id = await sent(shop)
    async with shop.database.transaction() as session:
        await session.execute(WAIT, {"ids": [id], "reason": reason})
    return id


async def told(shop: Shop, id: UUID) -> bool:
    async with shop.database.transaction() as session:
        return bool((await session.execute(TOLD, {"id": id})).scalar_one())


async def hours(shop: Shop, of: Any) -> list[int]:
    """In UTC: when the digest closes, or the turn is due."""
    async with shop.database.transaction() as session:
        times = (await session.execute(of, {"tenant": shop.tenant})).scalars()
        return [at.astimezone(UTC).hour for at in times]


async def put(shop: Shop) -> None:
    await shop.put(f"/recipients/{shop.person}", {"timezone": "Asia/Tokyo"})


async def patch(shop: Shop) -> None:
    await shop.http.patch(f"/recipients/{shop.person}", json={"timezone": "Asia/Tokyo"})


async def change_settings(shop: Shop, **changes: Any) -> None:
    """What waits for a setting is woken in batches, after the request."""
    assert (await shop.http.patch("/settings", json=changes)).status_code == 200
    while True:
        async with shop.database.transaction() as session:
            if not await reconsider_batch(session, 100, zone_changes.WORKS):
                return


async def settings(shop: Shop) -> None:
    await change_settings(shop, timezone="Asia/Tokyo")


async def inline(shop: Shop) -> None:
    await sent(shop, recipient={"recipient_id": shop.person, "timezone": "Asia/Tokyo"})


@pytest.mark.parametrize("move", [put, patch, settings, inline])
async def test_whatever_waits_for_the_hour_where_they_are_moves_with_them(shop: Shop, move: Any) -> None:
    await shop.put("/schedules/daily", {**SCHEDULE, "recipient_id": shop.person})
    id = await waiting(shop)
    later = datetime(now().year + 1, 1, 1, 9, tzinfo=UTC)
    opened = {"id": new_id(), "tenant": shop.tenant, "person": shop.person, "group": str(id), "closes_at": later}
    async with shop.database.transaction() as session:
        await session.execute(OPEN_DIGEST, opened)
    assert (await told(shop, id), await hours(shop, CLOSES), await hours(shop, DUE)) == (False, [9], [9])
    await move(shop)
    assert (await told(shop, id), await hours(shop, CLOSES), await hours(shop, DUE)) == (True, [0], [0])


@pytest.mark.parametrize("timezone", [None, "UTC"])
async def test_a_send_that_says_what_is_known_asks_nobody_again(shop: Shop, timezone: str | None) -> None:
    """Else a hundred that wait would be a hundred signals for each one more."""
    id = await waiting(shop)
    await sent(shop, recipient={"recipient_id": shop.person, "timezone": timezone})
    assert not await told(shop, id)


@pytest.mark.parametrize("cap", [{"limit": 2, "per": "31d"}, None])
async def test_another_cap_is_told_to_whoever_waits_for_room_under_it(shop: Shop, cap: dict[str, Any] | None) -> None:
    await change_settings(shop, person_cap={"limit": 1, "per": "31d"})
    capped, quiet = await waiting(shop, "capped"), await waiting(shop)
    await change_settings(shop, default_language="de", person_cap={"limit": 1, "per": "31d"})
    assert not await told(shop, capped)
    await change_settings(shop, person_cap=cap)
    assert (await told(shop, capped), await told(shop, quiet)) == (True, False)
