"""Waits until a moment: what becomes due, in which order, and what does not."""

import asyncio
from datetime import timedelta

import pytest

from domain.gates import GateReason
from domain.messages import Gate
from storage import gates
from storage.claims import set_wait
from storage.database import Database
from tests.storage.queues import (
    accept_notifications,
    age_entries,
    claim,
    claim_and_start,
    end_waits,
    entry_of,
    from_now,
    ids,
    mark_begun_entries,
    only_database_tenant,
    state_of,
)
from tests.storage.sends import DatabaseSend, DatabaseTenant

pytestmark = pytest.mark.postgres

SOON, LATER = timedelta(seconds=30), timedelta(hours=1)


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await only_database_tenant(database)


async def test_a_wait_for_send_at_ends_at_that_time(database_tenant: DatabaseTenant) -> None:
    [one] = await accept_notifications(database_tenant, 3)
    await claim(database_tenant.database)
    await mark_begun_entries(database_tenant.database, one, waits_until=from_now(LATER))
    entry = await entry_of(database_tenant, one)
    assert [entry["state"], entry["claimed_by"]] == ["waiting", None]
    assert await end_waits(database_tenant.database) == 0
    await age_entries(database_tenant, LATER.total_seconds())
    assert await end_waits(database_tenant.database) == 1
    [again] = await claim(database_tenant.database)
    assert (again.id, again.has_workflow) == (one, True)
    await mark_begun_entries(database_tenant.database, one)
    assert await state_of(database_tenant, one) == "started"


async def test_waits_end_by_priority_and_within_it_the_oldest_first(database_tenant: DatabaseTenant) -> None:
    some = dict(
        zip(("late", "early", "urgent", "bulk"), await accept_notifications(database_tenant, 3, 3, 1, 5), strict=True)
    )
    await claim_and_start(database_tenant.database, *some.values())
    for name, ago in (("late", 1), ("early", 9), ("urgent", 1), ("bulk", 60)):
        async with database_tenant.database.statement() as session:
            await set_wait(session, some[name], 1, from_now(timedelta(seconds=-ago)))
    order = []
    while await end_waits(database_tenant.database, limit=1):
        order += ids(await claim(database_tenant.database))
    assert order == [some[name] for name in ("urgent", "early", "late", "bulk")]


async def test_only_waits_until_a_moment_that_was_not_long_ago_end(database_tenant: DatabaseTenant) -> None:
    old, forever, new = await accept_notifications(database_tenant, 3, 3, 3)
    await claim_and_start(database_tenant.database, old, forever, new)
    async with database_tenant.database.statement() as session:
        await set_wait(session, old, 1, from_now(-LATER))
        await set_wait(session, new, 1, from_now(-SOON))
    await database_tenant.query("UPDATE queue_entry SET state = 'waiting' WHERE notification_id = :id", id=forever)
    assert await end_waits(database_tenant.database, look_back=timedelta(minutes=2)) == 1
    assert ids(await claim(database_tenant.database)) == [new]
    assert await end_waits(database_tenant.database) == 1
    assert ids(await claim(database_tenant.database)) == [old]


@pytest.mark.parametrize("reason", [GateReason.THROTTLED, GateReason.FREQUENCY_CAPPED])
async def test_a_wait_for_a_slot_does_not_end_with_the_window(
    database_tenant: DatabaseTenant, reason: GateReason
) -> None:
    """The next window has room for some of them; which, the duty for limits says."""
    [one] = await accept_notifications(database_tenant, 3)
    await claim_and_start(database_tenant.database, one)
    async with database_tenant.database.transaction() as session:
        await gates.wait_at_gate(
            session,
            DatabaseSend(database_tenant=database_tenant, id=one, channels=()).ref,
            1,
            Gate(reason=reason, until=from_now(-SOON)),
        )
    assert await end_waits(database_tenant.database) == 0


async def test_waits_end_once_though_two_processes_look(database_tenant: DatabaseTenant) -> None:
    some = await accept_notifications(database_tenant, *[3] * 20)
    await claim(database_tenant.database)
    await mark_begun_entries(database_tenant.database, *some, waits_until=from_now(-SOON))
    assert sum(await asyncio.gather(*(end_waits(database_tenant.database, limit=30) for _ in range(4)))) == 20


@pytest.mark.parametrize("state", ["collecting", "canceled"])
async def test_collected_and_canceled_sends_do_not_wait(database_tenant: DatabaseTenant, state: str) -> None:
    [one] = await accept_notifications(database_tenant, 3)
    await database_tenant.query("UPDATE queue_entry SET state = :state", state=state)
    async with database_tenant.database.statement() as session:
        await set_wait(session, one, 1, from_now(SOON))
    assert await state_of(database_tenant, one) == state
