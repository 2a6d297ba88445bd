"""Serve tenants round-robin in every queue: a row of one tenant is in the first batch despite another's backlog."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from storage import claims, digests, event_outbox, receipt_batches, schedule_runs
from storage.digest_collection import SELECT_WAITING
from storage.event_outbox import ConcurrencyLimits
from tests.storage.databases import own_database
from tests.storage.sends import DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres
FLOOD = 1_000
FIRST = UUID(int=0)

ENTRIES = """
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at, started_at,
       awaited_provider, cancel_due, evidence_due)
SELECT gen_random_uuid(), 1, :tenant, 3, '{state}', now() - interval '1 minute' * :age, now(), {busy},
       {cancel}, {evidence} FROM generate_series(1, CAST(:size AS int))
"""
ITEMS = """
WITH item AS (
  INSERT INTO notification (id, tenant, recipient_id, notification_type, type_id, event_payload, status, priority, tags,
         holds_idempotency_key, created_at, generation, revision, digest_key)
  SELECT gen_random_uuid(), :tenant, 'ada', 'order.shipped', :type, '{}', 'PENDING', 3, '{}', false, now(), 1, 0, 'key'
    FROM generate_series(1, CAST(:size AS int)) RETURNING id, tenant
)
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at)
SELECT id, 1, tenant, 3, 'collecting', now() - interval '1 minute' * :age FROM item
"""
WINDOWS = """
INSERT INTO digest (id, tenant, notification_type, type_id, recipient_id, digest_key, closes_on_schedule, is_full,
       item_count, item_bytes,
       opened_at, closes_at, signaled_at)
SELECT gen_random_uuid(), :tenant, 'order.shipped', :type, 'ada', 'group ' || n, {closes_on_schedule}, {is_full}, 1,
       10, now(),
       now() - interval '1 hour' * :age, {signaled_at} FROM generate_series(1, CAST(:size AS int)) AS n
"""
RECEIPTS = """
INSERT INTO receipt (id, tenant, provider, kind, occurred_at, received_at, raw, attempt_count, next_attempt_at)
SELECT gen_random_uuid(), :tenant, 'sandbox', 'delivered', now(), now(), '{}', 0, now() - interval '1 minute' * :age
  FROM generate_series(1, CAST(:size AS int))
"""
MESSAGES = """
WITH endpoint AS (
  INSERT INTO event_endpoint (id, tenant, key, url, events, secret, enabled, created_at, updated_at)
  VALUES (gen_random_uuid(), :tenant, 'hook', 'https://example.com', '{*}', 's', true, now(), now()) RETURNING id
)
INSERT INTO event_message (id, tenant, endpoint_id, kind, occurred_at, body, attempt_count, next_attempt_at, attempts)
SELECT gen_random_uuid(), :tenant, endpoint.id, 'message.sent', now(), '{}', 0, now() - interval '1 minute' * :age, '[]'
  FROM endpoint, generate_series(1, CAST(:size AS int))
"""
RUNS = """
WITH weekly AS (
  INSERT INTO schedule (id, tenant, key, notification_type, spec, created_at, updated_at, deleted_at)
  VALUES (gen_random_uuid(), :tenant, 'weekly', 'order.shipped', '{"payload": {}}', now(), now(), now()) RETURNING id
)
INSERT INTO schedule_run (id, schedule_id, tenant, kind, due_at, ran_at, accepted, skipped_recipients)
SELECT gen_random_uuid(), weekly.id, :tenant, 'due', now(), now(), 0, '{}'
  FROM weekly, generate_series(1, CAST(:size AS int))
"""


def entries(state: str, *, busy: str = "NULL", cancel: bool = False, evidence: bool = False) -> str:
    return ENTRIES.format(state=state, busy=busy, cancel=cancel, evidence=evidence)


def windows(*, closes_on_schedule: bool = False, is_full: bool = False, signaled_at: str = "now()") -> str:
    return WINDOWS.format(closes_on_schedule=closes_on_schedule, is_full=is_full, signaled_at=signaled_at)


async def cancels(session: AsyncSession) -> list[UUID]:
    return [id for id, *_ in await claims.list_unsignaled_cancels(session, 16)]


async def evidence(session: AsyncSession) -> list[UUID]:
    return [due.id for due in await claims.list_unsignaled_evidence(session, 16)]


async def collected(session: AsyncSession) -> list[UUID]:
    return list((await session.execute(SELECT_WAITING, {"limit": 16})).scalars())


async def admit(session: AsyncSession) -> list[UUID]:
    await claims.admit(session, "sandbox")
    return list((await session.execute(text("SELECT notification_id FROM queue_entry WHERE state = 'due'"))).scalars())


async def receipts(session: AsyncSession) -> list[UUID]:
    return [one.receipt.id for one in await receipt_batches.claim_receipts(session, 16)]


async def posts(session: AsyncSession) -> list[UUID]:
    return [post.id for post in await event_outbox.claim_posts(session, ConcurrencyLimits(max_total=9), [])]


async def pending_windows(session: AsyncSession) -> list[UUID]:
    return [window.id for window in await digests.list_pending_windows(session, 16)]


async def runs(session: AsyncSession) -> list[UUID]:
    """The first ones of two turns."""
    found, after = [], FIRST
    for _ in range(2):
        tenant = await schedule_runs.find_next_tenant(session, after)
        assert tenant is not None
        run = await schedule_runs.claim_next(session, tenant, FIRST)
        assert run is not None
        after = tenant
        found.append(run.id)
    return found


QUEUES: dict[str, tuple[str, str, Callable[[AsyncSession], Awaitable[Any]]]] = {
    "cancels": (entries("started", cancel=True), "queue_entry", cancels),
    "evidence": (entries("started", evidence=True), "queue_entry", evidence),
    "collection": (ITEMS, "queue_entry", collected),
    "provider queue": (entries("waiting", busy="'sandbox'"), "queue_entry", admit),
    "receipts": (RECEIPTS, "receipt", receipts),
    "event webhooks": (MESSAGES, "event_message", posts),
    "windows to signal": (windows(signaled_at="NULL"), "digest", pending_windows),
    "full windows": (windows(is_full=True), "digest", lambda session: digests.list_full_windows(session, 16)),
    "overdue windows": (windows(), "digest", lambda session: digests.list_overdue_windows(session, 10, 1_200, 16)),
    "overdue calendars": (
        windows(closes_on_schedule=True),
        "digest",
        lambda session: digests.list_overdue_windows(session, 10, 1_200, 16),
    ),
    "schedule runs": (RUNS, "schedule_run", runs),
}


@pytest.fixture(scope="module")
async def database_tenants(database_url: str) -> AsyncIterator[list[DatabaseTenant]]:
    async with own_database(database_url) as database:
        yield sorted(
            [await open_database_tenant(database) for _ in range(2)], key=lambda database_tenant: database_tenant.tenant
        )


async def fill(database_tenant: DatabaseTenant, session: AsyncSession, rows: str, *, size: int, age: int) -> None:
    values = {"tenant": database_tenant.tenant, "type": database_tenant.type_id, "size": size, "age": age}
    statement = text(rows)
    await session.execute(statement, {name: values[name] for name in values if f":{name}" in rows})


@pytest.mark.parametrize("quiet_first", [True, False], ids=["quiet tenant first", "busy tenant first"])
@pytest.mark.parametrize("queue", QUEUES)
async def test_a_flood_delays_no_other_tenant_by_more_than_a_batch(
    database_tenants: list[DatabaseTenant], queue: str, quiet_first: bool
) -> None:
    rows, table, batch = QUEUES[queue]
    quiet, busy = database_tenants if quiet_first else reversed(database_tenants)
    async with quiet.database.transaction() as session:
        await fill(busy, session, rows, size=FLOOD, age=60)
        await fill(quiet, session, rows, size=1, age=1)
        key = "notification_id" if table == "queue_entry" else "id"
        mine = text(f"SELECT {key} FROM {table} WHERE tenant = :tenant")
        one = (await session.execute(mine, {"tenant": quiet.tenant})).scalar_one()
        taken = list(await batch(session))
        await session.rollback()
    assert one in taken
    assert len(taken) > 1, "the flood has the rest of the batch"


async def test_a_batch_that_is_not_full_has_all_that_is_due(database_tenants: list[DatabaseTenant]) -> None:
    rows, _, batch = QUEUES["receipts"]
    async with database_tenants[0].database.transaction() as session:
        for database_tenant in database_tenants:
            await fill(database_tenant, session, rows, size=3, age=1)
        taken = await batch(session)
        await session.rollback()
    assert len(taken) == 6
