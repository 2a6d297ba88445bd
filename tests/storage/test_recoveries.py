"""Open notifications of a lost store are due again, in batches that another process can continue."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from domain.clock import now
from domain.ledger import finish_notification
from domain.reasons import Reason
from domain.statuses import NotificationStatus
from storage import recoveries, temporal_stores
from storage.database import Database
from storage.ledgers import NotificationRef, amend
from tests.storage.databases import own_database
from tests.storage.queues import accept_notifications, claim_and_start
from tests.storage.sends import DatabaseTenant, open_database_tenant
from tests.storage.store_changes import due_ids, recover_batch, replace_store

pytestmark = pytest.mark.postgres

FILL = """
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at, started_at)
SELECT CAST('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0') AS uuid), 1, :tenant,
       CASE WHEN n % 1000 = 0 THEN 1 ELSE n % 3 + 3 END,
       CASE WHEN n % 2 = 0 THEN 'started' ELSE 'waiting' END, now() + interval '1 hour', now()
  FROM generate_series(1, :rows) AS n
"""
MOST_URGENT = "SELECT count(*) AS count FROM queue_entry WHERE state = 'due' AND priority = 1"


@pytest.fixture
async def database_tenant(database_url: str) -> AsyncIterator[DatabaseTenant]:
    async with own_database(database_url) as database:
        yield await open_database_tenant(database)


class Killed(Exception):
    """The process is gone, and its transaction with it."""


async def killed_batch(database: Database) -> None:
    async with database.transaction() as session:
        await recoveries.recover_batch(session, 1)
        raise Killed


async def ended(database_tenant: DatabaseTenant, one: UUID) -> None:
    async with database_tenant.database.transaction() as session:
        ref = NotificationRef(notification_id=one, tenant=database_tenant.tenant)
        await amend(
            session,
            ref,
            lambda ledger: finish_notification(ledger, now(), NotificationStatus.FAILED, Reason("retries_exhausted")),
        )


async def recovered(database: Database, limit: int) -> list[list[UUID]]:
    """The batches until the last one."""
    batches: list[list[UUID]] = []
    while (one := await recover_batch(database, limit)) is not None:
        batches.append(one.ids)
    return batches


async def test_open_ones_are_due_again_and_no_others(database_tenant: DatabaseTenant) -> None:
    open_, done = await accept_notifications(database_tenant, 3, 3)
    await claim_and_start(database_tenant.database, open_, done)
    [unstarted] = await accept_notifications(database_tenant, 3)
    await ended(database_tenant, done)
    assert await replace_store(database_tenant.database) == 1
    recovered_batch = await recover_batch(database_tenant.database)
    assert recovered_batch is not None
    assert (recovered_batch.ids, recovered_batch.is_last) == ([open_], True)
    assert await due_ids(database_tenant) == {open_, unstarted}
    assert await recover_batch(database_tenant.database) is None


async def test_the_most_urgent_are_first_and_then_the_oldest(database_tenant: DatabaseTenant) -> None:
    five, three, one, also_three, two = await accept_notifications(database_tenant, 5, 3, 1, 3, 2)
    await claim_and_start(database_tenant.database, five, three, one, also_three, two)
    await replace_store(database_tenant.database)
    assert await recovered(database_tenant.database, 2) == [[one, two], [three, also_three], [five]]


async def test_notifications_started_in_the_new_store_are_unchanged(database_tenant: DatabaseTenant) -> None:
    before, during = await accept_notifications(database_tenant, 3, 3)
    await claim_and_start(database_tenant.database, before)
    await replace_store(database_tenant.database)
    await claim_and_start(database_tenant.database, during)
    assert await recovered(database_tenant.database, 10) == [[before]]


async def test_the_next_process_resumes_after_the_last_batch(database_tenant: DatabaseTenant) -> None:
    first, second, third = await accept_notifications(database_tenant, 3, 3, 3)
    await claim_and_start(database_tenant.database, first, second, third)
    await replace_store(database_tenant.database)
    assert (await recover_batch(database_tenant.database, 1)) is not None
    with pytest.raises(Killed):
        await killed_batch(database_tenant.database)
    await claim_and_start(database_tenant.database, first)
    assert await recovered(database_tenant.database, 1) == [[second], [third], []]


async def test_two_processes_that_recover_at_once_share_the_batches(database_tenant: DatabaseTenant) -> None:
    some = await accept_notifications(database_tenant, *[3, 4] * 20)
    await claim_and_start(database_tenant.database, *some)
    await replace_store(database_tenant.database)
    batches = await asyncio.gather(*(recovered(database_tenant.database, 3) for _ in range(3)))
    ids = [id for mine in batches for one in mine for id in one]
    assert len(ids) == len(some)
    assert set(ids) == set(some)


@pytest.mark.long
async def test_a_recovery_of_100000_is_quick_and_shows_its_progress(database_tenant: DatabaseTenant) -> None:
    await database_tenant.query(FILL, tenant=database_tenant.tenant, rows=100_000)
    await database_tenant.query("ANALYZE queue_entry")
    assert await replace_store(database_tenant.database) == 100_000
    slowest = done = 0.0
    while done < 100_000:
        began = time.monotonic()
        one = await recover_batch(database_tenant.database, 1_000)
        slowest = max(slowest, time.monotonic() - began)
        assert one is not None
        done = one.done
        if done == 1_000:
            [first] = await database_tenant.query(MOST_URGENT)
            assert first["count"] == 100
    assert slowest < 5
    async with database_tenant.database.transaction() as session:
        report = await temporal_stores.read_report(session)
    assert report is not None
    assert report.recovery is not None
    assert (report.recovery.total, report.recovery.done) == (100_000, 100_000)
    await recover_batch(database_tenant.database)
    assert len(await due_ids(database_tenant)) == 100_000
