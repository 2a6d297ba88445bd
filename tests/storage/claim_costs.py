"""What one claim costs: the pages that it reads, which do not depend on the load of the machine, and its time."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from tests.storage.sends import DatabaseTenant

EXPLAIN = """
EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
SELECT * FROM claim_due(CAST(:process AS uuid), 8, 2, :batch_size, CAST(:since AS timestamptz), 12)
"""
INSERT_DUE = """
WITH made AS (
  INSERT INTO notification (id, tenant, recipient_id, notification_type, type_id, event_payload, status, priority, tags,
         holds_idempotency_key, created_at, generation, revision)
  SELECT gen_random_uuid(), :tenant, 'ada', 'order.shipped', :type_id, '{}', 'PENDING', 3, '{}', false, now(), 1, 3
    FROM generate_series(1, CAST(:count AS int)) RETURNING id, tenant
)
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at)
SELECT id, 1, tenant, 3, 'due', now() - interval '5 minutes' FROM made
"""


@dataclass(frozen=True, kw_only=True)
class ClaimCost:
    pages: int
    milliseconds: float


async def claim_cost(database_tenant: DatabaseTenant, batch_size: int = 1) -> ClaimCost:
    """Of one claim, as a process makes it that has found nothing left before. The claim is made."""
    since = datetime.now(UTC) - timedelta(minutes=2)
    [row] = await database_tenant.query(EXPLAIN, process=uuid4(), batch_size=batch_size, since=since)
    plan = row["QUERY PLAN"]
    [found] = plan if isinstance(plan, list) else json.loads(plan)
    pages = int(found["Plan"]["Shared Hit Blocks"]) + int(found["Plan"]["Shared Read Blocks"])
    return ClaimCost(pages=pages, milliseconds=float(found["Execution Time"]))


async def insert_long_due(database_tenant: DatabaseTenant, count: int) -> None:
    """So many are due, and have been for longer than a claim looks back."""
    await database_tenant.query(INSERT_DUE, tenant=database_tenant.tenant, type_id=database_tenant.type_id, count=count)


async def insert_just_due(database_tenant: DatabaseTenant, count: int = 10) -> None:
    await insert_long_due(database_tenant, count)
    await database_tenant.query("UPDATE queue_entry SET next_at = now() WHERE state = 'due'")


async def insert_dead_entries(database_tenant: DatabaseTenant, count: int) -> None:
    """Claimed, started and ended: nothing is left of them but dead entries."""
    await insert_long_due(database_tenant, count)
    await database_tenant.query(
        "UPDATE queue_entry SET state = 'claimed', claimed_by = :process WHERE state = 'due'", process=uuid4()
    )
    await database_tenant.query("UPDATE queue_entry SET state = 'started', claimed_by = NULL WHERE state = 'claimed'")
    await database_tenant.query("DELETE FROM queue_entry WHERE tenant = :tenant", tenant=database_tenant.tenant)
