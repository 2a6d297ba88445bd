"""The next window of a limit admits who waited, by priority and age, and passes over those who have ended."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import text

from storage import throttles
from storage.database import Database
from tests.storage.queues import only_database_tenant
from tests.storage.sends import DatabaseTenant
from tests.storage.throttle_slots import ask, asker, limit, open_next, open_next_windows, over

pytestmark = pytest.mark.postgres


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await only_database_tenant(database)


async def test_the_next_window_admits_by_priority_and_age(database_tenant: DatabaseTenant) -> None:
    priorities = (3, 4, 5, 4, 3, 5)
    sent = [await database_tenant.send() for _ in priorities]
    for one, priority in zip(sent, priorities, strict=True):
        await ask(one, limit(1), priority=priority)
    order = []
    while resumed := await open_next_windows(database_tenant):
        [number] = [number for number, one in enumerate(sent) if one.id in resumed]
        assert await ask(sent[number], limit(1), priority=priorities[number])
        order.append(number)
    assert order == [4, 1, 3, 2, 5]


async def test_a_new_request_does_not_pass_signaled_ones(database_tenant: DatabaseTenant) -> None:
    first, waiting = await database_tenant.send(), await database_tenant.send()
    assert await ask(first, limit(1))
    assert not await ask(waiting, limit(1))
    assert await open_next_windows(database_tenant) == {waiting.id}
    assert not await ask(await database_tenant.send(), limit(1))
    assert await ask(waiting, limit(1))


async def test_a_more_urgent_request_passes(database_tenant: DatabaseTenant) -> None:
    first, waiting, urgent = [await database_tenant.send() for _ in range(3)]
    assert await ask(first, limit(1))
    assert not await ask(waiting, limit(1), priority=5)
    await open_next_windows(database_tenant)
    assert await ask(urgent, limit(1), priority=3)
    assert not await ask(waiting, limit(1), priority=5)
    assert await open_next_windows(database_tenant) == {waiting.id}


async def test_ended_requests_do_not_block_the_queue(database_tenant: DatabaseTenant) -> None:
    first, canceled, gone, waiting = [await database_tenant.send() for _ in range(4)]
    assert await ask(first, limit(1))
    for one in (canceled, gone, waiting):
        assert not await ask(one, limit(1))
    await database_tenant.query("UPDATE notification SET finished_at = now() WHERE id = :id", id=canceled.id)
    async with database_tenant.database.transaction() as session:
        await throttles.dequeue(session, asker(gone))
    assert await open_next_windows(database_tenant) == {waiting.id}
    assert await ask(waiting, limit(1))


async def test_of_two_that_begin_the_next_windows_each_window_has_one(database_tenant: DatabaseTenant) -> None:
    """Two leaders for a moment."""
    keys = [f"key-{number}" for number in range(6)]
    for key in keys:
        assert await ask(await database_tenant.send(), limit(1, key))
        assert not await ask(await database_tenant.send(), limit(1, key))
    await over(database_tenant)

    async def begun() -> int:
        async with database_tenant.database.transaction() as session:
            return await throttles.open_next(session, 4)

    assert sum(await asyncio.gather(*(begun() for _ in range(3)))) + await begun() == len(keys)
    resumed = await database_tenant.query(
        "SELECT 1 FROM queue_entry WHERE state = 'due' AND tenant = :t", t=database_tenant.tenant
    )
    assert len(resumed) == len(keys)


async def test_expired_windows_are_purged(database_tenant: DatabaseTenant) -> None:
    first, canceled = await database_tenant.send(), await database_tenant.send()
    assert await ask(first, limit(1, "old"))
    assert await ask(first, limit(1, "new"))
    assert not await ask(canceled, limit(1, "new"))
    await database_tenant.query("UPDATE notification SET finished_at = now() WHERE id = :id", id=canceled.id)
    await database_tenant.query(
        "UPDATE throttle_window SET ends_at = now() - interval '2 hours' WHERE tenant = :tenant AND key = 'old'",
        tenant=database_tenant.tenant,
    )
    async with database_tenant.database.transaction() as session:
        await throttles.purge(session, 100)
        await throttles.prune(session, UUID(int=0), 10_000)
    left = await database_tenant.query(
        "SELECT key FROM throttle_window WHERE tenant = :tenant", tenant=database_tenant.tenant
    )
    turns = await database_tenant.query(
        "SELECT granted_at FROM throttle_queue_entry WHERE tenant = :tenant", tenant=database_tenant.tenant
    )
    assert [row["key"] for row in left] == ["new"]
    assert len(turns) == 2
    assert all(row["granted_at"] for row in turns)


async def test_a_wait_at_one_limit_does_not_block_another_limit(database_tenant: DatabaseTenant) -> None:
    """A year of the type's own limit, an hour of the person's cap: the cap's next hour is for the others."""
    year, cap = limit(1, "type"), limit(1, "person")
    first, slow, other = [await database_tenant.send() for _ in range(3)]
    assert await ask(first, year, cap)
    assert not await ask(slow, year, cap)
    assert not await ask(other, cap, priority=5)
    await database_tenant.query(
        "UPDATE throttle_window SET starts_at = now() - interval '1 hour', ends_at = now() WHERE key = 'person'"
    )
    await open_next(database_tenant)
    assert not await ask(slow, year, cap)
    assert await ask(other, cap, priority=5)


async def test_a_request_during_the_opening_of_a_window_is_not_lost(database_tenant: DatabaseTenant) -> None:
    first, late = await database_tenant.send(), await database_tenant.send()
    assert await ask(first, limit(1))
    await over(database_tenant)
    async with database_tenant.database.transaction() as session:
        who = asker(late)
        await database_tenant.query(
            "UPDATE throttle_window SET has_waiters = true WHERE tenant = :tenant", tenant=database_tenant.tenant
        )
        full = await throttles.acquire_slots(session, who, [limit(1)])
        rolling = asyncio.create_task(open_next(database_tenant))
        await throttles.enqueue(session, who, full)
        waiting = text("UPDATE queue_entry SET state = 'waiting' WHERE notification_id = :id")
        await session.execute(waiting, {"id": late.id})
    await rolling
    [entry] = await database_tenant.query("SELECT state FROM queue_entry WHERE notification_id = :id", id=late.id)
    assert entry["state"] == "due" or await open_next_windows(database_tenant) == {late.id}
