"""Open notifications of a lost store are due again, in batches that another process can continue."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from domain.clock import now
from domain.ledger import finish
from domain.reasons import Reason
from domain.statuses import NotificationStatus
from storage import recoveries, stores
from storage.database import Database
from storage.ledgers import Key, amend
from tests.storage.databases import own_database
from tests.storage.queues import accepted, started
from tests.storage.recoveries import batch, due, lost
from tests.storage.sends import Desk, open_desk

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
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with own_database(database_url) as database:
        yield await open_desk(database)


class Killed(Exception):
    """The process is gone, and its transaction with it."""


async def killed_batch(database: Database) -> None:
    async with database.transaction() as session:
        await recoveries.recover_batch(session, 1)
        raise Killed


async def ended(desk: Desk, one: UUID) -> None:
    async with desk.database.transaction() as session:
        key = Key(notification_id=one, tenant=desk.tenant)
        await amend(session, key, lambda ledger: finish(ledger, now(), NotificationStatus.FAILED, Reason("gave_up")))


async def recovered(database: Database, limit: int) -> list[list[UUID]]:
    """The batches until the last one."""
    batches: list[list[UUID]] = []
    while (one := await batch(database, limit)) is not None:
        batches.append(one.ids)
    return batches


async def test_open_ones_are_due_again_and_no_others(desk: Desk) -> None:
    open_, done = await accepted(desk, 3, 3)
    await started(desk.database, open_, done)
    [unstarted] = await accepted(desk, 3)
    await ended(desk, done)
    assert await lost(desk.database) == 1
    recovered_batch = await batch(desk.database)
    assert recovered_batch is not None
    assert (recovered_batch.ids, recovered_batch.is_last) == ([open_], True)
    assert await due(desk) == {open_, unstarted}
    assert await batch(desk.database) is None


async def test_the_most_urgent_are_first_and_then_the_oldest(desk: Desk) -> None:
    five, three, one, also_three, two = await accepted(desk, 5, 3, 1, 3, 2)
    await started(desk.database, five, three, one, also_three, two)
    await lost(desk.database)
    assert await recovered(desk.database, 2) == [[one, two], [three, also_three], [five]]


async def test_what_has_been_started_in_the_new_store_is_left_alone(desk: Desk) -> None:
    before, during = await accepted(desk, 3, 3)
    await started(desk.database, before)
    await lost(desk.database)
    await started(desk.database, during)
    assert await recovered(desk.database, 10) == [[before]]


async def test_after_a_kill_the_next_process_goes_on_behind_the_last_batch(desk: Desk) -> None:
    first, second, third = await accepted(desk, 3, 3, 3)
    await started(desk.database, first, second, third)
    await lost(desk.database)
    assert (await batch(desk.database, 1)) is not None
    with pytest.raises(Killed):
        await killed_batch(desk.database)
    await started(desk.database, first)
    assert await recovered(desk.database, 1) == [[second], [third], []]


async def test_two_processes_that_recover_at_once_share_the_batches(desk: Desk) -> None:
    some = await accepted(desk, *[3, 4] * 20)
    await started(desk.database, *some)
    await lost(desk.database)
    batches = await asyncio.gather(*(recovered(desk.database, 3) for _ in range(3)))
    ids = [id for mine in batches for one in mine for id in one]
    assert len(ids) == len(some)
    assert set(ids) == set(some)


@pytest.mark.long
async def test_a_recovery_of_100000_is_quick_in_every_batch_and_shows_its_progress(desk: Desk) -> None:
    await desk.query(FILL, tenant=desk.tenant, rows=100_000)
    await desk.query("ANALYZE queue_entry")
    assert await lost(desk.database) == 100_000
    slowest = done = 0.0
    while done < 100_000:
        began = time.monotonic()
        one = await batch(desk.database, 1_000)
        slowest = max(slowest, time.monotonic() - began)
        assert one is not None
        done = one.done
        if done == 1_000:
            [first] = await desk.query(MOST_URGENT)
            assert first["count"] == 100
    assert slowest < 5
    async with desk.database.transaction() as session:
        report = await stores.report(session)
    assert report is not None
    assert report.recovery is not None
    assert (report.recovery.total, report.recovery.done) == (100_000, 100_000)
    await batch(desk.database)
    assert len(await due(desk)) == 100_000
