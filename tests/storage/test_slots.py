"""Slots: how many notifications a process handles at a time, and when a slot is free again."""

from datetime import timedelta

import pytest

from domain.channels import Channel
from domain.gates import Gate, GateReason
from storage import gates
from storage.claims import Slots, release_slot, set_wait
from storage.database import Database
from tests.storage.queues import (
    OTHER_PROCESS,
    accept_notifications,
    claim,
    claim_and_start,
    from_now,
    ids,
    is_full,
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


async def test_a_process_claims_as_many_as_it_has_slots(database_tenant: DatabaseTenant) -> None:
    some = await accept_notifications(database_tenant, *[3] * 5)
    slots = Slots(total=3, reserved=0)
    assert ids(await claim(database_tenant.database, slots)) == some[:3]
    assert await claim(database_tenant.database, slots) == []
    assert ids(await claim(database_tenant.database, slots, process=OTHER_PROCESS)) == some[3:]


async def test_reserved_slots_are_left_to_priorities_one_and_two(database_tenant: DatabaseTenant) -> None:
    slots = Slots(total=4, reserved=2)
    bulk = await accept_notifications(database_tenant, *[3] * 5)
    assert ids(await claim(database_tenant.database, slots)) == bulk[:2]
    urgent = await accept_notifications(database_tenant, 1, 2, 1)
    assert ids(await claim(database_tenant.database, slots)) == [urgent[0], urgent[2]]
    assert await claim(database_tenant.database, slots) == []


async def test_urgent_ones_take_every_slot_and_leave_none_to_others(database_tenant: DatabaseTenant) -> None:
    slots = Slots(total=4, reserved=2)
    urgent = await accept_notifications(database_tenant, *[1] * 3)
    bulk = await accept_notifications(database_tenant, *[3] * 3)
    assert ids(await claim(database_tenant.database, slots)) == [*urgent, bulk[0]]


async def test_a_process_without_a_bulk_slot_is_full(database_tenant: DatabaseTenant) -> None:
    slots = Slots(total=3, reserved=1)
    await accept_notifications(database_tenant, 3)
    assert not await is_full(database_tenant.database, slots)
    await accept_notifications(database_tenant, 3)
    assert await is_full(database_tenant.database, slots)
    await database_tenant.query("DELETE FROM queue_entry")
    await accept_notifications(database_tenant, 3, 3)
    assert await is_full(database_tenant.database, slots, batch_size=1)


async def test_a_slot_is_held_only_while_the_workflow_prepares_its_call(database_tenant: DatabaseTenant) -> None:
    slots = Slots(total=1, reserved=0)
    [one] = await accept_notifications(database_tenant, 3)
    await claim(database_tenant.database, slots)
    await mark_begun_entries(database_tenant.database, one)
    assert await is_full(database_tenant.database, slots)
    sent = DatabaseSend(database_tenant=database_tenant, id=one, channels=(Channel.EMAIL,))
    await sent.rendered()
    assert await is_full(database_tenant.database, slots)
    await sent.claim()
    assert not await is_full(database_tenant.database, slots)


async def test_a_call_in_a_provider_queue_frees_the_slot(database_tenant: DatabaseTenant) -> None:
    slots = Slots(total=1, reserved=0)
    [one] = await accept_notifications(database_tenant, 3)
    await claim(database_tenant.database, slots)
    async with database_tenant.database.statement() as session:
        await release_slot(session, one, 2)
    assert await is_full(database_tenant.database, slots), "of another generation"
    async with database_tenant.database.statement() as session:
        await release_slot(session, one, 1)
    assert not await is_full(database_tenant.database, slots)
    assert await state_of(database_tenant, one) == "started"


async def test_a_freed_slot_ends_no_other_wait(database_tenant: DatabaseTenant) -> None:
    """Of another channel of the same notification."""
    [one] = await accept_notifications(database_tenant, 3)
    await claim_and_start(database_tenant.database, one)
    for until, state in ((from_now(LATER), "waiting"), (from_now(-SOON), "started")):
        async with database_tenant.database.statement() as session:
            await set_wait(session, one, 1, until)
            await release_slot(session, one, 1)
        assert await state_of(database_tenant, one) == state


async def test_a_wait_frees_the_slot(database_tenant: DatabaseTenant) -> None:
    slots = Slots(total=1, reserved=0)
    [one] = await accept_notifications(database_tenant, 3)
    await claim(database_tenant.database, slots)
    async with database_tenant.database.transaction() as session:
        ref = DatabaseSend(database_tenant=database_tenant, id=one, channels=()).ref
        await gates.wait_at_gate(session, ref, 1, Gate(reason=GateReason.QUIET_HOURS, until=from_now(LATER)))
    assert not await is_full(database_tenant.database, slots)
