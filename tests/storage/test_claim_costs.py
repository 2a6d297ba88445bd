"""What a claim costs: with tenants that have nothing due, with dead entries that an old snapshot keeps, with a million
entries."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median

import pytest

from tests.storage.claim_costs import ClaimCost, claim_cost, insert_dead_entries, insert_just_due
from tests.storage.databases import own_database
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres

# Entries of so many tenants; each waits, so that no tenant has anything due.
IDLE = """
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at, started_at, waits_until)
SELECT gen_random_uuid(), 1, CAST(md5((n % :tenants)::text) AS uuid), n % 5 + 1, 'waiting', now() + interval '1 hour',
       now(), now() + interval '1 hour' FROM generate_series(1, CAST(:count AS int)) AS n
"""
PART = 10_000
PAGES_MORE = 100
CLAIMS = 41
# The ratio of a claim from a million entries to one from an empty table, and a duration that always passes.
TIMES_MORE = 3.0
MILLISECONDS = 5.0


@pytest.fixture
async def database_tenant(database_url: str) -> AsyncIterator[DatabaseTenant]:
    async with own_database(database_url) as database:
        yield await open_database_tenant(database)


async def idle(database_tenant: DatabaseTenant, *, tenants: int, count: int) -> None:
    """In parts, as a statement has seconds and not minutes."""
    for _ in range(count // PART):
        await database_tenant.query(IDLE, tenants=tenants, count=PART)
    await database_tenant.query("ANALYZE queue_entry")


async def pages(database_tenant: DatabaseTenant) -> int:
    return min([(await claim_cost(database_tenant)).pages for _ in range(5)])


@asynccontextmanager
async def old_snapshot(database_tenant: DatabaseTenant) -> AsyncIterator[None]:
    """Hold a transaction open, so that vacuum removes no row that is deleted during it."""
    old = await database_tenant.database.dedicated()
    try:
        await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await old.execute("SELECT count(*) FROM queue_entry")
        yield
    finally:
        await old.close()


async def test_ten_thousand_tenants_with_nothing_due_cost_nothing(database_tenant: DatabaseTenant) -> None:
    await idle(database_tenant, tenants=10_000, count=10_000)
    await insert_just_due(database_tenant)
    assert await pages(database_tenant) < PAGES_MORE


async def test_a_claim_keeps_its_cost_while_an_old_snapshot_is_open(database_tenant: DatabaseTenant) -> None:
    """Some thousand have come and gone since, and none of their dead entries can be removed."""
    await insert_just_due(database_tenant)
    before = await pages(database_tenant)
    async with old_snapshot(database_tenant):
        for _ in range(12):
            await insert_dead_entries(database_tenant, 1000)
        await insert_just_due(database_tenant)
        after = await pages(database_tenant)
    assert after < before + PAGES_MORE, (before, after)


@pytest.mark.long
async def test_a_claim_from_a_million_entries_costs_little_more_than_from_none(
    database_tenant: DatabaseTenant, database_url: str
) -> None:
    """Claim from both databases alternately, so that both see the same load of the machine."""
    async with own_database(database_url) as database:
        empty = await open_database_tenant(database)
        await idle(database_tenant, tenants=10_000, count=1_000_000)
        async with old_snapshot(database_tenant):
            for _ in range(12):
                await insert_dead_entries(database_tenant, 1000)
            for each in (database_tenant, empty):
                await insert_just_due(each, CLAIMS)
            costs = [(await claim_cost(database_tenant), await claim_cost(empty)) for _ in range(CLAIMS)]
    full, none = (list(some) for some in zip(*costs, strict=True))
    assert middle_pages(full) < middle_pages(none) + PAGES_MORE
    limit = max(MILLISECONDS, TIMES_MORE * middle_time(none))
    assert middle_time(full) <= limit, f"{middle_time(none):.2f} ms from an empty table"


def middle_pages(costs: list[ClaimCost]) -> float:
    return median(one.pages for one in costs)


def middle_time(costs: list[ClaimCost]) -> float:
    return median(one.milliseconds for one in costs)
