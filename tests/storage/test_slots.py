"""Slots: how many notifications a process handles at a time, and when a slot is free again."""

from datetime import timedelta

import pytest

from domain.channels import Channel
from domain.gates import GateReason
from domain.messages import Gate
from storage import gates
from storage.claims import Slots, free_slot, wait_until
from storage.database import Database
from tests.storage.queues import OTHER, accepted, at, claim, empty_desk, ids, is_full, mark, started, state_of
from tests.storage.sends import Desk, Sent

pytestmark = pytest.mark.postgres

SOON, LATER = timedelta(seconds=30), timedelta(hours=1)


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await empty_desk(database)


async def test_a_process_claims_as_many_as_it_has_slots(desk: Desk) -> None:
    some = await accepted(desk, *[3] * 5)
    slots = Slots(total=3, reserved=0)
    assert ids(await claim(desk.database, slots)) == some[:3]
    assert await claim(desk.database, slots) == []
    assert ids(await claim(desk.database, slots, process=OTHER)) == some[3:]


async def test_reserved_slots_are_left_to_priorities_one_and_two(desk: Desk) -> None:
    slots = Slots(total=4, reserved=2)
    bulk = await accepted(desk, *[3] * 5)
    assert ids(await claim(desk.database, slots)) == bulk[:2]
    urgent = await accepted(desk, 1, 2, 1)
    assert ids(await claim(desk.database, slots)) == [urgent[0], urgent[2]]
    assert await claim(desk.database, slots) == []


async def test_urgent_ones_take_every_slot_and_leave_none_to_others(desk: Desk) -> None:
    slots = Slots(total=4, reserved=2)
    urgent = await accepted(desk, *[1] * 3)
    bulk = await accepted(desk, *[3] * 3)
    assert ids(await claim(desk.database, slots)) == [*urgent, bulk[0]]


async def test_a_process_is_full_if_it_has_no_room_at_least_for_bulk(desk: Desk) -> None:
    slots = Slots(total=3, reserved=1)
    await accepted(desk, 3)
    assert not await is_full(desk.database, slots)
    await accepted(desk, 3)
    assert await is_full(desk.database, slots)
    await desk.query("DELETE FROM queue_entry")
    await accepted(desk, 3, 3)
    assert await is_full(desk.database, slots, most=1)


async def test_a_slot_is_held_while_the_workflow_prepares_its_call_and_no_longer(desk: Desk) -> None:
    slots = Slots(total=1, reserved=0)
    [one] = await accepted(desk, 3)
    await claim(desk.database, slots)
    await mark(desk.database, one)
    assert await is_full(desk.database, slots)
    sent = Sent(desk=desk, id=one, channels=(Channel.EMAIL,))
    await sent.rendered()
    assert await is_full(desk.database, slots)
    await sent.claim()
    assert not await is_full(desk.database, slots)


async def test_a_call_that_goes_to_the_queue_of_its_provider_frees_the_slot(desk: Desk) -> None:
    slots = Slots(total=1, reserved=0)
    [one] = await accepted(desk, 3)
    await claim(desk.database, slots)
    async with desk.database.statement() as session:
        await free_slot(session, one, 2)
    assert await is_full(desk.database, slots), "of another generation"
    async with desk.database.statement() as session:
        await free_slot(session, one, 1)
    assert not await is_full(desk.database, slots)
    assert await state_of(desk, one) == "started"


async def test_a_freed_slot_ends_no_wait_that_goes_on(desk: Desk) -> None:
    """Of another channel of the same notification."""
    [one] = await accepted(desk, 3)
    await started(desk.database, one)
    for until, state in ((at(LATER), "waiting"), (at(-SOON), "started")):
        async with desk.database.statement() as session:
            await wait_until(session, one, 1, until)
            await free_slot(session, one, 1)
        assert await state_of(desk, one) == state


async def test_a_wait_frees_the_slot(desk: Desk) -> None:
    slots = Slots(total=1, reserved=0)
    [one] = await accepted(desk, 3)
    await claim(desk.database, slots)
    async with desk.database.transaction() as session:
        key = Sent(desk=desk, id=one, channels=()).key
        await gates.wait(session, key, 1, Gate(reason=GateReason.QUIET_HOURS, until=at(LATER)))
    assert not await is_full(desk.database, slots)
