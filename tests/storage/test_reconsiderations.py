"""A change of a tenant's settings wakes all that waits for it, a batch at a time."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from domain.gates import GateReason
from storage import reconsiderations
from storage.database import Database
from tests.storage.buffers import CountingSession
from tests.storage.databases import own_database
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres

MANY = """
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at, started_at, waits_until,
       waits_for, recipient_id)
SELECT gen_random_uuid(), 1, :tenant, 3, 'waiting', now() + interval '1 hour', now(), now() + interval '1 hour',
       :reason, 'person ' || n FROM generate_series(1, CAST(:size AS int)) AS n
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with own_database(database_url) as database:
        yield database


async def wait(database_tenant: DatabaseTenant, size: int, reason: GateReason = GateReason.QUIET_HOURS) -> None:
    await database_tenant.query(MANY, tenant=database_tenant.tenant, size=size, reason=reason)


async def change(database_tenant: DatabaseTenant) -> None:
    async with database_tenant.database.transaction() as session:
        await reconsiderations.reconsider(session, database_tenant.tenant, None)


async def batch(database: Database, limit: int) -> bool:
    async with database.transaction() as session:
        return await reconsiderations.reconsider_batch(session, limit)


async def due(database_tenant: DatabaseTenant) -> int:
    [row] = await database_tenant.query(
        "SELECT count(*) AS due FROM queue_entry WHERE tenant = :tenant AND state = 'due'",
        tenant=database_tenant.tenant,
    )
    return int(row["due"])


async def test_all_waiting_sends_are_reconsidered_batch_by_batch(database: Database) -> None:
    database_tenant = await open_database_tenant(database)
    await wait(database_tenant, 25)
    await wait(database_tenant, 3, GateReason.FREQUENCY_CAPPED)
    await change(database_tenant)
    seen = []
    while await batch(database, 10):
        seen.append(await due(database_tenant))
    assert sorted(set(seen) - {0}) == [10, 20, 25], "a wait for a cap continues"
    assert await database_tenant.query("SELECT * FROM reconsideration") == []


async def test_one_that_waits_again_is_not_woken_twice(database: Database) -> None:
    database_tenant = await open_database_tenant(database)
    await wait(database_tenant, 20)
    await change(database_tenant)
    await batch(database, 10)
    await batch(database, 10)
    await database_tenant.query("UPDATE queue_entry SET state = 'waiting' WHERE state = 'due'")
    while await batch(database, 10):
        pass
    assert await due(database_tenant) == 10


async def test_a_batch_that_is_rolled_back_is_made_again(database: Database) -> None:
    database_tenant = await open_database_tenant(database)
    await wait(database_tenant, 15)
    await change(database_tenant)
    async with database.transaction() as session:
        await reconsiderations.reconsider_batch(session, 10)
        await session.rollback()
    while await batch(database, 10):
        pass
    assert await due(database_tenant) == 15


async def test_tenants_are_served_round_robin(database: Database) -> None:
    busy, quiet = await open_database_tenant(database), await open_database_tenant(database)
    await wait(busy, 100)
    await wait(quiet, 1)
    await change(busy)
    await change(quiet)
    for _ in range(4):
        await batch(database, 10)
    assert await due(quiet) == 1
    assert await due(busy) < 100


@pytest.mark.parametrize("size", [10_000, pytest.param(100_000, marks=pytest.mark.long)])
async def test_a_batch_reads_only_rows_that_it_wakes(database: Database, size: int) -> None:
    database_tenant = await open_database_tenant(database)
    await wait(database_tenant, size)
    await database_tenant.query("ANALYZE queue_entry")
    await change(database_tenant)
    async with database.transaction() as session:
        counting: Any = CountingSession(session)
        assert await reconsiderations.reconsider_batch(counting, 100)
    assert sum(counting.pages) < 8_000, counting.pages
