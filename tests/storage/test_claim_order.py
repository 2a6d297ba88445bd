"""Claim the most urgent first, and among equals round-robin, so that no tenant or type holds up the others."""

import asyncio
from uuid import UUID, uuid4

import pytest

from storage.claims import ClaimedNotification
from storage.database import Database
from tests.storage.queues import accept_notifications, claim, ids, only_database_tenant
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await only_database_tenant(database)


async def test_the_most_urgent_come_first(database_tenant: DatabaseTenant) -> None:
    five, two, one, three, again = await accept_notifications(database_tenant, 5, 2, 1, 3, 1)
    assert ids(await claim(database_tenant.database)) == [one, again, two, three, five]


async def test_four_processes_serve_three_tenants_round_robin(database_tenant: DatabaseTenant) -> None:
    database_tenants = [database_tenant, *[await open_database_tenant(database_tenant.database) for _ in range(2)]]
    for each in database_tenants:
        await accept_notifications(each, *[1] * 20)
    served: list[ClaimedNotification] = []

    async def work(process: UUID) -> None:
        while claimed := await claim(database_tenant.database, process=process, batch_size=1):
            served.extend(claimed)

    await asyncio.gather(*(work(uuid4()) for _ in range(4)))
    rows = await database_tenant.query("SELECT notification_id, tenant FROM queue_entry ORDER BY xmin::text::bigint")
    order = [row["tenant"] for row in rows]
    assert len(order) == 60
    assert all(len(set(order[at : at + 3])) == 3 for at in range(58))


@pytest.mark.parametrize("batch_size", [1, 5])
async def test_a_quiet_tenant_is_served_round_robin_despite_old_backlogs(
    database_tenant: DatabaseTenant, batch_size: int
) -> None:
    for busy in [await open_database_tenant(database_tenant.database) for _ in range(8)]:
        await accept_notifications(busy, *[3] * 20)
    await accept_notifications(database_tenant, 3)
    order: list[UUID] = []
    while len(order) < 9:
        order += [one.tenant for one in await claim(database_tenant.database, batch_size=batch_size)]
    assert database_tenant.tenant in order[:9]
    assert len(set(order[:9])) == 9, "a tenant was served twice before each was served once"


async def test_priority_precedes_the_tenant_order(database_tenant: DatabaseTenant) -> None:
    bulk = await accept_notifications(database_tenant, 5)
    ordinary = await accept_notifications(await open_database_tenant(database_tenant.database), 3, 3, 3)
    assert ids(await claim(database_tenant.database, batch_size=3)) == ordinary
    assert ids(await claim(database_tenant.database, batch_size=3)) == bulk


async def test_thousands_of_one_type_hold_up_no_other_type_of_the_tenant(database_tenant: DatabaseTenant) -> None:
    await accept_notifications(database_tenant, *[3] * 200)
    [other] = await accept_notifications(database_tenant, 3)
    await database_tenant.query("UPDATE queue_entry SET lane = -5 WHERE notification_id = :id", id=other)
    order = [each for _ in range(30) for each in ids(await claim(database_tenant.database, batch_size=1))]
    assert other in order
