"""Claims: what is claimed, what is not, and what a claim returns."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from domain.clock import set_ahead
from storage import claims
from storage.claims import Claimed
from storage.database import Database
from tests.storage.queues import EVER, MANY, ME, accepted, age, at, claim, empty_desk, ended, ids, started
from tests.storage.sends import Desk, open_desk

pytestmark = pytest.mark.postgres

SOON, LATER = timedelta(seconds=30), timedelta(hours=1)


@pytest.fixture
async def desk(database: Database) -> Desk:
    return await empty_desk(database)


async def test_a_claim_tells_what_the_workflow_needs(desk: Desk) -> None:
    [one] = await accepted(desk, 4)
    [claimed] = await claim(desk.database)
    [owner] = await desk.query("SELECT key FROM tenant WHERE id = :id", id=desk.tenant)
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
        tenant_key=owner["key"],
        route="email",
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


async def test_a_claim_does_not_wait_until_it_is_on_disk(desk: Desk) -> None:
    """One without a row neither."""
    shown = text("SHOW synchronous_commit")
    for _ in range(2):
        async with desk.database.quick_transaction() as session:
            before = (await session.execute(shown)).scalar_one()
            await claims.claim(session, ME, MANY, most=1, look_back=EVER)
            after = (await session.execute(shown)).scalar_one()
        assert (before, after) == ("on", "off")
        await accepted(desk, 3)


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
