"""Claims: who gets what, in which order, for how long, and what the slots of a process leave to be claimed."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from domain.channels import Channel
from domain.clock import set_ahead
from domain.gates import Reason
from domain.messages import Gate
from storage import claims, gates
from storage.claims import Claimed, Slots, free_slot, wait_until
from storage.database import Database
from tests.storage.queues import (
    EVER,
    ME,
    OTHER,
    accepted,
    claim,
    empty_desk,
    end_waits,
    ended,
    entry_of,
    ids,
    is_full,
    mark,
    postpone,
    started,
    state_of,
)
from tests.storage.sends import Desk, Sent, open_desk

pytestmark = pytest.mark.postgres

SOON, LATER = timedelta(seconds=30), timedelta(hours=1)


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await empty_desk(database)


def at(offset: timedelta) -> datetime:
    return datetime.now(UTC) + offset


async def age(desk: Desk, seconds: float) -> None:
    """As if so much time had passed for all entries."""
    await desk.query("UPDATE queue_entry SET next_at = next_at - make_interval(secs => :seconds)", seconds=seconds)


async def test_the_most_urgent_come_first(desk: Desk) -> None:
    five, two, one, three, again = await accepted(desk, 5, 2, 1, 3, 1)
    assert ids(await claim(desk.database)) == [one, again, two, three, five]


async def test_four_processes_that_claim_one_at_a_time_serve_three_tenants_in_strict_alternation(desk: Desk) -> None:
    desks = [desk, *[await open_desk(desk.database) for _ in range(2)]]
    for each in desks:
        await accepted(each, *[1] * 20)
    served: list[Claimed] = []

    async def work(process: UUID) -> None:
        while claimed := await claim(desk.database, process=process, most=1):
            served.extend(claimed)

    await asyncio.gather(*(work(uuid4()) for _ in range(4)))
    rows = await desk.query("SELECT notification_id, tenant FROM queue_entry ORDER BY xmin::text::bigint")
    order = [row["tenant"] for row in rows]
    assert len(order) == 60
    assert all(len(set(order[at : at + 3])) == 3 for at in range(58))


@pytest.mark.parametrize("most", [1, 5])
async def test_a_quiet_tenant_is_served_in_its_turn_however_old_the_backlogs_are(desk: Desk, most: int) -> None:
    for busy in [await open_desk(desk.database) for _ in range(8)]:
        await accepted(busy, *[3] * 20)
    await accepted(desk, 3)
    order: list[UUID] = []
    while len(order) < 9:
        order += [one.tenant for one in await claim(desk.database, most=most)]
    assert desk.tenant in order[:9]
    assert len(set(order[:9])) == 9, "a tenant was served twice before each was served once"


async def test_priority_comes_before_the_turn_of_a_tenant(desk: Desk) -> None:
    bulk = await accepted(desk, 5)
    ordinary = await accepted(await open_desk(desk.database), 3, 3, 3)
    assert ids(await claim(desk.database, most=3)) == ordinary
    assert ids(await claim(desk.database, most=3)) == bulk


async def test_thousands_of_one_type_hold_up_no_other_type_of_the_tenant(desk: Desk) -> None:
    await accepted(desk, *[3] * 200)
    [other] = await accepted(desk, 3)
    await desk.query("UPDATE queue_entry SET lane = -5 WHERE notification_id = :id", id=other)
    order = [each for _ in range(30) for each in ids(await claim(desk.database, most=1))]
    assert other in order


async def test_a_claim_tells_what_the_workflow_needs(desk: Desk) -> None:
    [one] = await accepted(desk, 4)
    [claimed] = await claim(desk.database)
    assert claimed == Claimed(
        id=one,
        tenant=desk.tenant,
        generation=1,
        priority=4,
        notification_type="order.shipped",
        send_at=None,
        expires_at=None,
        started=False,
        waits=False,
    )


async def test_the_clock_of_the_database_says_whether_send_at_is_to_come(desk: Desk) -> None:
    """A worker whose clock is a day ahead must not send a day early."""
    items = [desk.new(send_at=at(LATER)), desk.new(send_at=at(-SOON))]
    await desk.accept(*items)
    set_ahead(timedelta(days=1))
    try:
        claimed = await claim(desk.database)
    finally:
        set_ahead(timedelta())
    assert {one.id: one.waits for one in claimed} == {items[0].id: True, items[1].id: False}


async def test_processes_that_claim_at_once_never_get_the_same_row(desk: Desk) -> None:
    all_of_them = await accepted(desk, *[1, 3] * 30)
    some = await asyncio.gather(*(claim(desk.database, process=uuid4(), most=10) for _ in range(6)))
    assert sorted(one.id for each in some for one in each) == sorted(all_of_them)


async def test_a_row_that_another_transaction_holds_holds_nobody_up(desk: Desk) -> None:
    """Neither behind it nor, of the only one of a tenant, in front of other tenants."""
    held, free = await accepted(desk, 3, 3)
    [only] = await accepted(await open_desk(desk.database), 3)
    [other] = await accepted(await open_desk(desk.database), 3)
    lock = text("SELECT 1 FROM queue_entry WHERE notification_id = ANY(:ids) FOR UPDATE")
    async with desk.database.transaction() as session, asyncio.timeout(60):
        await session.execute(lock, {"ids": [held, only]})
        assert set(ids(await claim(desk.database))) == {free, other}
    assert set(ids(await claim(desk.database))) == {held, only}


async def test_only_what_has_been_due_since_then_is_looked_at(desk: Desk) -> None:
    [old] = await accepted(desk, 3)
    await age(desk, 600)
    [new] = await accepted(desk, 3)
    assert ids(await claim(desk.database, look_back=timedelta(minutes=5))) == [new]
    assert ids(await claim(desk.database)) == [old]


async def test_what_was_started_or_is_over_is_not_due(desk: Desk) -> None:
    one, two = await accepted(desk, 3, 3)
    await ended(desk, two)
    await started(desk.database, one)
    assert await claim(desk.database) == []


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
        await gates.wait(session, key, 1, Gate(reason=Reason.QUIET_HOURS, until=at(LATER)))
    assert not await is_full(desk.database, slots)


async def test_a_claim_that_is_not_begun_expires_after_twelve_seconds(desk: Desk) -> None:
    [one] = await accepted(desk, 3)
    await claim(desk.database)
    await age(desk, 11)
    assert await end_waits(desk.database) == 0
    await age(desk, 1)
    assert await end_waits(desk.database) == 1
    assert ids(await claim(desk.database, process=OTHER)) == [one]


@pytest.mark.parametrize(("process", "generation"), [(OTHER, 1), (ME, 2)])
async def test_another_process_or_generation_marks_and_postpones_nothing(
    desk: Desk, process: UUID, generation: int
) -> None:
    [one] = await accepted(desk, 3)
    [claimed] = await claim(desk.database)
    before = await entry_of(desk, one)
    await mark(desk.database, one, process=process, generation=generation)
    if process == OTHER:
        await postpone(desk.database, [claimed], 60, process=process)
    assert await entry_of(desk, one) == before


async def test_a_late_mark_counts_until_another_process_has_claimed(desk: Desk) -> None:
    first, second = await accepted(desk, 3, 3)
    await claim(desk.database)
    await age(desk, 12)
    await end_waits(desk.database)
    await mark(desk.database, first)
    assert await state_of(desk, first) == "started"
    assert ids(await claim(desk.database, process=OTHER)) == [second]
    await mark(desk.database, second)
    assert await state_of(desk, second) == "claimed"


async def test_what_temporal_did_not_take_is_due_again_later(desk: Desk) -> None:
    [one] = await accepted(desk, 1)
    await postpone(desk.database, await claim(desk.database), 60)
    assert await end_waits(desk.database) == 0
    await age(desk, 60)
    assert await end_waits(desk.database) == 1
    [again] = await claim(desk.database)
    assert (again.id, again.started) == (one, False)


async def test_what_waits_for_send_at_is_resumed_then(desk: Desk) -> None:
    [one] = await accepted(desk, 3)
    await claim(desk.database)
    await mark(desk.database, one, waits_until=at(LATER))
    entry = await entry_of(desk, one)
    assert [entry["state"], entry["claimed_by"]] == ["waiting", None]
    assert await end_waits(desk.database) == 0
    await age(desk, LATER.total_seconds())
    assert await end_waits(desk.database) == 1
    [again] = await claim(desk.database)
    assert (again.id, again.started) == (one, True)
    await mark(desk.database, one)
    assert await state_of(desk, one) == "started"


async def test_waits_end_by_priority_and_within_it_the_oldest_first(desk: Desk) -> None:
    some = dict(zip(("late", "early", "urgent", "bulk"), await accepted(desk, 3, 3, 1, 5), strict=True))
    await started(desk.database, *some.values())
    for name, ago in (("late", 1), ("early", 9), ("urgent", 1), ("bulk", 60)):
        async with desk.database.statement() as session:
            await wait_until(session, some[name], 1, at(timedelta(seconds=-ago)))
    order = []
    while await end_waits(desk.database, limit=1):
        order += ids(await claim(desk.database))
    assert order == [some[name] for name in ("urgent", "early", "late", "bulk")]


async def test_only_waits_until_a_moment_that_was_not_long_ago_end(desk: Desk) -> None:
    old, forever, new = await accepted(desk, 3, 3, 3)
    await started(desk.database, old, forever, new)
    async with desk.database.statement() as session:
        await wait_until(session, old, 1, at(-LATER))
        await wait_until(session, new, 1, at(-SOON))
    await desk.query("UPDATE queue_entry SET state = 'waiting' WHERE notification_id = :id", id=forever)
    assert await end_waits(desk.database, look_back=timedelta(minutes=2)) == 1
    assert ids(await claim(desk.database)) == [new]
    assert await end_waits(desk.database) == 1
    assert ids(await claim(desk.database)) == [old]


@pytest.mark.parametrize("reason", [Reason.THROTTLED, Reason.CAPPED])
async def test_who_waits_for_room_in_a_limit_is_not_resumed_by_the_end_of_its_window(
    desk: Desk, reason: Reason
) -> None:
    """The next window has room for some of them; which, the duty for limits says."""
    [one] = await accepted(desk, 3)
    await started(desk.database, one)
    async with desk.database.transaction() as session:
        await gates.wait(session, Sent(desk=desk, id=one, channels=()).key, 1, Gate(reason=reason, until=at(-SOON)))
    assert await end_waits(desk.database) == 0


async def test_waits_end_once_though_two_processes_look(desk: Desk) -> None:
    some = await accepted(desk, *[3] * 20)
    await claim(desk.database)
    await mark(desk.database, *some, waits_until=at(-SOON))
    assert sum(await asyncio.gather(*(end_waits(desk.database, limit=30) for _ in range(4)))) == 20


@pytest.mark.parametrize("state", ["collecting", "canceled"])
async def test_what_is_collected_or_canceled_does_not_wait(desk: Desk, state: str) -> None:
    [one] = await accepted(desk, 3)
    await desk.query("UPDATE queue_entry SET state = :state", state=state)
    async with desk.database.statement() as session:
        await wait_until(session, one, 1, at(SOON))
    assert await state_of(desk, one) == state


async def test_what_is_canceled_while_it_is_claimed_is_claimed_no_more_and_still_marked(desk: Desk) -> None:
    [one] = await accepted(desk, 3)
    claimed = await claim(desk.database)
    await ended(desk, one, canceled=True)
    await age(desk, 60)
    assert await end_waits(desk.database, look_back=EVER) == 0
    await postpone(desk.database, claimed, 0)
    assert await claim(desk.database, process=OTHER) == []
    await mark(desk.database, one)
    entry = await entry_of(desk, one)
    assert (entry["state"], entry["cancel_due"], entry["started_at"] is not None) == ("canceled", True, True)


async def demote(database: Database, burst: int, limit: int = 100) -> int:
    async with database.statement() as session:
        return await claims.demote(session, burst=burst, limit=limit)


async def test_what_a_tenant_has_waiting_beyond_its_burst_is_served_at_priority_3(desk: Desk) -> None:
    first, second, third, fourth = await accepted(desk, 2, 1, 1, 3)
    other = await open_desk(desk.database)
    await accepted(other, 1, 1)
    assert await demote(desk.database, burst=2) == 1
    assert await demote(desk.database, burst=2) == 0
    entries = {id: await entry_of(desk, id) for id in (first, second, third, fourth)}
    assert [entries[id]["priority"] for id in (first, second, third, fourth)] == [3, 1, 1, 3]
    [told] = await desk.query("SELECT notification_id, reason FROM event WHERE kind = 'demoted'")
    assert (told["notification_id"], told["reason"]) == (first, "urgent_burst")


async def test_what_is_claimed_is_not_demoted(desk: Desk) -> None:
    await accepted(desk, 1, 1, 1)
    await claim(desk.database)
    assert await demote(desk.database, burst=1) == 0


async def test_a_demotion_waits_for_no_lock(desk: Desk) -> None:
    one, _ = await accepted(desk, 1, 1)
    async with desk.database.transaction() as session:
        await session.execute(text("SELECT 1 FROM notification WHERE id = :id FOR UPDATE"), {"id": one})
        assert await demote(desk.database, burst=0) == 1
