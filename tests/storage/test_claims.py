"""Claims of due notifications, and how many of those that wait for the rate of a provider wait in Temporal."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from domain.clock import set_offset
from storage import claims
from storage.claims import MAX_QUEUED, MAX_QUEUED_IF_STALE, ClaimedNotification
from storage.database import Database
from tests.storage.queues import (
    MANY_SLOTS,
    NO_LOOK_BACK_LIMIT,
    PROCESS,
    accept_notifications,
    age_entries,
    claim,
    claim_and_start,
    end_notifications,
    from_now,
    ids,
    only_database_tenant,
    state_of,
)
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres

SOON, LATER = timedelta(seconds=30), timedelta(hours=1)


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await only_database_tenant(database)


async def test_a_claim_returns_the_workflow_input(database_tenant: DatabaseTenant) -> None:
    [one] = await accept_notifications(database_tenant, 4)
    [claimed] = await claim(database_tenant.database)
    [owner] = await database_tenant.query("SELECT key FROM tenant WHERE id = :id", id=database_tenant.tenant)
    assert claimed == ClaimedNotification(
        id=one,
        tenant=database_tenant.tenant,
        generation=1,
        priority=4,
        notification_type="order.shipped",
        send_at=None,
        expires_at=None,
        has_workflow=False,
        waits_for_send_at=False,
        tenant_key=owner["key"],
        route="email",
    )


async def test_the_database_clock_decides_whether_send_at_has_passed(database_tenant: DatabaseTenant) -> None:
    """A worker whose clock is a day ahead must not send a day early."""
    items = [database_tenant.new(send_at=from_now(LATER)), database_tenant.new(send_at=from_now(-SOON))]
    await database_tenant.accept(*items)
    set_offset(timedelta(days=1))
    try:
        claimed = await claim(database_tenant.database)
    finally:
        set_offset(timedelta())
    assert {one.id: one.waits_for_send_at for one in claimed} == {items[0].id: True, items[1].id: False}


async def test_a_claim_does_not_wait_until_it_is_on_disk(database_tenant: DatabaseTenant) -> None:
    """One without a row neither."""
    shown = text("SHOW synchronous_commit")
    for _ in range(2):
        async with database_tenant.database.quick_transaction() as session:
            before = (await session.execute(shown)).scalar_one()
            await claims.claim_due(session, PROCESS, MANY_SLOTS, batch_size=1, look_back=NO_LOOK_BACK_LIMIT)
            after = (await session.execute(shown)).scalar_one()
        assert (before, after) == ("on", "off")
        await accept_notifications(database_tenant, 3)


async def test_processes_that_claim_at_once_never_get_the_same_row(database_tenant: DatabaseTenant) -> None:
    all_of_them = await accept_notifications(database_tenant, *[1, 3] * 30)
    some = await asyncio.gather(*(claim(database_tenant.database, process=uuid4(), batch_size=10) for _ in range(6)))
    assert sorted(one.id for each in some for one in each) == sorted(all_of_them)


async def test_a_locked_row_blocks_no_claim(database_tenant: DatabaseTenant) -> None:
    """Neither behind it nor, of the only one of a tenant, in front of other tenants."""
    held, free = await accept_notifications(database_tenant, 3, 3)
    [only] = await accept_notifications(await open_database_tenant(database_tenant.database), 3)
    [other] = await accept_notifications(await open_database_tenant(database_tenant.database), 3)
    lock = text("SELECT 1 FROM queue_entry WHERE notification_id = ANY(:ids) FOR UPDATE")
    async with database_tenant.database.transaction() as session, asyncio.timeout(60):
        await session.execute(lock, {"ids": [held, only]})
        assert set(ids(await claim(database_tenant.database))) == {free, other}
    assert set(ids(await claim(database_tenant.database))) == {held, only}


async def test_a_claim_reads_only_entries_due_since_the_look_back(database_tenant: DatabaseTenant) -> None:
    [old] = await accept_notifications(database_tenant, 3)
    await age_entries(database_tenant, 600)
    [new] = await accept_notifications(database_tenant, 3)
    assert ids(await claim(database_tenant.database, look_back=timedelta(minutes=5))) == [new]
    assert ids(await claim(database_tenant.database)) == [old]


async def test_started_and_ended_entries_are_not_due(database_tenant: DatabaseTenant) -> None:
    one, two = await accept_notifications(database_tenant, 3, 3)
    await end_notifications(database_tenant, two)
    await claim_and_start(database_tenant.database, one)
    assert await claim(database_tenant.database) == []


QUEUE = """
UPDATE queue_entry SET state = 'started', claimed_by = NULL, started_at = now(), queued_provider = 'sendgrid',
       queued_at = now() - make_interval(secs => :age) WHERE notification_id = ANY(:ids)
"""
MAKE_WAIT = """
UPDATE queue_entry SET state = 'waiting', claimed_by = NULL, waits_for = 'provider_busy', awaited_provider = 'sendgrid'
 WHERE notification_id = ANY(:ids)
"""


async def queued(database_tenant: DatabaseTenant, count: int, age: float = 0.0) -> list[UUID]:
    """In the queue of the provider since `age` seconds."""
    ids = await accept_notifications(database_tenant, *[3] * count)
    await database_tenant.query(QUEUE, ids=ids, age=age)
    return ids


async def add_waiting(database_tenant: DatabaseTenant, *priorities: int) -> list[UUID]:
    ids = await accept_notifications(database_tenant, *priorities)
    await database_tenant.query(MAKE_WAIT, ids=ids)
    return ids


async def has_room(database_tenant: DatabaseTenant, provider: str = "sendgrid") -> bool:
    async with database_tenant.database.transaction() as session:
        return await claims.has_free_place(session, provider)


async def admit(database_tenant: DatabaseTenant) -> int:
    async with database_tenant.database.transaction() as session:
        return await claims.admit(session, "sendgrid")


@pytest.mark.parametrize(("count", "age", "room"), [(0, 0, True), (MAX_QUEUED - 1, 0, True), (MAX_QUEUED, 0, False)])
async def test_a_provider_queue_admits_its_limit(
    database_tenant: DatabaseTenant, count: int, age: float, room: bool
) -> None:
    await queued(database_tenant, count, age)
    assert await has_room(database_tenant) is room
    assert await has_room(database_tenant, "twilio")


async def test_a_stalled_queue_admits_few(database_tenant: DatabaseTenant) -> None:
    [oldest] = await queued(database_tenant, 1, age=31)
    await queued(database_tenant, MAX_QUEUED_IF_STALE - 1)
    assert not await has_room(database_tenant)
    await database_tenant.query("UPDATE queue_entry SET queued_at = now() WHERE notification_id = :id", id=oldest)
    assert await has_room(database_tenant)


async def test_the_most_urgent_waiting_calls_are_admitted_first(database_tenant: DatabaseTenant) -> None:
    await queued(database_tenant, MAX_QUEUED - 2)
    bulk, urgent, ordinary = await add_waiting(database_tenant, 5, 1, 3)
    assert await admit(database_tenant) == 2
    assert [await state_of(database_tenant, id) for id in (bulk, urgent, ordinary)] == ["waiting", "due", "due"]
    assert [one.id for one in await claim(database_tenant.database)] == [urgent, ordinary]


async def test_a_full_queue_admits_no_call(database_tenant: DatabaseTenant) -> None:
    await queued(database_tenant, MAX_QUEUED + 3)
    await add_waiting(database_tenant, 1)
    assert await admit(database_tenant) == 0
