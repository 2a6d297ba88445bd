"""Pages that a claim reads: with tenants that have nothing due, with dead entries that an old snapshot keeps."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.storage.databases import own_database
from tests.storage.queues import ME
from tests.storage.sends import Desk, open_desk

pytestmark = pytest.mark.postgres

PAGES = """
EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
SELECT * FROM claim_due(CAST(:process AS uuid), 8, 2, :most, CAST(:since AS timestamptz), 12)
"""
# Of as many tenants as notifications; each waits, so that no tenant has anything due.
IDLE = """
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at, started_at, waits_until)
SELECT gen_random_uuid(), 1, gen_random_uuid(), n % 5 + 1, 'waiting', now() + interval '1 hour', now(),
       now() + interval '1 hour' FROM generate_series(1, 10000) AS n
"""
COME = """
WITH made AS (
  INSERT INTO notification (id, tenant, recipient_id, notification_type, type_id, event_payload, status, priority, tags,
         idempotency_held, created_at, generation, revision)
  SELECT gen_random_uuid(), :tenant, 'ada', 'order.shipped', :type_id, '{}', 'PENDING', 3, '{}', false, now(), 1, 3
    FROM generate_series(1, CAST(:count AS int)) RETURNING id, tenant
)
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at)
SELECT id, 1, tenant, 3, 'due', now() - interval '5 minutes' FROM made
"""


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with own_database(database_url) as database:
        yield await open_desk(database)


async def pages(desk: Desk, most: int = 1) -> int:
    """Of one claim, as a process makes it that has found nothing left before."""
    since = datetime.now(UTC) - timedelta(minutes=2)
    [row] = await desk.query(PAGES, process=ME, most=most, since=since)
    plan = row["QUERY PLAN"]
    found = (plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]
    return int(found["Shared Hit Blocks"]) + int(found["Shared Read Blocks"])


async def come(desk: Desk, count: int) -> None:
    await desk.query(COME, tenant=desk.tenant, type_id=desk.type_id, count=count)


async def due_now(desk: Desk) -> None:
    await come(desk, 10)
    await desk.query("UPDATE queue_entry SET next_at = now() WHERE state = 'due'")


async def test_ten_thousand_tenants_with_nothing_due_cost_nothing(desk: Desk) -> None:
    await desk.query(IDLE)
    await desk.query("ANALYZE queue_entry")
    await due_now(desk)
    assert min([await pages(desk) for _ in range(5)]) < 100


async def test_a_claim_keeps_its_cost_while_an_old_snapshot_is_open(desk: Desk) -> None:
    """Some thousand have come and gone since, and none of their dead entries can be removed."""
    await due_now(desk)
    before = min([await pages(desk) for _ in range(5)])
    old = await desk.database.dedicated()
    try:
        await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await old.execute("SELECT count(*) FROM queue_entry")
        for _ in range(12):
            await come(desk, 1000)
            await desk.query(
                "UPDATE queue_entry SET state = 'claimed', claimed_by = :process WHERE state = 'due'", process=ME
            )
            await desk.query("UPDATE queue_entry SET state = 'started', claimed_by = NULL WHERE state = 'claimed'")
            await desk.query("DELETE FROM queue_entry")
        await due_now(desk)
        after = min([await pages(desk) for _ in range(5)])
    finally:
        await old.close()
    assert after < before + 100, (before, after)
