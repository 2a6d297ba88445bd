"""Demotions: what a tenant has due at priorities 1 and 2 beyond its burst."""

import pytest
from sqlalchemy import text

from storage import claims
from storage.database import Database
from tests.storage.queues import accepted, claim, empty_desk, entry_of
from tests.storage.sends import Desk, open_desk

pytestmark = pytest.mark.postgres


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await empty_desk(database)


async def demote(database: Database, burst: int, limit: int = 100) -> int:
    async with database.statement() as session:
        return await claims.demote(session, burst=burst, limit=limit)


async def test_what_a_tenant_has_waiting_beyond_its_burst_is_served_at_priority_3(desk: Desk) -> None:
    first, second, third, fourth = await accepted(desk, 2, 1, 1, 3)
    other = await open_desk(desk.database)
    await accepted(other, 1, 1)
    assert await demote(desk.database, burst=2) == 1
    assert await demote(desk.database, burst=2) == 0
    entries = {id: await entry_of(desk, id) for id in (first, second, third, fourth)}
    assert [entries[id]["priority"] for id in (first, second, third, fourth)] == [3, 1, 1, 3]
    [told] = await desk.query("SELECT notification_id, reason FROM event WHERE kind = 'demoted'")
    assert (told["notification_id"], told["reason"]) == (first, "urgent_burst")


async def test_what_is_claimed_is_not_demoted(desk: Desk) -> None:
    await accepted(desk, 1, 1, 1)
    await claim(desk.database)
    assert await demote(desk.database, burst=1) == 0


async def test_a_demotion_waits_for_no_lock(desk: Desk) -> None:
    one, _ = await accepted(desk, 1, 1)
    async with desk.database.transaction() as session:
        await session.execute(text("SELECT 1 FROM notification WHERE id = :id FOR UPDATE"), {"id": one})
        assert await demote(desk.database, burst=0) == 1
