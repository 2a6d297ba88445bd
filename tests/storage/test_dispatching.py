"""Which rows are due, in which order, and for how long a claim hides them."""

import asyncio
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import text

from domain.cancellation import cancel
from domain.clock import now
from domain.ledger import finish
from domain.records import Ledger
from domain.statuses import NotificationStatus
from storage import dispatching
from storage.database import Database
from storage.dispatching import DueNotification
from storage.ledgers import Key, amend
from tests.storage.sends import Desk, open_desk

pytestmark = pytest.mark.postgres


@pytest.fixture
async def desk(database: Database) -> Desk:
    """Claims are made over all tenants: there is nothing in the database but what the test puts there."""
    desk = await open_desk(database)
    await desk.query("TRUNCATE notification, queue_entry, engine_state CASCADE")
    return desk


async def accepted(desk: Desk, *priorities: int) -> list[UUID]:
    items = [desk.new(priority=priority) for priority in priorities]
    await desk.accept(*items)
    return [item.id for item in items]


async def urgent(database: Database, limit: int = 100) -> list[UUID]:
    async with database.transaction() as session:
        return ids(await dispatching.claim_urgent(session, limit))


async def paced(database: Database, limit: int = 100) -> list[UUID]:
    async with database.transaction() as session:
        return ids(await dispatching.claim_paced(session, limit))


def ids(due: list[DueNotification]) -> list[UUID]:
    return [one.id for one in due]


def due(one: UUID, generation: int = 1) -> DueNotification:
    rest = {"notification_type": "order.shipped", "priority": 3, "send_at": None, "expires_at": None}
    return DueNotification(id=one, tenant=one, generation=generation, **rest)  # type: ignore[arg-type]


async def started(database: Database, *some: UUID, generation: int = 1) -> None:
    async with database.transaction() as session:
        await dispatching.mark_started(session, [due(one, generation) for one in some])


async def ended(desk: Desk, *some: UUID, canceled: bool = False) -> None:
    for one in some:
        async with desk.database.transaction() as session:
            await amend(session, Key(notification_id=one, tenant=desk.tenant), partial(over, canceled=canceled))


def over(ledger: Ledger, *, canceled: bool) -> Ledger:
    return cancel(ledger, now()) if canceled else finish(ledger, now(), NotificationStatus.FAILED, "gave_up")


async def strays(database: Database, limit: int = 100) -> list[UUID]:
    async with database.transaction() as session:
        return [stray[0] for stray in await dispatching.strays(session, limit)]


async def test_urgent_ones_are_one_and_two_in_that_order_and_the_rest_is_paced(desk: Desk) -> None:
    five, two, one, three, again = await accepted(desk, 5, 2, 1, 3, 1)
    assert await urgent(desk.database) == [one, again, two]
    assert await paced(desk.database) == [three, five]


@pytest.mark.parametrize(("canceled", "marked"), [(True, True), (False, False)])
async def test_a_finished_row_is_marked_as_started_only_if_it_is_canceled(
    desk: Desk, canceled: bool, marked: bool
) -> None:
    """Its workflow may wait for hours yet: the signal goes to those that were started."""
    [one] = await accepted(desk, 3)
    await paced(desk.database)
    await ended(desk, one, canceled=canceled)
    await started(desk.database, one)
    async with desk.database.transaction() as session:
        signals = [found[0] for found in await dispatching.unsignaled_cancels(session, 100)]
    assert (one in signals) is marked


async def test_a_claim_takes_the_most_urgent_first(desk: Desk) -> None:
    five, two, one, three, four = await accepted(desk, 5, 2, 1, 3, 4)
    assert [await urgent(desk.database, 1), await urgent(desk.database, 1)] == [[one], [two]]
    assert [await paced(desk.database, 2), await paced(desk.database, 2)] == [[three, four], [five]]


async def test_tenants_take_turns_within_a_priority(desk: Desk, database: Database) -> None:
    flood = await accepted(desk, *[4] * 20)
    quiet = await open_desk(database)
    few = await accepted(quiet, 4, 4)
    claimed = [one for _ in range(3) for one in await paced(database, 2)]
    assert claimed[:4] == [flood[0], few[0], flood[1], few[1]]
    assert claimed[4:] == flood[2:4]


async def test_priority_comes_before_the_turn_of_a_tenant(desk: Desk, database: Database) -> None:
    bulk = await accepted(desk, 5)
    busy = await open_desk(database)
    ordinary = await accepted(busy, 3, 3, 3)
    assert await paced(database, 3) == ordinary
    assert await paced(database, 3) == bulk


async def test_a_claim_hides_a_row_and_lapses(desk: Desk) -> None:
    [one] = await accepted(desk, 3)
    assert await paced(desk.database) == [one]
    assert await paced(desk.database) == []
    await desk.query("UPDATE queue_entry SET next_at = next_at - interval '11 seconds'")
    assert await paced(desk.database) == []
    await desk.query("UPDATE queue_entry SET next_at = next_at - interval '1 second'")
    assert await paced(desk.database) == [one]


@pytest.mark.parametrize("priority", [1, 3])
async def test_two_that_claim_at_once_never_get_the_same_row(desk: Desk, priority: int) -> None:
    all_of_them = await accepted(desk, *[priority] * 60)
    claim = urgent if priority == 1 else paced
    claims = await asyncio.gather(*(claim(desk.database, 10) for _ in range(6)))
    claimed = [one for some in claims for one in some]
    assert len(claimed) == len(set(claimed))
    while more := await claim(desk.database, 10):
        claimed += more
    assert sorted(claimed) == sorted(all_of_them)


@pytest.mark.parametrize("priority", [1, 3])
async def test_a_row_that_somebody_holds_holds_nobody_up(desk: Desk, priority: int) -> None:
    held, free = await accepted(desk, priority, priority)
    claim = urgent if priority == 1 else paced
    async with desk.database.transaction() as session, asyncio.timeout(60):
        await session.execute(text("SELECT 1 FROM queue_entry WHERE notification_id = :id FOR UPDATE"), {"id": held})
        assert await claim(desk.database) == [free]
    assert await claim(desk.database) == [held]


async def test_what_was_started_or_is_over_is_not_due(desk: Desk) -> None:
    one, two = await accepted(desk, 3, 3)
    await started(desk.database, one)
    await ended(desk, two)
    assert await paced(desk.database) == []


async def test_what_was_put_off_is_due_again_later(desk: Desk) -> None:
    [one] = await accepted(desk, 1)
    async with desk.database.transaction() as session:
        await dispatching.postpone(session, [due(one)], 60)
    assert await urgent(desk.database) == []
    await desk.query("UPDATE queue_entry SET next_at = now()")
    assert await urgent(desk.database) == [one]


async def test_a_due_row_tells_its_workflow_what_it_needs(desk: Desk) -> None:
    [one] = await accepted(desk, 4)
    async with desk.database.transaction() as session:
        [claimed] = await dispatching.claim_paced(session, 1)
    assert claimed == DueNotification(
        id=one,
        tenant=desk.tenant,
        generation=1,
        notification_type="order.shipped",
        priority=4,
        send_at=None,
        expires_at=None,
    )


async def redriven(database: Database, limit: int = 100) -> list[UUID]:
    async with database.transaction() as session:
        return ids(await dispatching.claim_redriven(session, limit))


async def again(desk: Desk, *some: UUID, delay: int = 0) -> None:
    await desk.query(
        "UPDATE queue_entry SET generation = 2, state = 'due', started_at = NULL,"
        " next_at = now() + make_interval(secs => :delay) WHERE notification_id = ANY(:ids)",
        **{"delay": delay, "ids": list(some)},
    )


async def test_redriven_ones_are_claimed_apart_by_the_time_at_which_they_may_start(desk: Desk) -> None:
    first, second, third, fresh = await accepted(desk, 3, 1, 5, 3)
    await again(desk, third)
    await again(desk, first)
    await again(desk, second, delay=60)
    assert [await urgent(desk.database), await paced(desk.database)] == [[], [fresh]]
    assert [await redriven(desk.database, 1), await redriven(desk.database)] == [[third], [first]]
    assert await redriven(desk.database) == []


async def test_a_start_that_is_noted_after_a_redrive_is_not_that_of_the_new_generation(desk: Desk) -> None:
    [one] = await accepted(desk, 3)
    await again(desk, one)
    await started(desk.database, one, generation=1)
    assert await redriven(desk.database) == [one]
    await started(desk.database, one, generation=2)
    await desk.query("UPDATE queue_entry SET next_at = now()")
    assert await redriven(desk.database) == []


@pytest.mark.parametrize(
    ("open_for", "next_look"), [(61, 61), (30, 60), (130, 130), (1900, 1900), (3700, 3600), (864_000, 3600)]
)
async def test_an_open_row_is_looked_after_less_and_less_often(desk: Desk, open_for: int, next_look: int) -> None:
    """After as long again as it has been open, at least a minute and at most an hour later. In seconds."""
    [one] = await accepted(desk, 3)
    await started(desk.database, one)
    await desk.query(
        "UPDATE queue_entry SET started_at = now() - make_interval(secs => :ago), next_at = now()", ago=open_for
    )
    assert await strays(desk.database) == [one]
    [row] = await desk.query("SELECT extract(epoch FROM next_at - now()) AS seconds FROM queue_entry")
    assert next_look - 5 < row["seconds"] < next_look + 5


async def test_the_first_look_comes_a_minute_after_the_start(desk: Desk) -> None:
    [one] = await accepted(desk, 3)
    await started(desk.database, one)
    await desk.query("UPDATE queue_entry SET next_at = next_at - interval '50 seconds'")
    assert await strays(desk.database) == []
    await desk.query("UPDATE queue_entry SET next_at = next_at - interval '10 seconds'")
    assert await strays(desk.database) == [one]


async def test_a_look_counts_as_one_and_what_waits_or_is_over_needs_none(desk: Desk) -> None:
    one, done, _waiting = await accepted(desk, 3, 3, 3)
    await started(desk.database, one, done)
    await ended(desk, done)
    await desk.query("UPDATE queue_entry SET next_at = next_at - interval '1 hour' WHERE started_at IS NOT NULL")
    assert await strays(desk.database) == [one]
    assert await strays(desk.database) == []


async def test_a_workflow_that_is_gone_is_started_again(desk: Desk) -> None:
    [one] = await accepted(desk, 3)
    await started(desk.database, one)
    async with desk.database.transaction() as session:
        await dispatching.redispatch(session, one, 1)
    assert await paced(desk.database) == [one]


async def test_a_cancel_is_signalled_once_and_only_where_a_workflow_may_wait(desk: Desk) -> None:
    one, unstarted, _other = await accepted(desk, 3, 3, 3)
    await started(desk.database, one)
    await ended(desk, one, unstarted, canceled=True)
    async with desk.database.transaction() as session:
        assert await dispatching.unsignaled_cancels(session, 10) == [(one, desk.tenant, 1)]
        await dispatching.mark_signaled(session, [(one, desk.tenant, 1)])
        assert await dispatching.unsignaled_cancels(session, 10) == []
