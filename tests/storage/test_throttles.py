"""Slots of a limit: as many as it allows, under any number of requests at once."""

import asyncio
from uuid import UUID

import pytest

from storage import throttles
from storage.database import Database
from tests.storage.queues import only_database_tenant
from tests.storage.sends import DatabaseTenant, open_database_tenant
from tests.storage.throttle_slots import HOUR, ask, limit

pytestmark = pytest.mark.postgres


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await only_database_tenant(database)


async def test_of_fifty_at_once_as_many_as_the_limit_get_in(database_tenant: DatabaseTenant) -> None:
    sent = [await database_tenant.send() for _ in range(50)]
    got = await asyncio.gather(*(ask(one, limit(3)) for one in sent))
    assert sum(got) == 3
    [window] = await database_tenant.query(
        "SELECT * FROM throttle_window WHERE tenant = :tenant", tenant=database_tenant.tenant
    )
    assert (window["used_slots"], window["has_waiters"], window["ends_at"] - window["starts_at"]) == (3, True, HOUR)


async def test_a_repeated_request_keeps_its_slot(database_tenant: DatabaseTenant) -> None:
    first, second = await database_tenant.send(), await database_tenant.send()
    assert [await ask(one, limit(1)) for one in (first, first, second, first)] == [True, True, False, True]


async def test_of_two_limits_both_or_none(database_tenant: DatabaseTenant) -> None:
    first, second, third = [await database_tenant.send() for _ in range(3)]
    assert await ask(first, limit(1, "a"))
    assert not await ask(second, limit(1, "a"), limit(1, "b"))
    assert await ask(third, limit(1, "b"))


async def test_opposite_orders_do_not_lock_each_other_out(database_tenant: DatabaseTenant) -> None:
    sent = [await database_tenant.send() for _ in range(20)]
    ways = [(limit(100, "a"), limit(100, "b")), (limit(100, "b"), limit(100, "a"))]
    got = await asyncio.gather(*(ask(one, *ways[number % 2]) for number, one in enumerate(sent)))
    assert all(got)


async def test_slots_of_an_ended_notification_are_pruned_part_by_part(database_tenant: DatabaseTenant) -> None:
    ended, open_one = sorted([await database_tenant.send(), await database_tenant.send()], key=lambda sent: sent.id)
    for sent in (ended, open_one):
        assert await ask(sent, limit(10))
    await database_tenant.query("UPDATE notification SET finished_at = now() WHERE id = :id", id=ended.id)
    async with database_tenant.database.transaction() as session:
        before = UUID(int=ended.id.int - 1)
        assert await throttles.prune(session, before, 1) == (ended.id, 1)
        assert await throttles.prune(session, ended.id, 1) == (open_one.id, 0)
        assert (await throttles.prune(session, open_one.id, 1))[0] is None


async def test_a_limit_belongs_to_its_tenant(database_tenant: DatabaseTenant) -> None:
    other = await open_database_tenant(database_tenant.database)
    assert await ask(await database_tenant.send(), limit(1))
    assert await ask(await other.send(), limit(1))
