"""Slots of a limit: as many as it allows under any number who ask at once, and the others in their order."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.throttles import Claimed
from domain.timing import Limit
from storage import throttles
from storage.throttles import Asker
from tests.storage.sends import Desk, Sent, open_desk

pytestmark = pytest.mark.postgres

HOUR = timedelta(hours=1)


def asker(sent: Sent, priority: int = 3) -> Asker:
    return Asker(notification_id=sent.id, generation=1, tenant=sent.desk.tenant, priority=priority)


def limit(most: int, key: str = "key") -> Claimed:
    return Claimed(key=key, limit=Limit(most=most, per=HOUR))


async def ask(sent: Sent, *claimed: Claimed, priority: int = 3) -> bool:
    """Whether it got its slots; else it waits for them."""
    who = asker(sent, priority)
    async with sent.desk.database.transaction() as session:
        full = await throttles.take(session, who, claimed)
        if full:
            await throttles.queue(session, who, full)
        state = "waiting" if full else "started"
        values = {"state": state, "id": sent.id}
        await session.execute(text("UPDATE queue_entry SET state = :state WHERE notification_id = :id"), values)
    return not full


async def over(desk: Desk) -> None:
    """The windows end now."""
    await desk.query(
        "UPDATE throttle_window SET starts_at = now() - (ends_at - starts_at), ends_at = now() WHERE tenant = :tenant",
        tenant=desk.tenant,
    )


async def rolled(desk: Desk) -> set[object]:
    """Who is to ask again when the windows are over."""
    await desk.query("UPDATE queue_entry SET state = 'started' WHERE state = 'due' AND tenant = :id", id=desk.tenant)
    await over(desk)
    async with desk.database.transaction() as session:
        await throttles.roll(session, 100)
    told = await desk.query(
        "SELECT notification_id FROM queue_entry WHERE state = 'due' AND tenant = :tenant", tenant=desk.tenant
    )
    return {row["notification_id"] for row in told}


async def test_of_fifty_at_once_as_many_as_the_limit_get_in(desk: Desk) -> None:
    sent = [await desk.send() for _ in range(50)]
    got = await asyncio.gather(*(ask(one, limit(3)) for one in sent))
    assert sum(got) == 3
    [window] = await desk.query("SELECT * FROM throttle_window WHERE tenant = :tenant", tenant=desk.tenant)
    assert (window["used"], window["awaited"], window["ends_at"] - window["starts_at"]) == (3, True, HOUR)


async def test_asked_again_what_has_a_slot_has_it(desk: Desk) -> None:
    first, second = await desk.send(), await desk.send()
    assert [await ask(one, limit(1)) for one in (first, first, second, first)] == [True, True, False, True]


async def test_of_two_limits_both_or_none(desk: Desk) -> None:
    first, second, third = [await desk.send() for _ in range(3)]
    assert await ask(first, limit(1, "a"))
    assert not await ask(second, limit(1, "a"), limit(1, "b"))
    assert await ask(third, limit(1, "b"))


async def test_opposite_orders_do_not_lock_each_other_out(desk: Desk) -> None:
    sent = [await desk.send() for _ in range(20)]
    ways = [(limit(100, "a"), limit(100, "b")), (limit(100, "b"), limit(100, "a"))]
    got = await asyncio.gather(*(ask(one, *ways[number % 2]) for number, one in enumerate(sent)))
    assert all(got)


async def test_the_next_window_is_for_the_most_urgent_who_wait_and_then_the_oldest(desk: Desk) -> None:
    priorities = (3, 4, 5, 4, 3, 5)
    sent = [await desk.send() for _ in priorities]
    for one, priority in zip(sent, priorities, strict=True):
        await ask(one, limit(1), priority=priority)
    order = []
    while told := await rolled(desk):
        [number] = [number for number, one in enumerate(sent) if one.id in told]
        assert await ask(sent[number], limit(1), priority=priorities[number])
        order.append(number)
    assert order == [4, 1, 3, 2, 5]


async def test_who_comes_new_does_not_pass_those_who_are_told(desk: Desk) -> None:
    first, waiting = await desk.send(), await desk.send()
    assert await ask(first, limit(1))
    assert not await ask(waiting, limit(1))
    assert await rolled(desk) == {waiting.id}
    assert not await ask(await desk.send(), limit(1))
    assert await ask(waiting, limit(1))


async def test_somebody_more_urgent_passes(desk: Desk) -> None:
    first, waiting, urgent = [await desk.send() for _ in range(3)]
    assert await ask(first, limit(1))
    assert not await ask(waiting, limit(1), priority=5)
    await rolled(desk)
    assert await ask(urgent, limit(1), priority=3)
    assert not await ask(waiting, limit(1), priority=5)
    assert await rolled(desk) == {waiting.id}


async def test_who_is_over_or_has_left_stands_in_nobodys_way(desk: Desk) -> None:
    first, canceled, gone, waiting = [await desk.send() for _ in range(4)]
    assert await ask(first, limit(1))
    for one in (canceled, gone, waiting):
        assert not await ask(one, limit(1))
    await desk.query("UPDATE notification SET finished_at = now() WHERE id = :id", id=canceled.id)
    async with desk.database.transaction() as session:
        await throttles.leave(session, asker(gone))
    assert await rolled(desk) == {waiting.id}
    assert await ask(waiting, limit(1))


async def test_of_two_that_begin_the_next_windows_each_window_has_one(desk: Desk) -> None:
    """Two leaders for a moment."""
    keys = [f"key-{number}" for number in range(6)]
    for key in keys:
        assert await ask(await desk.send(), limit(1, key))
        assert not await ask(await desk.send(), limit(1, key))
    await over(desk)

    async def begun() -> int:
        async with desk.database.transaction() as session:
            return await throttles.roll(session, 4)

    assert sum(await asyncio.gather(*(begun() for _ in range(3)))) + await begun() == len(keys)
    told = await desk.query("SELECT 1 FROM queue_entry WHERE state = 'due' AND tenant = :t", t=desk.tenant)
    assert len(told) == len(keys)


async def test_what_is_long_over_is_forgotten(desk: Desk) -> None:
    first, canceled = await desk.send(), await desk.send()
    assert await ask(first, limit(1, "old"))
    assert await ask(first, limit(1, "new"))
    assert not await ask(canceled, limit(1, "new"))
    await desk.query("UPDATE notification SET finished_at = now() WHERE id = :id", id=canceled.id)
    await desk.query(
        "UPDATE throttle_window SET ends_at = now() - interval '2 hours' WHERE tenant = :tenant AND key = 'old'",
        tenant=desk.tenant,
    )
    async with desk.database.transaction() as session:
        await throttles.forget(session, 100)
        await throttles.prune(session, UUID(int=0), 10_000)
    left = await desk.query("SELECT key FROM throttle_window WHERE tenant = :tenant", tenant=desk.tenant)
    turns = await desk.query("SELECT granted_at FROM throttle_turn WHERE tenant = :tenant", tenant=desk.tenant)
    assert [row["key"] for row in left] == ["new"]
    assert len(turns) == 2
    assert all(row["granted_at"] for row in turns)


async def test_slots_of_an_ended_notification_are_pruned_part_by_part(desk: Desk) -> None:
    ended, open_one = sorted([await desk.send(), await desk.send()], key=lambda sent: sent.id)
    for sent in (ended, open_one):
        assert await ask(sent, limit(10))
    await desk.query("UPDATE notification SET finished_at = now() WHERE id = :id", id=ended.id)
    async with desk.database.transaction() as session:
        before = UUID(int=ended.id.int - 1)
        assert await throttles.prune(session, before, 1) == (ended.id, 1)
        assert await throttles.prune(session, ended.id, 1) == (open_one.id, 0)
        assert (await throttles.prune(session, open_one.id, 1))[0] is None


async def test_a_limit_belongs_to_its_tenant(desk: Desk) -> None:
    other = await open_desk(desk.database)
    assert await ask(await desk.send(), limit(1))
    assert await ask(await other.send(), limit(1))


async def test_who_waits_for_one_limit_stands_in_nobodys_way_at_another(desk: Desk) -> None:
    """A year of the type's own limit, an hour of the person's cap: the cap's next hour is for the others."""
    year, cap = limit(1, "type"), limit(1, "person")
    first, slow, other = [await desk.send() for _ in range(3)]
    assert await ask(first, year, cap)
    assert not await ask(slow, year, cap)
    assert not await ask(other, cap, priority=5)
    await desk.query(
        "UPDATE throttle_window SET starts_at = now() - interval '1 hour', ends_at = now() WHERE key = 'person'"
    )
    await roll(desk)
    assert not await ask(slow, year, cap)
    assert await ask(other, cap, priority=5)


async def test_one_who_queues_while_the_next_window_is_begun_is_not_forgotten(desk: Desk) -> None:
    first, late = await desk.send(), await desk.send()
    assert await ask(first, limit(1))
    await over(desk)
    async with desk.database.transaction() as session:
        who = asker(late)
        await desk.query("UPDATE throttle_window SET awaited = true WHERE tenant = :tenant", tenant=desk.tenant)
        full = await throttles.take(session, who, [limit(1)])
        rolling = asyncio.create_task(roll(desk))
        await throttles.queue(session, who, full)
        waiting = text("UPDATE queue_entry SET state = 'waiting' WHERE notification_id = :id")
        await session.execute(waiting, {"id": late.id})
    await rolling
    [entry] = await desk.query("SELECT state FROM queue_entry WHERE notification_id = :id", id=late.id)
    assert entry["state"] == "due" or await rolled(desk) == {late.id}


async def roll(desk: Desk) -> None:
    async with desk.database.transaction() as session:
        await throttles.roll(session, 100)
