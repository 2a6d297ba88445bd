"""All processes agree on one Temporal store, and recover in batches what was in a lost one."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from domain.clock import now
from domain.ledger import finish_notification
from domain.reasons import Reason
from domain.statuses import NotificationStatus
from storage import engine_state
from storage.database import Database
from storage.ledgers import NotificationRef, amend
from tests.storage.databases import own_database
from tests.storage.queues import accept_notifications, claim, claim_and_start, mark_begun_entries
from tests.storage.sends import DatabaseTenant, open_database_tenant
from tests.storage.store_changes import confirm_store, due_ids, note_store, recover_batch, replace_store

pytestmark = pytest.mark.postgres

AGE = """
UPDATE engine_state SET seen_at = seen_at - make_interval(secs => :seconds),
       other_since = other_since - make_interval(secs => :seconds)
"""


@pytest.fixture
async def database_tenant(database_url: str) -> AsyncIterator[DatabaseTenant]:
    async with own_database(database_url) as database:
        yield await open_database_tenant(database)


async def test_the_first_store_starts_nothing_again(database_tenant: DatabaseTenant) -> None:
    await claim_and_start(database_tenant.database, *(await accept_notifications(database_tenant, 3)))
    for _ in range(2):
        assert (await note_store(database_tenant.database, "old")).lost is None
    assert await recover_batch(database_tenant.database) is None
    assert await due_ids(database_tenant) == set()


async def test_a_wrong_address_for_a_minute_starts_nothing_again(database_tenant: DatabaseTenant) -> None:
    await claim_and_start(database_tenant.database, *(await accept_notifications(database_tenant, 3)))
    await note_store(database_tenant.database, "old")
    await note_store(database_tenant.database, "wrong")
    await database_tenant.query(AGE, seconds=60)
    assert (await note_store(database_tenant.database, "wrong")).known.namespace_id == "old"
    assert (await note_store(database_tenant.database, "old")).known.other_since is None
    await database_tenant.query(AGE, seconds=90)
    assert (await note_store(database_tenant.database, "wrong")).lost is None
    assert await recover_batch(database_tenant.database) is None


async def test_another_store_is_adopted_when_all_have_seen_it_for_two_minutes(database_tenant: DatabaseTenant) -> None:
    await claim_and_start(database_tenant.database, *(await accept_notifications(database_tenant, 3, 3)))
    await note_store(database_tenant.database, "old")
    await note_store(database_tenant.database, "new")
    await database_tenant.query(AGE, seconds=121)
    assert (await note_store(database_tenant.database, "new")).lost == 2
    assert (await note_store(database_tenant.database, "new")).lost is None


async def test_of_several_that_see_a_confirmed_store_one_adopts_it(database_tenant: DatabaseTenant) -> None:
    await claim_and_start(database_tenant.database, *(await accept_notifications(database_tenant, *[3] * 5)))
    await note_store(database_tenant.database, "old")
    await confirm_store(database_tenant.database, "new")
    reports = await asyncio.gather(*(note_store(database_tenant.database, "new") for _ in range(3)))
    assert sorted(report.lost or 0 for report in reports) == [0, 0, 5]


async def test_the_adopted_store_needs_no_confirmation(database_tenant: DatabaseTenant) -> None:
    await note_store(database_tenant.database, "old")
    await confirm_store(database_tenant.database, "old")
    await note_store(database_tenant.database, "new")
    assert (await note_store(database_tenant.database, "old")).known.confirmed_id is None


@pytest.mark.parametrize(("store", "may"), [("old", True), ("wrong", False)])
async def test_a_missing_workflow_is_lost_only_in_the_adopted_store(
    database_tenant: DatabaseTenant, store: str, may: bool
) -> None:
    async with database_tenant.database.transaction() as session:
        assert not await engine_state.is_conclusive(session, store)
    await note_store(database_tenant.database, "old")
    async with database_tenant.database.transaction() as session:
        assert await engine_state.is_conclusive(session, store) is may
    await note_store(database_tenant.database, "wrong")
    async with database_tenant.database.transaction() as session:
        assert not await engine_state.is_conclusive(session, store)


async def test_a_store_that_is_lost_during_a_recovery_begins_another_one(database_tenant: DatabaseTenant) -> None:
    some = await accept_notifications(database_tenant, 1, 3, 3)
    await claim_and_start(database_tenant.database, *some)
    assert await replace_store(database_tenant.database, "new") == 3
    await recover_batch(database_tenant.database, 2)
    await claim_and_start(database_tenant.database, *some[:2])
    await confirm_store(database_tenant.database, "newer")
    assert (await note_store(database_tenant.database, "newer")).lost == 3
    assert (await recover_batch(database_tenant.database)) is not None
    assert await due_ids(database_tenant) == set(some)


FILL = """
INSERT INTO queue_entry (notification_id, generation, tenant, priority, state, next_at, started_at)
SELECT CAST('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0') AS uuid), 1, :tenant,
       CASE WHEN n % 1000 = 0 THEN 1 ELSE n % 3 + 3 END,
       CASE WHEN n % 2 = 0 THEN 'started' ELSE 'waiting' END, now() + interval '1 hour', now()
  FROM generate_series(1, :rows) AS n
"""
MOST_URGENT = "SELECT count(*) AS count FROM queue_entry WHERE state = 'due' AND priority = 1"


class Killed(Exception):
    """The process is gone, and its transaction with it."""


async def killed_batch(database: Database) -> None:
    async with database.transaction() as session:
        await engine_state.recover_batch(session, 1)
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


@pytest.mark.parametrize("is_claimed_again", [False, True])
async def test_a_resume_during_a_recovery_does_not_count_as_a_start(
    database_tenant: DatabaseTenant, is_claimed_again: bool
) -> None:
    """The resumed workflow was in the lost store, or had ended before the restored database knew."""
    database = database_tenant.database
    [resumed] = await accept_notifications(database_tenant, 3)
    await claim_and_start(database, resumed)
    await database_tenant.query("UPDATE queue_entry SET state = 'due', next_at = now(), claimed_by = NULL")
    assert [claimed.has_workflow for claimed in await claim(database)] == [True]
    await replace_store(database)
    assert await recovered(database, 10) == [[resumed]]
    if is_claimed_again:
        assert [claimed.has_workflow for claimed in await claim(database)] == [False]
    await mark_begun_entries(database, resumed, is_resume=True)
    [entry] = await database_tenant.query("SELECT state, started_at FROM queue_entry")
    assert entry == {"state": "claimed" if is_claimed_again else "due", "started_at": None}


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
        report = await engine_state.read_report(session)
    assert report is not None
    assert report.recovery is not None
    assert (report.recovery.total, report.recovery.done) == (100_000, 100_000)
    await recover_batch(database_tenant.database)
    assert len(await due_ids(database_tenant)) == 100_000
