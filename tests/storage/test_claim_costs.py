"""What a claim costs: with tenants that have nothing due, with dead entries that an old snapshot keeps, with a million
entries."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import median

import pytest

from tests.storage.claim_costs import ClaimCost, come_and_gone, cost, due_now
from tests.storage.databases import own_database
from tests.storage.sends import Desk, open_desk

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
# Of a claim from a million entries beside one from an empty table at the same moment, and what is quick enough anyway.
TIMES_MORE = 3.0
MILLISECONDS = 5.0


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with own_database(database_url) as database:
        yield await open_desk(database)


async def idle(desk: Desk, *, tenants: int, count: int) -> None:
    """In parts, as a statement has seconds and not minutes."""
    for _ in range(count // PART):
        await desk.query(IDLE, tenants=tenants, count=PART)
    await desk.query("ANALYZE queue_entry")


async def pages(desk: Desk) -> int:
    return min([(await cost(desk)).pages for _ in range(5)])


@asynccontextmanager
async def old_snapshot(desk: Desk) -> AsyncIterator[None]:
    """A transaction that stays open: what is deleted meanwhile cannot be removed."""
    old = await desk.database.dedicated()
    try:
        await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await old.execute("SELECT count(*) FROM queue_entry")
        yield
    finally:
        await old.close()


async def test_ten_thousand_tenants_with_nothing_due_cost_nothing(desk: Desk) -> None:
    await idle(desk, tenants=10_000, count=10_000)
    await due_now(desk)
    assert await pages(desk) < PAGES_MORE


async def test_a_claim_keeps_its_cost_while_an_old_snapshot_is_open(desk: Desk) -> None:
    """Some thousand have come and gone since, and none of their dead entries can be removed."""
    await due_now(desk)
    before = await pages(desk)
    async with old_snapshot(desk):
        for _ in range(12):
            await come_and_gone(desk, 1000)
        await due_now(desk)
        after = await pages(desk)
    assert after < before + PAGES_MORE, (before, after)


@pytest.mark.long
async def test_a_claim_from_a_million_entries_costs_little_more_than_from_none(desk: Desk, database_url: str) -> None:
    """Claims of both databases take turns, so that the load of the machine is the same for both."""
    async with own_database(database_url) as database:
        empty = await open_desk(database)
        await idle(desk, tenants=10_000, count=1_000_000)
        async with old_snapshot(desk):
            for _ in range(12):
                await come_and_gone(desk, 1000)
            for each in (desk, empty):
                await due_now(each, CLAIMS)
            costs = [(await cost(desk), await cost(empty)) for _ in range(CLAIMS)]
    full, none = (list(some) for some in zip(*costs, strict=True))
    assert middle_pages(full) < middle_pages(none) + PAGES_MORE
    limit = max(MILLISECONDS, TIMES_MORE * middle_time(none))
    assert middle_time(full) <= limit, f"{middle_time(none):.2f} ms from an empty table"


def middle_pages(costs: list[ClaimCost]) -> float:
    return median(one.pages for one in costs)


def middle_time(costs: list[ClaimCost]) -> float:
    return median(one.milliseconds for one in costs)
