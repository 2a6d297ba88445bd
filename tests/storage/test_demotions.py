"""Demotions: what a tenant has due at priorities 1 and 2 beyond its burst."""

import pytest
from sqlalchemy import text

from storage import claims
from storage.database import Database
from tests.storage.queues import accept_notifications, claim, entry_of, only_database_tenant
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await only_database_tenant(database)


async def demote(database: Database, burst: int, limit: int = 100) -> int:
    async with database.statement() as session:
        return await claims.demote_bursts(session, burst=burst, limit=limit)


async def test_sends_beyond_a_tenants_burst_have_priority_3(database_tenant: DatabaseTenant) -> None:
    first, second, third, fourth = await accept_notifications(database_tenant, 2, 1, 1, 3)
    other = await open_database_tenant(database_tenant.database)
    await accept_notifications(other, 1, 1)
    assert await demote(database_tenant.database, burst=2) == 1
    assert await demote(database_tenant.database, burst=2) == 0
    entries = {id: await entry_of(database_tenant, id) for id in (first, second, third, fourth)}
    assert [entries[id]["priority"] for id in (first, second, third, fourth)] == [3, 1, 1, 3]
    [event] = await database_tenant.query("SELECT notification_id, reason FROM event WHERE kind = 'demoted'")
    assert (event["notification_id"], event["reason"]) == (first, "urgent_burst")


async def test_a_claimed_send_is_not_demoted(database_tenant: DatabaseTenant) -> None:
    await accept_notifications(database_tenant, 1, 1, 1)
    await claim(database_tenant.database)
    assert await demote(database_tenant.database, burst=1) == 0


async def test_a_demotion_waits_for_no_lock(database_tenant: DatabaseTenant) -> None:
    one, _ = await accept_notifications(database_tenant, 1, 1)
    async with database_tenant.database.transaction() as session:
        await session.execute(text("SELECT 1 FROM notification WHERE id = :id FOR UPDATE"), {"id": one})
        assert await demote(database_tenant.database, burst=0) == 1
