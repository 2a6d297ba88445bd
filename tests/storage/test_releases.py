"""Release held notifications by priority, and round-robin among tenants within a priority."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from domain.channels import Channel
from domain.holds import HoldKind, pause_hold
from storage import holds
from storage.database import Database
from storage.deliveries import NewDelivery, insert_deliveries
from tests.storage.databases import own_database
from tests.storage.queues import (
    OTHER_PROCESS,
    claim_and_start,
    end_notifications,
    mark_begun_entries,
    release_and_claim,
)
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres
BACKLOG = 1_000
PAUSED = pause_hold(uuid4(), HoldKind.CHANNEL, "email")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


async def hold(database_tenant: DatabaseTenant, *priorities: int) -> list[DatabaseSend]:
    """Sends that the guard held back, in this order."""
    items = [database_tenant.new(priority=priority) for priority in priorities]
    await database_tenant.accept(*items)
    await claim_and_start(database_tenant.database, *[item.id for item in items])
    some = [DatabaseSend(database_tenant=database_tenant, id=item.id, channels=(Channel.EMAIL,)) for item in items]
    async with database_tenant.database.transaction() as session:
        for sent in some:
            draft = NewDelivery(id=sent.delivery(), step=1, channel=Channel.EMAIL, rule=None)
            assert await insert_deliveries(session, sent.id, database_tenant.tenant, sent.generation, [draft])
            await holds.mark_held(session, sent.call(), PAUSED)
    return some


async def test_one_of_a_quiet_tenant_is_not_behind_the_thousand_of_another(database: Database) -> None:
    busy, quiet = await open_database_tenant(database), await open_database_tenant(database)
    await hold(busy, *[3] * BACKLOG)
    [one] = await hold(quiet, 3)
    assert one.id in await release_and_claim(database, 2)


async def test_urgent_sends_of_a_busy_tenant_precede_bulk_of_others(database: Database) -> None:
    busy, quiet = await open_database_tenant(database), await open_database_tenant(database)
    late = await hold(busy, *[4] * 20, 1, 1, 1)
    [one] = await hold(quiet, 3)
    first, rest = await release_and_claim(database, 3), await release_and_claim(database, 3)
    assert first == [sent.id for sent in late[-3:]]
    assert rest == [one.id, *(sent.id for sent in late[:2])]


async def test_tenants_are_served_round_robin_within_a_priority(database: Database) -> None:
    database_tenants = sorted(
        [await open_database_tenant(database) for _ in range(3)], key=lambda database_tenant: database_tenant.tenant
    )
    sizes = (50, 2, 7)
    owner: dict[UUID, int] = {}
    for number, (database_tenant, size) in enumerate(zip(database_tenants, sizes, strict=True)):
        owner |= {sent.id: number for sent in await hold(database_tenant, *[3] * size)}
    released = [sorted(owner[one] for one in await release_and_claim(database, 3)) for _ in range(3)]
    assert released == [[0, 1, 2], [0, 1, 2], [0, 0, 2]]


async def test_a_tenant_with_urgent_sends_keeps_its_place_among_others(database: Database) -> None:
    busy, quiet = await open_database_tenant(database), await open_database_tenant(database)
    urgent, later = await hold(busy, 1, 1, 1), await hold(busy, 3, 3)
    others = await hold(quiet, 3, 3)
    released = await release_and_claim(database, 5)
    assert released[:3] == [sent.id for sent in urgent]
    assert sorted(released[3:]) == sorted([later[0].id, others[0].id])


async def test_concurrent_releases_get_different_notifications(database: Database) -> None:
    database_tenant = await open_database_tenant(database)
    some = await hold(database_tenant, *[3] * 20)
    released = [
        one for each in await asyncio.gather(*(release_and_claim(database, 10) for _ in range(2))) for one in each
    ]
    assert len(released) == len(set(released))
    released += await release_and_claim(database, 20)
    assert sorted(released) == sorted(sent.id for sent in some)


async def test_a_released_delivery_is_held_until_its_next_attempt(database: Database) -> None:
    database_tenant = await open_database_tenant(database)
    [sent] = await hold(database_tenant, 3)
    assert await release_and_claim(database, 10) == [sent.id]
    await mark_begun_entries(database, sent.id, process=OTHER_PROCESS)
    assert await release_and_claim(database, 10) == [], "its workflow has a while for the attempt"
    await database_tenant.query("UPDATE delivery SET release_expires_at = now()")
    assert await release_and_claim(database, 10) == [sent.id]
    await mark_begun_entries(database, sent.id, process=OTHER_PROCESS)
    await sent.claim()
    await database_tenant.query("UPDATE delivery SET release_expires_at = now()")
    assert await release_and_claim(database, 10) == []


async def test_one_that_has_ended_is_held_no_more_and_not_resumed(database: Database) -> None:
    database_tenant = await open_database_tenant(database)
    [sent] = await hold(database_tenant, 3)
    await end_notifications(database_tenant, sent.id)
    assert await release_and_claim(database, 10) == []
    assert [row["held_at"] for row in await sent.rows("delivery")] == [None]
