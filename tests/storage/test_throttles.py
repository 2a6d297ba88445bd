"""Slots of a limit: as many as it allows under any number who ask at once, and the others in their order."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from domain.throttles import CountedLimit
from domain.timing import FrequencyLimit
from storage import throttles
from storage.claims import ClaimedNotification
from storage.database import Database
from storage.throttles import SlotRequest
from tests.storage.queues import accept_notifications, claim, ids, only_database_tenant
from tests.storage.sends import DatabaseSend, DatabaseTenant, open_database_tenant

pytestmark = pytest.mark.postgres

HOUR = timedelta(hours=1)


def asker(sent: DatabaseSend, priority: int = 3) -> SlotRequest:
    return SlotRequest(notification_id=sent.id, generation=1, tenant=sent.database_tenant.tenant, priority=priority)


def limit(max_count: int, key: str = "key") -> CountedLimit:
    return CountedLimit(key=key, limit=FrequencyLimit(max_count=max_count, per=HOUR))


async def ask(sent: DatabaseSend, *claimed: CountedLimit, priority: int = 3) -> bool:
    """Whether it got its slots; else it waits for them."""
    who = asker(sent, priority)
    async with sent.database_tenant.database.transaction() as session:
        full = await throttles.acquire_slots(session, who, claimed)
        if full:
            await throttles.enqueue(session, who, full)
        state = "waiting" if full else "started"
        values = {"state": state, "id": sent.id}
        await session.execute(text("UPDATE queue_entry SET state = :state WHERE notification_id = :id"), values)
    return not full


async def over(database_tenant: DatabaseTenant) -> None:
    """The windows end now."""
    await database_tenant.query(
        "UPDATE throttle_window SET starts_at = now() - (ends_at - starts_at), ends_at = now() WHERE tenant = :tenant",
        tenant=database_tenant.tenant,
    )


async def open_next_windows(database_tenant: DatabaseTenant) -> set[object]:
    """End the windows and return the notifications that resume."""
    await database_tenant.query(
        "UPDATE queue_entry SET state = 'started' WHERE state = 'due' AND tenant = :id", id=database_tenant.tenant
    )
    await over(database_tenant)
    async with database_tenant.database.transaction() as session:
        await throttles.open_next(session, 100)
    resumed = await database_tenant.query(
        "SELECT notification_id FROM queue_entry WHERE state = 'due' AND tenant = :tenant",
        tenant=database_tenant.tenant,
    )
    return {row["notification_id"] for row in resumed}


async def test_of_fifty_at_once_as_many_as_the_limit_get_in(database_tenant: DatabaseTenant) -> None:
    sent = [await database_tenant.send() for _ in range(50)]
    got = await asyncio.gather(*(ask(one, limit(3)) for one in sent))
    assert sum(got) == 3
    [window] = await database_tenant.query(
        "SELECT * FROM throttle_window WHERE tenant = :tenant", tenant=database_tenant.tenant
    )
    assert (window["used_slots"], window["has_waiters"], window["ends_at"] - window["starts_at"]) == (3, True, HOUR)


async def test_a_repeated_request_keeps_its_slot(database_tenant: DatabaseTenant) -> None:
    first, second = await database_tenant.send(), await database_tenant.send()
    assert [await ask(one, limit(1)) for one in (first, first, second, first)] == [True, True, False, True]


async def test_of_two_limits_both_or_none(database_tenant: DatabaseTenant) -> None:
    first, second, third = [await database_tenant.send() for _ in range(3)]
    assert await ask(first, limit(1, "a"))
    assert not await ask(second, limit(1, "a"), limit(1, "b"))
    assert await ask(third, limit(1, "b"))


async def test_opposite_orders_do_not_lock_each_other_out(database_tenant: DatabaseTenant) -> None:
    sent = [await database_tenant.send() for _ in range(20)]
    ways = [(limit(100, "a"), limit(100, "b")), (limit(100, "b"), limit(100, "a"))]
    got = await asyncio.gather(*(ask(one, *ways[number % 2]) for number, one in enumerate(sent)))
    assert all(got)


async def test_the_next_window_admits_by_priority_and_age(database_tenant: DatabaseTenant) -> None:
    priorities = (3, 4, 5, 4, 3, 5)
    sent = [await database_tenant.send() for _ in priorities]
    for one, priority in zip(sent, priorities, strict=True):
        await ask(one, limit(1), priority=priority)
    order = []
    while resumed := await open_next_windows(database_tenant):
        [number] = [number for number, one in enumerate(sent) if one.id in resumed]
        assert await ask(sent[number], limit(1), priority=priorities[number])
        order.append(number)
    assert order == [4, 1, 3, 2, 5]


async def test_a_new_request_does_not_pass_signaled_ones(database_tenant: DatabaseTenant) -> None:
    first, waiting = await database_tenant.send(), await database_tenant.send()
    assert await ask(first, limit(1))
    assert not await ask(waiting, limit(1))
    assert await open_next_windows(database_tenant) == {waiting.id}
    assert not await ask(await database_tenant.send(), limit(1))
    assert await ask(waiting, limit(1))


async def test_a_more_urgent_request_passes(database_tenant: DatabaseTenant) -> None:
    first, waiting, urgent = [await database_tenant.send() for _ in range(3)]
    assert await ask(first, limit(1))
    assert not await ask(waiting, limit(1), priority=5)
    await open_next_windows(database_tenant)
    assert await ask(urgent, limit(1), priority=3)
    assert not await ask(waiting, limit(1), priority=5)
    assert await open_next_windows(database_tenant) == {waiting.id}


async def test_ended_requests_do_not_block_the_queue(database_tenant: DatabaseTenant) -> None:
    first, canceled, gone, waiting = [await database_tenant.send() for _ in range(4)]
    assert await ask(first, limit(1))
    for one in (canceled, gone, waiting):
        assert not await ask(one, limit(1))
    await database_tenant.query("UPDATE notification SET finished_at = now() WHERE id = :id", id=canceled.id)
    async with database_tenant.database.transaction() as session:
        await throttles.dequeue(session, asker(gone))
    assert await open_next_windows(database_tenant) == {waiting.id}
    assert await ask(waiting, limit(1))


async def test_of_two_that_begin_the_next_windows_each_window_has_one(database_tenant: DatabaseTenant) -> None:
    """Two leaders for a moment."""
    keys = [f"key-{number}" for number in range(6)]
    for key in keys:
        assert await ask(await database_tenant.send(), limit(1, key))
        assert not await ask(await database_tenant.send(), limit(1, key))
    await over(database_tenant)

    async def begun() -> int:
        async with database_tenant.database.transaction() as session:
            return await throttles.open_next(session, 4)

    assert sum(await asyncio.gather(*(begun() for _ in range(3)))) + await begun() == len(keys)
    resumed = await database_tenant.query(
        "SELECT 1 FROM queue_entry WHERE state = 'due' AND tenant = :t", t=database_tenant.tenant
    )
    assert len(resumed) == len(keys)


async def test_expired_windows_are_purged(database_tenant: DatabaseTenant) -> None:
    first, canceled = await database_tenant.send(), await database_tenant.send()
    assert await ask(first, limit(1, "old"))
    assert await ask(first, limit(1, "new"))
    assert not await ask(canceled, limit(1, "new"))
    await database_tenant.query("UPDATE notification SET finished_at = now() WHERE id = :id", id=canceled.id)
    await database_tenant.query(
        "UPDATE throttle_window SET ends_at = now() - interval '2 hours' WHERE tenant = :tenant AND key = 'old'",
        tenant=database_tenant.tenant,
    )
    async with database_tenant.database.transaction() as session:
        await throttles.purge(session, 100)
        await throttles.prune(session, UUID(int=0), 10_000)
    left = await database_tenant.query(
        "SELECT key FROM throttle_window WHERE tenant = :tenant", tenant=database_tenant.tenant
    )
    turns = await database_tenant.query(
        "SELECT granted_at FROM throttle_queue_entry WHERE tenant = :tenant", tenant=database_tenant.tenant
    )
    assert [row["key"] for row in left] == ["new"]
    assert len(turns) == 2
    assert all(row["granted_at"] for row in turns)


async def test_slots_of_an_ended_notification_are_pruned_part_by_part(database_tenant: DatabaseTenant) -> None:
    ended, open_one = sorted([await database_tenant.send(), await database_tenant.send()], key=lambda sent: sent.id)
    for sent in (ended, open_one):
        assert await ask(sent, limit(10))
    await database_tenant.query("UPDATE notification SET finished_at = now() WHERE id = :id", id=ended.id)
    async with database_tenant.database.transaction() as session:
        before = UUID(int=ended.id.int - 1)
        assert await throttles.prune(session, before, 1) == (ended.id, 1)
        assert await throttles.prune(session, ended.id, 1) == (open_one.id, 0)
        assert (await throttles.prune(session, open_one.id, 1))[0] is None


async def test_a_limit_belongs_to_its_tenant(database_tenant: DatabaseTenant) -> None:
    other = await open_database_tenant(database_tenant.database)
    assert await ask(await database_tenant.send(), limit(1))
    assert await ask(await other.send(), limit(1))


async def test_a_wait_at_one_limit_does_not_block_another_limit(database_tenant: DatabaseTenant) -> None:
    """A year of the type's own limit, an hour of the person's cap: the cap's next hour is for the others."""
    year, cap = limit(1, "type"), limit(1, "person")
    first, slow, other = [await database_tenant.send() for _ in range(3)]
    assert await ask(first, year, cap)
    assert not await ask(slow, year, cap)
    assert not await ask(other, cap, priority=5)
    await database_tenant.query(
        "UPDATE throttle_window SET starts_at = now() - interval '1 hour', ends_at = now() WHERE key = 'person'"
    )
    await open_next(database_tenant)
    assert not await ask(slow, year, cap)
    assert await ask(other, cap, priority=5)


async def test_a_request_during_the_opening_of_a_window_is_not_lost(database_tenant: DatabaseTenant) -> None:
    first, late = await database_tenant.send(), await database_tenant.send()
    assert await ask(first, limit(1))
    await over(database_tenant)
    async with database_tenant.database.transaction() as session:
        who = asker(late)
        await database_tenant.query(
            "UPDATE throttle_window SET has_waiters = true WHERE tenant = :tenant", tenant=database_tenant.tenant
        )
        full = await throttles.acquire_slots(session, who, [limit(1)])
        rolling = asyncio.create_task(open_next(database_tenant))
        await throttles.enqueue(session, who, full)
        waiting = text("UPDATE queue_entry SET state = 'waiting' WHERE notification_id = :id")
        await session.execute(waiting, {"id": late.id})
    await rolling
    [entry] = await database_tenant.query("SELECT state FROM queue_entry WHERE notification_id = :id", id=late.id)
    assert entry["state"] == "due" or await open_next_windows(database_tenant) == {late.id}


async def open_next(database_tenant: DatabaseTenant) -> None:
    async with database_tenant.database.transaction() as session:
        await throttles.open_next(session, 100)


@pytest.fixture
async def database_tenant(database: Database) -> DatabaseTenant:
    return await only_database_tenant(database)


async def test_the_most_urgent_come_first(database_tenant: DatabaseTenant) -> None:
    five, two, one, three, again = await accept_notifications(database_tenant, 5, 2, 1, 3, 1)
    assert ids(await claim(database_tenant.database)) == [one, again, two, three, five]


async def test_four_processes_serve_three_tenants_round_robin(database_tenant: DatabaseTenant) -> None:
    database_tenants = [database_tenant, *[await open_database_tenant(database_tenant.database) for _ in range(2)]]
    for each in database_tenants:
        await accept_notifications(each, *[1] * 20)
    served: list[ClaimedNotification] = []

    async def work(process: UUID) -> None:
        while claimed := await claim(database_tenant.database, process=process, batch_size=1):
            served.extend(claimed)

    await asyncio.gather(*(work(uuid4()) for _ in range(4)))
    rows = await database_tenant.query("SELECT notification_id, tenant FROM queue_entry ORDER BY xmin::text::bigint")
    order = [row["tenant"] for row in rows]
    assert len(order) == 60
    assert all(len(set(order[at : at + 3])) == 3 for at in range(58))


@pytest.mark.parametrize("batch_size", [1, 5])
async def test_a_quiet_tenant_is_served_round_robin_despite_old_backlogs(
    database_tenant: DatabaseTenant, batch_size: int
) -> None:
    for busy in [await open_database_tenant(database_tenant.database) for _ in range(8)]:
        await accept_notifications(busy, *[3] * 20)
    await accept_notifications(database_tenant, 3)
    order: list[UUID] = []
    while len(order) < 9:
        order += [one.tenant for one in await claim(database_tenant.database, batch_size=batch_size)]
    assert database_tenant.tenant in order[:9]
    assert len(set(order[:9])) == 9, "a tenant was served twice before each was served once"


async def test_priority_precedes_the_tenant_order(database_tenant: DatabaseTenant) -> None:
    bulk = await accept_notifications(database_tenant, 5)
    ordinary = await accept_notifications(await open_database_tenant(database_tenant.database), 3, 3, 3)
    assert ids(await claim(database_tenant.database, batch_size=3)) == ordinary
    assert ids(await claim(database_tenant.database, batch_size=3)) == bulk


async def test_thousands_of_one_type_hold_up_no_other_type_of_the_tenant(database_tenant: DatabaseTenant) -> None:
    await accept_notifications(database_tenant, *[3] * 200)
    [other] = await accept_notifications(database_tenant, 3)
    await database_tenant.query("UPDATE queue_entry SET lane = -5 WHERE notification_id = :id", id=other)
    order = [each for _ in range(30) for each in ids(await claim(database_tenant.database, batch_size=1))]
    assert other in order
