"""Waits until a moment: what becomes due, in which order, and what does not."""

import asyncio
from datetime import timedelta

import pytest

from domain.gates import GateReason
from domain.messages import Gate
from storage import gates
from storage.claims import wait_until
from storage.database import Database
from tests.storage.queues import accepted, age, at, claim, empty_desk, end_waits, entry_of, ids, mark, started, state_of
from tests.storage.sends import Desk, Sent

pytestmark = pytest.mark.postgres

SOON, LATER = timedelta(seconds=30), timedelta(hours=1)


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await empty_desk(database)


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


@pytest.mark.parametrize("reason", [GateReason.THROTTLED, GateReason.CAPPED])
async def test_who_waits_for_room_in_a_limit_is_not_resumed_by_the_end_of_its_window(
    desk: Desk, reason: GateReason
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
