"""How many notifications wait in Temporal for the rate of a provider, and which ones go on next."""

from uuid import UUID

import pytest

from storage import provider_queues
from storage.database import Database
from storage.provider_queues import MAX_QUEUED, MAX_QUEUED_IF_STALE
from tests.storage.queues import accept_notifications, claim, only_database_tenant, state_of
from tests.storage.sends import DatabaseTenant

pytestmark = pytest.mark.postgres

QUEUE = """
UPDATE queue_entry SET state = 'started', claimed_by = NULL, started_at = now(), queued_provider = 'sendgrid',
       queued_at = now() - make_interval(secs => :age) WHERE notification_id = ANY(:ids)
"""
MAKE_WAIT = """
UPDATE queue_entry SET state = 'waiting', claimed_by = NULL, waits_for = 'provider_busy', awaited_provider = 'sendgrid'
 WHERE notification_id = ANY(:ids)
"""


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await only_database_tenant(database)


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
        return await provider_queues.has_free_place(session, provider)


async def admit(database_tenant: DatabaseTenant) -> int:
    async with database_tenant.database.transaction() as session:
        return await provider_queues.admit(session, "sendgrid")


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
